"""The models there are: aliases first, then what the providers list, remembered for five minutes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import msgspec

from edge.errors import EdgeError, UpstreamBadResponse
from edge.upstreams.provider import Provider

__all__ = ["Catalog"]

FRESH_S = 300.0
RETRY_S = 10.0
DEADLINE_S = 5.0
MAX_BYTES = 8 << 20
MAX_MODELS = 10_000


class _Entry(msgspec.Struct):
    id: str


class _Page(msgspec.Struct):
    data: list[_Entry]


_decode_page = msgspec.json.Decoder(_Page).decode


class _Listing:
    """One provider's list: ``models`` are the latest known, ``due`` when to ask again, ``asking`` who is at it."""

    __slots__ = ("asking", "due", "models")

    def __init__(self) -> None:
        self.models: tuple[str, ...] = ()
        self.due = 0.0
        self.asking: asyncio.Task[None] | None = None


class Catalog:
    """Asks each provider at most once every five minutes; a provider that fails keeps its last list."""

    def __init__(self, providers: dict[str, Provider], old: Catalog | None = None) -> None:
        """Of the providers that are also in `old`, what it knows is kept."""
        self._providers = providers
        self._listings: dict[str, _Listing] = {
            name: old._listings[name] if old is not None and old._providers.get(name) is provider else _Listing()
            for name, provider in providers.items()
        }

    def known(self) -> Iterable[str]:
        """Every name listed so far, without asking."""
        return [model for listing in self._listings.values() for model in listing.models]

    async def models(self) -> list[tuple[Provider, str]]:
        """(provider, model) of every model the providers list and claim. Never raises: who is silent is left out."""
        await asyncio.gather(*(self._refresh(name) for name in self._providers))
        return [
            (provider, model)
            for name, provider in self._providers.items()
            for model in self._listings[name].models
            if not provider.has_own_models or provider.claims(model)
        ]

    async def _refresh(self, name: str) -> None:
        listing = self._listings[name]
        if time.monotonic() < listing.due:
            return
        if listing.asking is None:
            # A task of its own: it belongs to no client, so a client that leaves does not end it for the others.
            listing.asking = asyncio.create_task(self._ask(name))
        await asyncio.shield(listing.asking)

    async def _ask(self, name: str) -> None:
        listing = self._listings[name]
        try:
            async with asyncio.timeout(DEADLINE_S):
                listing.models = await fetch(self._providers[name])
            listing.due = time.monotonic() + FRESH_S
        except (EdgeError, TimeoutError, msgspec.DecodeError):
            # The list is a convenience: the provider is left out for now and asked again soon.
            listing.due = time.monotonic() + RETRY_S
        finally:
            listing.asking = None


async def fetch(provider: Provider) -> tuple[str, ...]:
    """The ids a provider lists. Raises EdgeError, also for a refusal, and msgspec.DecodeError."""
    response = await provider.list_models()
    try:
        body = bytearray()
        while chunk := await response.read():
            body += chunk
            if len(body) > MAX_BYTES:
                raise UpstreamBadResponse("The provider's list of models is too long.")
    finally:
        await response.close()
    if response.status != 200:
        raise UpstreamBadResponse("The provider gave no list of models.")
    return tuple(entry.id for entry in _decode_page(body).data[:MAX_MODELS])
