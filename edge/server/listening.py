"""The sockets that an edge listens on: bound by itself, or handed over by systemd."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import MutableMapping

from edge.config import is_loopback

__all__ = ["BACKLOG", "address_of", "given_by_systemd", "listen", "more_of", "only_loopback", "spread"]

BACKLOG = 2048
FIRST_GIVEN = 3
"""sd_listen_fds(3): the descriptors from 3 on."""
BALANCED = sys.platform == "linux"
"""Whether the system spreads connections over sockets that share a port."""


def listen(host: str, port: int, slots: int) -> list[list[socket.socket]]:
    """Bound sockets for so many slots. Raises OSError; EADDRINUSE also where another edge serves the port.

    SO_REUSEPORT would let a second edge share the port silently, so the port is probed without it first.
    """
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
        0
    ]
    with socket.socket(family, kind, proto) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        address = probe.getsockname()
        if not BALANCED:
            probe.listen(BACKLOG)
            return spread([probe.dup()], slots)
    return [[_bound(family, address)] for _ in range(slots)]


def _bound(family: int, address: object) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(address)  # type: ignore[arg-type]
    sock.listen(BACKLOG)
    return sock


def more_of(sock: socket.socket) -> socket.socket:
    """For a further slot, a socket at the address of one of ours. Raises OSError."""
    if BALANCED and sock.family != socket.AF_UNIX and sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
        return _bound(sock.family, sock.getsockname())
    return sock.dup()


def spread(sockets: list[socket.socket], slots: int) -> list[list[socket.socket]]:
    """The same sockets for each slot: who is idle accepts."""
    return [sockets, *([sock.dup() for sock in sockets] for _ in range(slots - 1))]


def given_by_systemd(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """The listening sockets that systemd, or another that does as sd_listen_fds(3) says, has opened for this process;
    none if there are none. They are found once: the variables are taken away. Raises OSError for what is no listening
    stream socket.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    sockets = []
    for number in range(FIRST_GIVEN, FIRST_GIVEN + int(count)):
        sock = socket.socket(fileno=number)
        sock.set_inheritable(False)
        if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(f"descriptor {number} of LISTEN_FDS is no listening stream socket")
        sockets.append(sock)
    return sockets


def address_of(sock: socket.socket, scheme: str) -> str:
    """For people."""
    if sock.family == socket.AF_UNIX:
        return f"{scheme}+unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def only_loopback(sockets: list[socket.socket]) -> bool:
    """Whether nobody but this machine reaches them."""
    return all(sock.family == socket.AF_UNIX or is_loopback(sock.getsockname()[0]) for sock in sockets)
