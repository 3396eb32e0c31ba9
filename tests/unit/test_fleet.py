"""What outlives a configuration, and what ends with it."""

from __future__ import annotations

import asyncio
import gc
import weakref

import msgspec
import pytest

from edge import config
from edge.config import Secret
from edge.guard.auth import ANYONE
from edge.routes import match
from edge.state import State, build_state
from edge.upstreams import fleet as module
from edge.upstreams.fleet import Fleet, Site
from edge.upstreams.receiver import Transport
from edge.upstreams.request import UpstreamRequest
from edge.upstreams.wire import whole

CHAT = match(b"/v1/chat/completions").route  # type: ignore[union-attr]
MAIN = config.Provider(dialect="openai", base_url="http://127.0.0.1:1/v1", api_keys=[Secret("sk-one")])
SETTINGS = config.Config(
    providers={"main": MAIN, "other": config.Provider(dialect="openai", base_url="http://127.0.0.1:2/v1", models=[])},
    models={"smart": config.Model(upstreams=[config.Target(to="main/gpt-4o")])},
)


def changed(**what) -> config.Config:
    """The settings with another provider `main`."""
    return msgspec.structs.replace(
        SETTINGS, providers=SETTINGS.providers | {"main": msgspec.structs.replace(MAIN, **what)}
    )


def after(state: State, settings: config.Config) -> State:
    """A reload."""
    new = build_state(settings, old=state)
    new.fleet.succeed(state.fleet)
    return new


def member(state: State, name: str):
    (found,) = state.grant(ANYONE, name, CHAT).choices[0].group.members
    return found


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        changed(prices={"gpt-*": config.Price(input=1.0, output=2.0)}),
        changed(models=["gpt-*", "mine"]),
        changed(drop_betas=["a"], drop_headers=["anthropic-b"]),
        changed(system="first"),
        changed(priced_as="openai"),
        msgspec.structs.replace(SETTINGS, models={}),
        msgspec.structs.replace(SETTINGS, resilience=config.Resilience(total_s=5.0, idle_s=1.0)),
    ],
)
def test_connections_and_how_upstreams_do_outlive_what_does_not_concern_them(settings):
    state = build_state(SETTINGS)
    site, smart, named = state.fleet.sites["main"], member(state, "smart"), member(state, "main/gpt-named")
    new = after(state, settings)
    assert new.fleet.sites["main"] is site
    assert new.providers["main"].transport is state.providers["main"].transport
    assert member(new, "main/gpt-4o") is smart
    assert member(new, "main/gpt-named") is named, "a client's name is no less an upstream"
    again = after(new, SETTINGS)
    assert member(again, "smart") is smart


@pytest.mark.parametrize(
    "settings",
    [
        changed(base_url="http://127.0.0.1:3/v1"),
        changed(base_url="http://127.0.0.1:1/v2"),
        changed(api_keys=[Secret("sk-two")]),
        changed(auth="api-key"),
        changed(headers={"openai-project": "p"}),
        changed(query={"api-version": "1"}),
        changed(max_connections=7),
        changed(dialect="anthropic"),
        msgspec.structs.replace(SETTINGS, resilience=config.Resilience(connect_s=1.0)),
    ],
)
def test_who_is_asked_elsewhere_or_as_somebody_else_begins_anew(settings):
    state = build_state(SETTINGS)
    new = after(state, settings)
    old_site, site = state.fleet.sites["main"], new.fleet.sites["main"]
    assert site is not old_site
    assert site.transport is not old_site.transport
    assert site.member("gpt-4o") is not old_site.member("gpt-4o")
    assert state.providers["main"].transport is old_site.transport, "a request keeps what it began with"


def test_another_provider_of_the_same_settings_is_another_site():
    twins = msgspec.structs.replace(SETTINGS, providers={"main": MAIN, "twin": MAIN})
    sites = Fleet.of(twins).sites
    assert sites["main"] is not sites["twin"]
    assert sites["main"].member("m") is not sites["twin"].member("m")


def test_certificates_to_trust_count_by_what_is_in_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(
        module.ssl, "create_default_context", lambda cafile: module.ssl.SSLContext(module.ssl.PROTOCOL_TLS_CLIENT)
    )
    file = tmp_path / "ca.pem"
    file.write_text("one")
    settings = changed(base_url="https://127.0.0.1:1/v1", ca_file=str(file))
    state = build_state(settings)
    same = after(state, settings)
    assert same.fleet.sites["main"] is state.fleet.sites["main"]
    file.write_text("two")
    assert after(same, settings).fleet.sites["main"] is not state.fleet.sites["main"]
    file.unlink()
    with pytest.raises(OSError, match="No such file"):
        build_state(settings, old=same)


class Kept(Transport):
    """Tells what was done with it."""

    def __init__(self) -> None:
        self.retired = 0

    def retire(self) -> None:
        self.retired += 1


