"""The settings of WebSockets: their names, types and defaults."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from edge.config.capabilities import Settings

__all__ = ["Websockets"]


class Websockets(Settings, frozen=True, kw_only=True):
    enabled: bool = True
    max_message_bytes: Annotated[int, Meta(ge=1024, le=1 << 30)] = 16777216
    idle_s: Annotated[float, Meta(ge=1, le=86400)] = 600.0
    max_s: Annotated[float, Meta(ge=1, le=604800)] = 3600.0
