"""How long a connection waits for its client, and how much it takes before it is anything."""

from __future__ import annotations

import socket
from typing import Any

from edge.server.request_head import MAX_HEAD

__all__ = [
    "BODY_IDLE_S",
    "BODY_RATE",
    "FIRST_BYTE_S",
    "GOODBYE_S",
    "HEAD_S",
    "KEEP_ALIVE_S",
    "LARGE",
    "LINGER_S",
    "LOOK_S",
    "MAX_PIPELINED",
    "MAX_REQUESTS",
    "MAX_UNREAD",
    "NEVER",
    "REQUEST_LINE",
    "SWEEP_S",
    "WRITE_STALL_S",
    "has_left",
]

MAX_UNREAD = MAX_HEAD + 262144
"""What follows a body's latest byte (trailers, the extensions of a chunk): it may have begun in a segment full of other
things; uvloop reads 256 KiB at once."""
REQUEST_LINE = 64
"""What a request's line may have besides its target."""
MAX_PIPELINED = 65536
LARGE = 65536
"""Bytes of a segment after which others have their turn: libuv would read 32 of 256 KiB first. In chunks of two bytes
these take seconds. And of a body that its turn has before it begins: whoever refuses a larger one closes."""
FIRST_BYTE_S = 10.0
HEAD_S = 10.0
BODY_IDLE_S = 15.0
BODY_RATE = 16384
"""Bytes a second that a body must bring on average, beyond the first `BODY_IDLE_S`."""
KEEP_ALIVE_S = 75.0
MAX_REQUESTS = 10_000
"""Of one connection: what it may have gathered by then goes with it, and clients come back to other workers too."""
WRITE_STALL_S = 30.0
LINGER_S = 2.0
"""After the last answer, what the client still sends is read off for this long: closing earlier would reset the
connection, and the client might never see the answer (RFC 9112, section 9.6)."""
GOODBYE_S = 5.0
"""Over TLS a close waits for the client's own, which one with a pool sends when it next looks at the connection."""
SWEEP_S = 0.25
LOOK_S = 0.05
"""How often it is seen whether a client is there of whom nothing is read."""
ESTABLISHED = 1
"""Of Linux, ``include/net/tcp_states.h``."""
NEVER = float("inf")


def has_left(connection: Any) -> bool:
    """Whether the peer has closed a connection, though what it sent before has not been read; False where the system
    does not tell.
    """
    if connection is None or not hasattr(socket, "TCP_INFO"):
        return False
    try:
        state: bytes = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    except OSError:
        return False  # no connection of TCP's
    return state[0] != ESTABLISHED
