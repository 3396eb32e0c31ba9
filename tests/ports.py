"""Ports of 127.0.0.1 for servers that have to be told theirs."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from pathlib import Path

PORTS = range(11_000, 21_000)
"""Below what systems give out by themselves unless they are told to (from 32768 on, or 49152): no connection of another
test's takes one of these."""
BUS = 10_000
"""So much above its own port is the one at which a server of a Redis Cluster hears the others."""

_claimed: set[int] = set()


def free_port(*, bus: bool = False) -> int:
    """One at which nobody listens, and which no other test gets as long as this process runs; with `bus`, nobody listens
    `BUS` above it either.
    """
    while True:
        port = random.choice(PORTS)
        if port not in _claimed and _claim(port) and _is_free(port) and (not bus or _is_free(port + BUS)):
            return port


@cache
def _claims() -> int:
    """The file in which each process has locked the bytes of its ports; the system lets go of them when it ends."""
    path = Path(tempfile.gettempdir()) / f"edge-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _claim(port: int) -> bool:
    claims = _claims()
    try:
        fcntl.lockf(claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except (BlockingIOError, PermissionError):  # the two that say that somebody has it
        return False
    _claimed.add(port)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
