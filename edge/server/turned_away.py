"""Connections for which there is no room."""

from __future__ import annotations

from edge.errors import Overloaded
from edge.server.crowd import Crowd
from edge.server.protocol import EdgeProtocol
from edge.server.turn import Turn

__all__ = ["TurnedAway"]

FIRST_REQUEST_S = 2.0


class TurnedAway(EdgeProtocol):
    """A connection for which there is no room: its first request is told so, in its dialect, if it comes soon."""

    _keeper: Crowd

    @classmethod
    def instead_of(cls, protocol: EdgeProtocol) -> None:
        """Take over a connection that its crowd has not let in."""
        crowd = protocol.crowd
        if crowd is None or not crowd.tells_why:
            protocol.transport.abort()
            return
        instead = cls(config=protocol.config, server_state=protocol.server_state, app_state=protocol.app_state)
        instead._keeper = crowd
        crowd.turned_away += 1
        protocol.transport.set_protocol(instead)  # type: ignore[arg-type]
        instead.connection_made(protocol.transport)
        instead.deadline = instead.loop.time() + FIRST_REQUEST_S

    def connection_lost(self, exc: Exception | None) -> None:
        self._keeper.turned_away -= 1
        super().connection_lost(exc)

    def turn_for(self, index: dict[bytes, bytes], version: str, keeps_alive: bool) -> Turn:
        raise Overloaded("This edge has more connections than it may; ask again.")

    def speaks_websocket(self) -> bool:
        return False
