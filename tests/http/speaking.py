"""A client of WebSockets, for tests: what it says and hears is events of JSON."""

from __future__ import annotations

import json
from typing import Any

from websockets.sync.client import ClientConnection, connect

__all__ = ["HANDSHAKE", "hear", "lines_of", "say", "speak"]

HEARD_S = 30
"""What an event may take to come, on a machine that is busy."""
HANDSHAKE = (
    "GET {} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
"""The whole head, for a client that speaks bytes."""


def speak(url: str, target: str, key: str = "", headers: dict[str, str] | None = None, **more: Any) -> ClientConnection:
    """A connection to `target` at `url`, an address of http. `more` is the library's."""
    said = {**({"authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
    return connect(url.replace("http", "ws", 1) + target, additional_headers=said, **{"compression": None, **more})


def say(ws: ClientConnection, **event: Any) -> None:
    ws.send(json.dumps(event))


def hear(ws: ClientConnection, *kinds: str) -> Any:
    """The next event of one of these kinds."""
    while True:
        event = json.loads(ws.recv(timeout=HEARD_S))
        if event["type"] in kinds:
            return event


def lines_of(edge: Any, **fields: Any) -> list[dict[str, Any]]:
    """Lines of an edge's log that tell of WebSockets, those with these fields."""
    found = [json.loads(line) for line in edge.process.lines if '"event":"request"' in line and "(websocket)" in line]
    return [line for line in found if all(line.get(name) == value for name, value in fields.items())]
