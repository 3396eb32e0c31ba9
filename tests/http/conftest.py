"""An edge and a simulator that most HTTP tests share."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import httpcore2
import httpx2
import pytest

from edge.guard.auth import new_key
from tests.harness import WAIT_S, Edge, Simulator, providers, running
from tests.recipes import Kitchen, Served


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """Each `httpx2.get` would read the certificates of all authorities anew, which takes over 20 ms of CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpcore2, "default_ssl_context", cache(httpcore2.default_ssl_context))
        yield


@pytest.fixture(scope="session", autouse=True)
def clients_bear_a_busy_machine() -> Iterator[None]:
    """Where a test does not say how long its client waits, that is as long as anything is waited for, and not five seconds."""
    usual = httpx2.Client().timeout  # the very object that all clients have by default
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "read", "write", "pool"):
            patch.setattr(usual, name, WAIT_S)
        yield


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """One for each module: its ledger tells of that module's requests alone."""
    made = Simulator()
    with running(made):
        yield made


@pytest.fixture(scope="session", params=["lane", "asgi"])
def front(request) -> str:
    """The way of API requests to the gateway; both have to do the same."""
    return request.param


@pytest.fixture(scope="module")
def edge(simulator, front, tmp_path_factory) -> Iterator[Edge]:
    """Without keys, both dialects on the simulator."""
    config = {
        "providers": providers(simulator.url),
        "models": {
            "smart": {"upstreams": [{"to": "openai/gpt-4o"}]},
            "wise": {"upstreams": [{"to": "anthropic/claude-sonnet-5"}]},
        },
        "resilience": {"connect_s": 1, "first_content_s": 1.5, "idle_s": 1, "total_s": 4},
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(made):
        yield made


@pytest.fixture(scope="module")
def served(simulator, tmp_path_factory) -> Iterator[Served]:
    """What recipes are followed against: an edge with a key, and both dialects on the simulator."""
    key, digest = new_key("team-a")
    config = {"auth": {"keys": [{"id": "team-a", "digests": [digest]}]}, "providers": providers(simulator.url)}
    made = Edge(tmp_path_factory.mktemp("edge"), config)
    with running(made):
        yield Served(made, simulator, key)


@pytest.fixture
def kitchen(served, tmp_path) -> Kitchen:
    return Kitchen(tmp_path, served.edge.url.removeprefix("http://"), served.key)
