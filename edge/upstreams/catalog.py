"""The models there are: aliases first, then what the providers list, remembered for five minutes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from edge.dialects.model_lists import NOTHING, Facts, facts_of
from edge.errors import EdgeError, UpstreamBadResponse
from edge.upstreams.fleet import Site
from edge.upstreams.provider import Provider
from edge.upstreams.wire import whole

__all__ = ["Catalog"]

FRESH_S = 300.0
RETRY_S = 10.0
PATIENCE_S = 2.0
"""A client waits so long for the providers' lists at most: coding agents give up after 3 s."""
DEADLINE_S = 10.0
"""A provider that takes longer than clients wait is known to the next of them."""
MAX_BYTES = 8 << 20
MAX_MODELS = 10_000


class _Listing:
    """One provider's list: ``models`` are the latest known, None before it has told any; ``due`` when to ask again,
    ``asking`` who is at it.
    """

    __slots__ = ("asking", "due", "models")

    def __init__(self) -> None:
        self.models: dict[str, Facts] | None = None
        self.due = 0.0
        self.asking: asyncio.Task[None] | None = None


class Catalog:
    """Asks each provider at most once every five minutes; a provider that fails keeps its last list."""

    def __init__(self, providers: dict[str, Provider], old: Catalog | None = None) -> None:
        """Of the sites that are also in `old`, what it knows is kept."""
        self._providers = providers
        self._listings: dict[str, _Listing] = {
            name: old._listings[name] if old is not None and old._site(name) is provider.site else _Listing()
            for name, provider in providers.items()
        }

    def _site(self, name: str) -> Site | None:
        provider = self._providers.get(name)
        return provider.site if provider is not None else None

    def known(self) -> Iterable[str]:
        """Every name listed so far, without asking."""
        return [model for listing in self._listings.values() for model in listing.models or ()]

    def models(self) -> list[tuple[Provider, str, Facts]]:
        """Every model that the providers list and claim, as far as it is known; of one that has never told its list,
        those that the configuration spells out.
        """
        found = []
        for name, provider in self._providers.items():
            told = self._listings[name].models
            if told is None:
                told = dict.fromkeys(provider.own_names, NOTHING)
            found += [
                (provider, model, facts)
                for model, facts in told.items()
                if not provider.has_own_models or provider.claims(model)
            ]
        return found

    async def refresh(self) -> bool:
        """Ask the providers whose lists are due, and wait for them, but not long. Whether every provider has told its
        list, be it long ago. Never raises.
        """
        now = time.monotonic()
        asking = []
        for name, listing in self._listings.items():
            if now >= listing.due and self._providers[name].claims_any:
                if listing.asking is None:
                    # A task of its own: it belongs to no client, so one that leaves does not end it for the others.
                    listing.asking = asyncio.create_task(self._ask(name))
                asking.append(listing.asking)
        if asking:
            await asyncio.wait(asking, timeout=PATIENCE_S)
        return all(
            listing.models is not None for name, listing in self._listings.items() if self._providers[name].claims_any
        )

    async def _ask(self, name: str) -> None:
        listing = self._listings[name]
        try:
            async with asyncio.timeout(DEADLINE_S):
                listing.models = await fetch(self._providers[name])
            listing.due = time.monotonic() + FRESH_S
        except (EdgeError, TimeoutError, ValueError):
            # The list is a convenience: the provider is left out for now and asked again soon.
            listing.due = time.monotonic() + RETRY_S
        finally:
            listing.asking = None


async def fetch(provider: Provider) -> dict[str, Facts]:
    """What a provider lists. Raises EdgeError, also for a refusal, and ValueError for what is no list."""
    status, body = await whole(provider.transport, provider.models_request(), MAX_BYTES)
    if status != 200:
        raise UpstreamBadResponse("The provider gave no list of models.")
    return facts_of(body, MAX_MODELS)
