"""What is kept of answers and flights, and how much that can become."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import time

import msgspec
import pytest

import edge.cache.asking
import edge.joining
from edge import config
from edge._fast import KnownHead, RequestHead, Series
from edge.cache.answers import MAX_EXACT, Answers
from edge.cache.entry import Entry
from edge.cache.flight import MAX_KEPT, MAX_WHOLE, Flight
from edge.cache.key import MAX_BYTES, MAX_VALUES, decode_body
from edge.cache.memory import Generation, Held
from edge.cache.policy import Lookup, Plan, plan_for
from edge.conversations import Conversations
from edge.dispatch import Dispatch
from edge.errors import InternalError, NotCached
from edge.gateway import Gateway
from edge.guard.auth import ANYONE, Key
from edge.head import Head
from edge.hooks import Hooks
from edge.ledger import Answered
from edge.replies import seconds
from edge.reply import STREAM
from edge.routes import match
from edge.state import build_state
from edge.upstreams.desk import Buffers
from tests.unit.calls import Asked, asked

CHAT = {"model": "m", "messages": []}


class Nothing(Series):
    def tell(self, value):
        pass


class NoMeter:
    def count(self, metric, *labels, amount=1.0):
        pass

    def bind(self, metric, *labels):
        return Nothing()

    def observe(self, metric, value, *labels):
        pass

    def level(self, metric, value, *labels):
        pass


def answers() -> Answers:
    return Answers(config.Cache(mode="all"), NoMeter(), Generation())


def a_flight(stream: bool) -> Flight:
    first = asked({**CHAT, "stream": stream})
    first.key = ANYONE
    plan = Plan(look=True, store=True, only=False, ttl_s=None, digest=b"d" * 32)
    return Flight(first, plan)


def test_what_is_too_long_to_be_joined_is_not_stored_either():
    """Also if all of it is still here, because somebody has not got it yet."""
    for size, stored in ((MAX_KEPT // 2, True), (MAX_KEPT + 1, False)):
        made, flight = answers(), a_flight(False)
        body = json.dumps({"choices": [{"finish_reason": "stop", "message": {"content": "x" * size}}]}).encode()
        flight.add(asked(CHAT), NoClock(), lambda error: None)
        flight.begin_answer(200, [], len(body))
        flight.reply.write(body)
        flight.reply.end()
        made.keep(flight)
        assert (made.memory.get(flight.plan.digest) is not None) is stored


def test_a_stream_is_kept_for_who_wants_json_as_far_as_json_may_go():
    flight, event = a_flight(True), b"data: " + bytes(1 << 20) + b"\n\n"
    follower = flight.add(asked(CHAT), NoClock(), lambda error: None)
    assert follower.whole
    flight.begin_answer(200, [], STREAM)
    for number in range(1, 80):
        flight.reply.write(event)
        assert flight.kept is (number * len(event) <= MAX_WHOLE)
    assert len(flight.told()[2]) <= len(event)


class NoClock:
    def taken(self):
        pass

    whole = taken


class Sink(Asked):
    def __init__(self, *args):
        super().__init__(*args)
        self.body_written = b""
        self.ends = 0

    def start(self, status, lines, size):
        pass

    def write(self, data):
        self.body_written += data

    def end(self):
        self.ends += 1

    def over(self, error):
        self.failures.append(error)


class Attempted(Answered):
    """A stream that nothing is to be told of but its error."""

    def error_event(self, error, request_id):
        return error.code.encode()

    def dropped(self):
        return ()

    def warnings(self):
        return frozenset()

    def found(self):
        return ""

    def broke(self):
        return False


class Crashing(Dispatch):
    """Has an error of its own in the middle of an answer."""

    def start(self):
        call = self._inquiry
        call.ledger.attempt = Attempted()
        call.begin_answer(200, [], STREAM)
        call.reply.write(b"a word, ")
        asyncio.get_running_loop().call_soon(self._finish, ZeroDivisionError())


def test_a_stream_that_crashes_says_so(monkeypatch):
    settings = msgspec.convert(
        {"providers": {"p": {"dialect": "openai", "base_url": "http://127.0.0.1:1/v1"}}, "cache": {"mode": "all"}},
        config.Config,
    )
    records = []

    class Keeping(Hooks):
        def request_done(self, record):
            records.append(record)

    def one(gateway, failures) -> Sink:
        made = asked({**CHAT, "stream": True})
        made.__class__ = Sink
        made.body_written, made.ends = b"", 0
        made.key, made.state = ANYONE, gateway.state
        made.grant = made.state.grant(ANYONE, made.payload.model, made.head.route)
        made.lookup = Lookup(Plan(look=True, store=True, only=False, ttl_s=None, digest=b"d" * 32))
        made.failures = failures
        gateway.fetch(made)
        return made

    async def both():
        monkeypatch.setattr(edge.joining, "Dispatch", Crashing)
        gateway, failures = (
            Gateway(
                build_state(settings), Keeping(), NoMeter(), answers(), None, None, Conversations(NoMeter(), Buffers())
            ),
            [],
        )
        got = [one(gateway, failures), one(gateway, failures)]
        await asyncio.sleep(0.01)
        assert [type(failure) for failure in failures] == [ZeroDivisionError] * 2  # for the log
        await gateway.close()
        return got

    for got in asyncio.run(both()):
        assert got.body_written == b"a word, " + InternalError.code.encode()
        assert got.ends == 1
    assert {record.error_code for record in records} == {InternalError.code}


def test_what_a_request_is_known_by_is_short_however_long_its_headers_are():
    made = answers()

    def exact(*headers, **more):
        call = asked(CHAT, headers=headers, **more)
        call.key = ANYONE
        return made.exact(call)

    beta = ("anthropic-beta", "b" * 8000)
    cases = [exact(), exact(query=b"q" * 8000), exact(query=b"q" * 8001), exact(beta), exact(beta, beta)]
    cases += [exact(("openai-beta", beta[1])), exact(beta, ("openai-beta", "x")), exact(("openai-beta", "x"), beta)]
    assert len(set(cases)) == len(cases)
    assert all(sum(len(part) for part in each if isinstance(part, bytes)) <= 2 * MAX_EXACT for each in cases)


def state_with_caches():
    provider = config.Provider(dialect="openai", base_url="http://127.0.0.1:1/v1")
    alias = config.Model(upstreams=[config.Target(to="p/m")])
    return build_state(config.Config(providers={"p": provider}, models={"m": alias}, cache=config.Cache(mode="all")))


def test_what_was_asked_is_forgotten_with_the_configuration_it_was_asked_under():
    made, call = answers(), asked(CHAT)
    call.state, call.key = state_with_caches(), ANYONE
    assert made.plan(call, "all", b"") is made.plan(call, "all", b"")
    assert len(made._plans) == 1
    asyncio.run(made.adjust(config.Cache(mode="off")))
    assert len(made._plans) == 0  # though nobody may ever ask for anything of the caches again


def test_what_came_twice_is_held_once_by_its_own_bytes():
    made, state = answers(), state_with_caches()
    read = RequestHead()
    assert read.read(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n\r\n")
    calls = [asked(CHAT) for _ in range(3)]
    head = calls[0].head
    known = Head(match(head.target), "POST", head.target, b"", [], KnownHead(read))
    for call in calls:
        call.head, call.state, call.key = known, state, ANYONE
        call.grant = state.grant(ANYONE, "m", known.route)
    first = made.plan(calls[0], "all", b"")
    assert made.plan(calls[1], "all", b"") is first
    assert first.payload is calls[1].payload
    known_by = [
        each for each in gc.get_objects() if isinstance(each, tuple) and each[:1] == (known,) and len(each) == 4
    ]
    assert [each[-1] is first.payload.body for each in known_by] == [True]
    assert made.knows(calls[2], calls[2].payload.body)
    assert calls[2].payload is first.payload


def test_a_clearing_forgets_what_was_asked_in_every_worker():
    generation = Generation()
    workers = [Answers(config.Cache(mode="all"), NoMeter(), generation) for _ in range(2)]
    call = asked(CHAT)
    call.state, call.key = state_with_caches(), ANYONE
    plans = [worker.plan(call, "all", b"") for worker in workers]
    assert [len(worker._plans) for worker in workers] == [1, 1]
    assert asyncio.run(workers[0].clear()) == "none"
    assert len(workers[0]._plans) == 0
    assert workers[1].recall(plans[1], call.payload) is None  # the other learns of it before it answers again
    assert len(workers[1]._plans) == 0


def test_what_one_subject_asks_for_two_tenants_is_not_the_same():
    made, state = answers(), state_with_caches()
    plans = []
    for tenant in ("a", "b", "a"):
        call = asked(CHAT)
        call.state = state
        call.key = Key("jwt:ann", tenant, None, admin=False, rights=f"jwt:ann:{tenant}")
        call.grant = state.grant(call.key, "m", call.head.route)
        plans.append(made.plan(call, call.grant.cache, call.grant.identity))
    assert plans[0] is plans[2]
    assert plans[0].digest != plans[1].digest


def test_what_a_long_body_is_known_by_is_its_digest():
    made, known = answers(), set()
    for size in (MAX_EXACT - 100, MAX_EXACT + 100, MAX_EXACT + 101):
        call = asked({**CHAT, "user": "x" * size})
        call.key = ANYONE
        exact = made.exact(call)
        assert exact == made.exact(call)
        assert sum(len(part) for part in exact if isinstance(part, bytes)) <= 2 * MAX_EXACT
        known.add(exact)
    assert len(known) == 3


def test_only_if_cached_asks_nobody_where_the_cache_has_no_part():
    for mode, body, more in (("off", CHAT, ""), ("all", {**CHAT, "store": True}, ""), ("all", CHAT, ", no-store")):
        call = asked(body, headers=[("cache-control", f"only-if-cached{more}")])
        with pytest.raises(NotCached):
            plan_for(call, mode, body)
    with pytest.raises(NotCached):
        plan_for(call, "all", None)


@pytest.mark.parametrize(
    ("prompt", "choices"),
    [("a", 2), (["a"], 2), (["a", "b", "c"], 6), ([1, 2, 3], 2), ([[1, 2], [3]], 4), ([], 2), (None, 2)],
)
def test_every_prompt_of_a_completion_has_its_choices(prompt, choices):
    body = {"model": "m", "prompt": prompt, "n": 2}
    plan = plan_for(asked(body, "/v1/completions"), "all", body)
    assert plan is not None
    assert plan.choices == choices


def test_a_stream_as_it_came_is_held_once():
    events = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    held = Held(Entry("chat", events, ((0, len(events) - 14), (1, len(events))), None, "p", "m", -1, 0.0, 1e12))
    assert held.form(stream=True, include_usage=False) is events


def test_time_left_is_never_less_than_none():
    now = time.time()
    assert Held(Entry("chat", b"{}", (), None, "p", "m", -1, now + 50, now - 50)).left_s() == 0
    assert [seconds(span) for span in (-50.0, 0.0, 0.9, 1.0, 60.5)] == [0, 0, 0, 1, 60]


def test_a_body_of_many_values_is_not_keyed_and_a_long_prompt_is():
    text = "A sentence, as there are in prose: about one comma in forty characters or so. " * 30_000
    picture = "".join(random.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghij+/", k=1 << 20))
    said = {"model": "m", "messages": [{"role": "user", "content": text}, {"role": "user", "content": picture}]}
    assert decode_body(asked(said).payload) == said
    for item, values in ((b"0.1,", 1), (b"[[]],", 2), (b'{"a":{}},', 2)):
        for count in (MAX_VALUES // values - 4, MAX_VALUES // values):
            call = asked(b'{"model":"m","messages":[],"input":[%b0]}' % (item * count))
            keyed = decode_body(call.payload)
            assert (keyed is None) == (count * values == MAX_VALUES)
    assert decode_body(asked({"model": "m", "messages": [], "input": "x" * MAX_BYTES}).payload) is None
