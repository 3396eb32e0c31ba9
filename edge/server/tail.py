"""``GET /admin/api/logs``: requests of all workers as they end, as server-sent events."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from time import monotonic
from typing import Protocol
from urllib.parse import parse_qsl

import msgspec

from edge.errors import InvalidRequest
from edge.telemetry.recent import PERIOD_S, Finished, Recent

__all__ = ["Missed", "Wanted", "tail", "wanted"]

LOOK_S = 0.25
BEAT_S = 10.0
"""So often at least something is sent, so that who is gone is found to be."""
MOST = 1000
STATUS = re.compile(r"[1-5](?:[0-9]{2}|xx)")
FIELDS = ("tenant", "model", "status", "last")


class Missed(msgspec.Struct):
    """So many requests ended that there was no room for, or that were not read in time."""

    missed: int


class Wanted(msgspec.Struct, frozen=True):
    """Whose are told: "" and () for all. ``model`` is a name as the client gave it, the provider's, or
    "provider/model"; ``statuses`` are such as "429" or "5xx". Of those before now the ``last`` ones come first.
    """

    tenant: str = ""
    model: str = ""
    statuses: tuple[str, ...] = ()
    last: int = 0

    def takes(self, told: Finished) -> bool:
        if self.tenant and told.tenant != self.tenant:
            return False
        names = (told.model, told.upstream_model, f"{told.provider}/{told.upstream_model}", told.stored)
        if self.model and self.model not in names:
            return False
        status = f"{told.status:03}"
        return not self.statuses or status in self.statuses or f"{status[0]}xx" in self.statuses


def wanted(query: bytes | None) -> Wanted:
    """By ``tenant``, ``model``, ``status`` (several with commas between) and ``last``. Raises InvalidRequest."""
    asked = dict(parse_qsl((query or b"").decode("latin-1")))
    for name in asked:
        if name not in FIELDS:
            raise InvalidRequest(f"There is no parameter '{name[:40]}' here, but {', '.join(FIELDS)}.", param=name[:40])
    statuses = tuple(asked["status"].split(",")) if "status" in asked else ()
    if not all(STATUS.fullmatch(status) for status in statuses):
        raise InvalidRequest("'status' is such as 429 or 5xx, several with commas between.", param="status")
    last = asked.get("last", "0")
    if len(last) > 4 or not last.isascii() or not last.isdigit() or int(last) > MOST:
        raise InvalidRequest(f"'last' is a number from 0 to {MOST}.", param="last")
    return Wanted(asked.get("tenant", ""), asked.get("model", ""), statuses, int(last))


class Front(Protocol):
    """Who serves it: `edge.server.asgi.EdgeApplication`."""

    @property
    def draining(self) -> bool: ...


async def tail(recent: Recent, front: Front, by: Wanted) -> AsyncIterator[bytes]:
    """Events with a `Finished` each, and where some were missed ``event: missed`` with a `Missed`, until the edge ends.
    Who does not take them misses some; nothing waits for it.
    """
    if by.last and not recent.is_watched():
        recent.look()
        await asyncio.sleep(PERIOD_S + LOOK_S)  # until the other workers have told theirs
    seen = recent.present()
    before = [told for told in reversed(recent.look()) if by.takes(told)]
    for told in before[len(before) - by.last :] if by.last else ():
        yield event(told)
    yield b": so far\n\n"
    sent_at = monotonic()
    while not front.draining:
        read = recent.follow(seen)
        events = [event(told) for told in read.found if by.takes(told)]
        if read.missed:
            events.append(b"event: missed\ndata: %b\n\n" % msgspec.json.encode(Missed(read.missed)))
        now = monotonic()
        if now - sent_at >= BEAT_S:
            events.append(b": still here\n\n")
        if events:
            sent_at = now
            yield b"".join(events)
        await asyncio.sleep(0 if read.more else LOOK_S)


def event(told: Finished) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(told)
