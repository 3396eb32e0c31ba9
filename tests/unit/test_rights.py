"""A connection goes on by the configuration of now, whatever it began by."""

from __future__ import annotations

import asyncio

import pytest

from edge import config
from edge.config import Config
from edge.guard.auth import new_key
from edge.head import Head, varying_of
from edge.relaying import Standing
from edge.routes import SOCKET_PATHS
from edge.server.compose import compose
from edge.sockets.granting import granted, payload_of
from edge.sockets.peer import Message
from edge.sockets.realtime import RealtimeTalk
from edge.sockets.relay import OPEN, Relay
from edge.sockets.responses import ResponsesTalk
from edge.state import build_state
from edge.upstreams.tried import Tried
from tests.unit.calls import Asked
from tests.unit.relays import Asker, End

SECRET, DIGEST = new_key("a")
CREATE = Message(b'{"type":"response.create"}')
CREATE_NAMED = Message(b'{"type":"response.create","model":"voice","input":"x","store":false}')


def settings(key=None, upstream="openai/gpt-realtime", base="http://127.0.0.1:9/v1", **more):
    own = {} if key is None else key
    keys = [] if key == "gone" else [config.Key(id="a", digests=[DIGEST], **own)]
    others = [config.Key(id="b", digests=[new_key("b")[1]])]
    made = {name: config.Provider(dialect="openai", base_url=base) for name in ("openai", "spare")}
    models = {"voice": config.Model(upstreams=[config.Target(to=upstream)])}
    return Config(auth=config.Auth(keys=[*keys, *others]), providers=made, models=models, **more)


class Open:
    """A connection that is open under one configuration."""

    def __init__(self, path: bytes, talks) -> None:
        self.gateway = compose(settings()).gateway
        fields = [(b"authorization", b"Bearer " + SECRET.encode())]
        head = Head(SOCKET_PATHS[path], "GET", path, b"", fields)
        call = self.call = Asked(head, varying_of(fields), "", 0.0, self.gateway.state)
        self.gateway.open(call)
        call.payload = payload_of("voice")
        grant = call.grant = granted(self.gateway.state, call.key, "voice", head.route)
        self.client, self.provider = End(), End()
        relay = self.relay = Relay(self.gateway.office, call, self.client, "", Asker(), Standing(self.gateway, call))
        relay.start(talks(relay), "")
        relay.tried = Tried(grant.upstreams[0], None, None)
        relay._link, relay._state = self.provider, OPEN

    def now(self, **more):
        self.gateway.state = build_state(settings(**more), old=self.gateway.state)

    def says(self, message):
        self.relay.came(self.client, message)


def opened(path, talks, test):
    async def run():
        made = Open(path, talks)
        test(made)
        made.relay.cancel()

    asyncio.run(run())


WORSE = [
    ({"key": "gone"}, "invalid_api_key"),
    ({"key": {"models": ["gpt-4o"]}}, "model_not_allowed"),
    ({"key": {"allowed_routes": ["chat/completions"]}}, "route_not_allowed"),
    ({"key": {"pii": config.PiiModes(request="mask")}}, "pii_blocked"),
    ({"upstream": "openai/gpt-realtime-2"}, "unsupported_route"),
    ({"upstream": "spare/gpt-realtime"}, "unsupported_route"),
    ({"base": "http://127.0.0.2:9/v1"}, "unsupported_route"),
    ({"websockets": config.Websockets(enabled=False)}, "route_not_allowed"),
]


@pytest.mark.parametrize(("now", "code"), WORSE)
def test_a_voice_that_its_key_may_have_no_more_is_told_why_and_closed(now, code):
    def test(made):
        made.says(CREATE)
        assert made.provider.said == [CREATE.data]
        made.now(**now)
        made.says(CREATE)
        assert made.provider.said == [CREATE.data]
        assert f'"code":"{code}"'.encode() in made.client.said[-1]
        assert (made.client.closed[0], made.provider.closed[0]) == (1008, 1001)

    opened(b"/v1/realtime", RealtimeTalk, test)


@pytest.mark.parametrize(("now", "code"), WORSE)
def test_a_response_is_asked_for_by_the_configuration_of_now(now, code):
    ends = code in ("invalid_api_key", "route_not_allowed")

    def test(made):
        made.now(**now)
        made.says(CREATE_NAMED)
        if now == {"upstream": "openai/gpt-realtime-2"}:
            assert b'"gpt-realtime-2"' in made.provider.said[-1]
            return
        assert made.provider.said == []
        assert f'"code":"{code}"'.encode() in made.client.said[-1]
        assert (made.client.closed is not None) == ends
        if not ends:
            made.now()
            made.says(CREATE_NAMED)
            assert len(made.provider.said) == 1

    opened(b"/v1/responses", ResponsesTalk, test)


@pytest.mark.parametrize(
    ("path", "talks", "said"),
    [(b"/v1/realtime", RealtimeTalk, CREATE), (b"/v1/responses", ResponsesTalk, CREATE_NAMED)],
)
def test_limits_and_prices_are_those_of_now(path, talks, said):
    def test(made):
        made.now(key={"requests_per_minute": 1}, upstream="openai/gpt-realtime")
        for _ in range(2):
            made.says(said)
        assert len(made.provider.said) == 1
        assert b"rate_limit_exceeded" in made.client.said[-1]
        assert made.client.closed is None
        due, state = made.relay.tab.under_way[0], made.gateway.state
        assert due.grant is state.grant(made.call.key, "voice", made.call.head.route)
        assert due.upstream in due.grant.upstreams
        assert made.call.state is made.gateway.state

    opened(path, talks, test)


def test_a_place_that_was_taken_is_given_back_though_the_limit_is_gone():
    def test(made):
        call, limits = made.call, made.gateway.limits
        made.now(key={"concurrency": 1})
        made.says(CREATE)
        lease = limits.lease(call.key)
        lease.take()  # that connection had none
        lease.end()
        made.relay.cancel()

    opened(b"/v1/realtime", RealtimeTalk, test)


@pytest.mark.parametrize("talks", [RealtimeTalk, ResponsesTalk])
def test_a_client_that_says_nothing_is_looked_at_too(monkeypatch, talks):
    monkeypatch.setattr("edge.sockets.relay.RIGHTS_S", 0.01)

    async def run():
        made = Open(b"/v1/responses", talks)
        await asyncio.sleep(0.05)
        assert made.client.closed is None
        made.now(key="gone")
        async with asyncio.timeout(10):
            while made.client.closed is None:
                await asyncio.sleep(0.005)
        assert made.client.closed[0] == 1008

    asyncio.run(run())
