"""What is known of the providers' lists of models."""

from __future__ import annotations

import asyncio

from edge import config
from edge.errors import UpstreamUnreachable
from edge.state import build_state
from edge.upstreams import catalog as module


def test_the_last_list_of_a_provider_that_fails_or_falls_silent_stays(monkeypatch):
    provider = config.Provider(dialect="openai", base_url="http://a.example/v1")
    catalog = build_state(config.Config(providers={"a": provider})).catalog
    does = "tell"

    async def fetch(_provider):
        if does == "fail":
            raise UpstreamUnreachable
        if does == "hang":
            await asyncio.sleep(60)
        return {"m": module.NOTHING}

    async def asked():
        complete = await catalog.refresh()
        for listing in catalog._listings.values():
            listing.due = 0.0  # five minutes pass
        return complete, [model for _, model, _ in catalog.models()]

    async def scenario():
        nonlocal does
        does = "fail"
        assert await asked() == (False, [])
        does = "tell"
        assert await asked() == (True, ["m"])
        for trouble in ("fail", "hang", "hang"):
            does = trouble
            assert await asked() == (True, ["m"])
        for listing in catalog._listings.values():
            listing.asking.cancel()

    monkeypatch.setattr(module, "fetch", fetch)
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    asyncio.run(scenario())
