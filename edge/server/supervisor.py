"""Runs the application under uvicorn, set up for a gateway."""

from __future__ import annotations

import socket

import uvicorn

from edge.server.asgi import EdgeApplication

__all__ = ["listen", "run"]

BACKLOG = 2048
KEEP_ALIVE_S = 75


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises OSError, EADDRINUSE also where another edge serves the port."""
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
        0
    ]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def run(app: EdgeApplication, sock: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    uvicorn.Server(config).run(sockets=[sock])