def test_a_site_that_is_only_the_old_configurations_is_retired_once_and_no_other(monkeypatch):
    monkeypatch.setattr(module, "Pool", lambda *_, **__: Kept())
    state = build_state(SETTINGS)
    new = build_state(changed(api_keys=[]), old=state)
    assert [site.transport.retired for site in state.fleet.sites.values()] == [0, 0], "it may yet come to nothing"
    new.fleet.succeed(state.fleet)
    assert [site.transport.retired for site in state.fleet.sites.values()] == [1, 0]
    assert [site.transport.retired for site in new.fleet.sites.values()] == [0, 0]
    gone = after(new, msgspec.structs.replace(SETTINGS, providers={"main": MAIN}, models={}))
    assert gone.fleet.sites.keys() == {"main"}
    assert [site.transport.retired for site in new.fleet.sites.values()] == [1, 1]


def test_what_is_gone_is_forgotten_when_its_last_attempt_ended(monkeypatch):
    monkeypatch.setattr(module, "Pool", lambda *_, **__: Kept())
    state = build_state(SETTINGS)
    attempt = member(state, "smart").begin(1.0)
    site, transport = weakref.ref(state.fleet.sites["main"]), weakref.ref(state.fleet.sites["main"].transport)
    request = state  # keeps the state that it began with
    state = after(state, changed(base_url="http://127.0.0.1:3/v1"))
    gc.collect()
    assert site() is not None
    assert site().member("gpt-4o").in_flight == 1
    assert attempt.finished(2.0)
    del request
    gc.collect()
    assert site() is None
    assert transport() is None


def test_names_of_clients_are_forgotten_before_they_are_too_many_but_none_that_is_configured_or_under_way():
    site = Site("main", Fleet.of(SETTINGS).sites["main"].identity, Kept())
    site.configured = frozenset({"mine"})
    mine, busy = site.member("mine"), site.member("busy")
    attempt = busy.begin(1.0)
    idle = site.member("idle")
    for number in range(3 * module.MAX_MEMBERS):
        site.member(f"m{number}")
        assert len(site._members) <= module.MAX_MEMBERS + 1
    assert site.member("mine") is mine
    assert site.member("busy") is busy
    assert site.member("idle") is not idle
    attempt.cancelled(2.0)


def test_what_lets_nothing_through_is_not_forgotten_unless_clients_make_too_much_of_it():
    site = Site("main", Fleet.of(SETTINGS).sites["main"].identity, Kept())
    drained, away = site.member("drained"), site.member("away")
    drained.drain()
    away.hold(31.0)
    for number in range(2 * module.MAX_MEMBERS):
        site.member(f"m{number}")
    assert site.member("drained") is drained
    assert site.member("away") is away
    for number in range(2 * module.MAX_MEMBERS):
        site.member(f"away{number}").hold(31.0)
        assert len(site._members) <= module.MAX_MEMBERS
    assert site.member("drained") is drained
    assert site.member("away") is not away
    assert len(site._names) == len(site._members)


def test_models_that_are_configured_no_more_count_as_names_of_clients():
    state = build_state(SETTINGS)
    new = build_state(msgspec.structs.replace(SETTINGS, models={}), old=state)
    site = new.fleet.sites["main"]
    assert "gpt-4o" in site.configured, "the old configuration still serves"
    new.fleet.succeed(state.fleet)
    assert site.configured == frozenset()


def test_what_is_listed_stays_known_as_long_as_the_site():
    state = build_state(SETTINGS)
    listing = state.catalog._listings["main"]
    same = after(state, changed(prices={"a": config.Price(input=1.0, output=1.0)}))
    assert same.catalog._listings["main"] is listing
    assert after(same, changed(api_keys=[])).catalog._listings["main"] is not listing


def test_a_retired_pool_answers_who_still_asks_and_keeps_no_connection():
    connections = []

    async def serve(reader, writer):
        connections.append(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
        except asyncio.IncompleteReadError:
            writer.close()

    async def ask(pool):
        return await whole(pool, UpstreamRequest(b"GET", b"/", b"", b""), 1000)

    async def scenario():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        pool = module.open_site("main", msgspec.structs.replace(MAIN, base_url=f"http://127.0.0.1:{port}/v1"), 1.0)
        pool = pool.transport
        assert [await ask(pool), await ask(pool)] == [(200, b"hi")] * 2
        assert len(connections) == 1
        pool.retire()
        assert [await ask(pool), await ask(pool)] == [(200, b"hi")] * 2
        assert len(connections) == 3
        while pool._all:
            await asyncio.sleep(0)
        server.close()

    asyncio.run(asyncio.wait_for(scenario(), 5))


def test_a_retired_http2_transport_closes_when_its_last_answer_ended():
    done = []

    class Slow:
        async def handle_async_request(self, _):
            await asyncio.sleep(0.01)
            done.append("answered")
            raise RuntimeError

        async def aclose(self):
            done.append("closed")

    async def scenario():
        settings = msgspec.structs.replace(MAIN, http2=True)
        used, unused = (module.open_site("main", settings, 1.0).transport for _ in range(2))
        for transport in (used, unused):
            await transport._transport.aclose()
            transport._transport = Slow()
        asking = [asyncio.ensure_future(whole(used, UpstreamRequest(b"GET", b"/", b"", b""), 1)) for _ in range(2)]
        await asyncio.sleep(0)
        used.retire()
        await asyncio.gather(*asking, return_exceptions=True)
        await asyncio.sleep(0.01)
        assert done == ["answered", "answered", "closed"]
        unused.retire()
        await asyncio.sleep(0.01)
        assert done.count("closed") == 2

    asyncio.run(scenario())
