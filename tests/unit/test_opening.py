"""Who is asked for a WebSocket after one that did not take it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from edge import config
from edge.errors import EdgeError, UpstreamCredentials, UpstreamStreamBroken
from edge.guard.auth import ANYONE
from edge.sockets import opening
from edge.sockets.opening import Wanted, open_link
from edge.state import build_state
from tests.unit.calls import asked

OPENED = SimpleNamespace(link=None)


class Names:
    """Candidates of one name, then another; the same by another key only if it `takes` that."""

    def __init__(self, takes: bool) -> None:
        self.takes, self.full, self.upstream, self.named = takes, None, "first", []

    def next(self, now, panic):
        self.named.append("next")
        return True

    def again(self, upstream, account, now):
        self.named.append("again")
        return self.takes


def opened(monkeypatch, names, errors, following):
    """What came of it, where the attempts met `errors` before one was taken."""
    left = list(errors)

    async def ask(desk, call, candidates, wanted):
        tried = SimpleNamespace(following=following, upstream="first", ended=1.0, refuse=lambda now: None)
        error = left.pop(0) if left else None
        if error is not None and not isinstance(error, EdgeError):
            raise error
        return (OPENED if error is None else None), tried, error, wanted.once

    monkeypatch.setattr(opening, "Candidates", lambda call: names)
    monkeypatch.setattr(opening, "ask", ask)
    monkeypatch.setattr(opening, "tell", lambda *_: None)
    call = asked({"model": "voice"})
    return asyncio.run(open_link(None, call, Wanted(True, "", 1, None, True)))


@pytest.mark.parametrize(("takes", "named"), [(True, ["next", "again"]), (False, ["next", "again", "next"])])
def test_where_the_same_lets_no_other_key_through_another_is_asked(monkeypatch, takes, named):
    names = Names(takes)
    assert opened(monkeypatch, names, [UpstreamCredentials()], "second key") is OPENED
    assert names.named == named


def test_what_may_have_begun_and_is_kept_is_asked_of_nobody_else(monkeypatch):
    names = Names(True)
    with pytest.raises(UpstreamStreamBroken):
        opened(monkeypatch, names, [UpstreamStreamBroken()], None)
    assert names.named == ["next"]


def test_a_defect_of_ours_is_raised_as_it_is_and_says_nothing_of_the_upstream(monkeypatch):
    concluded = []
    provider = config.Provider(dialect="openai", base_url="http://127.0.0.1:9")
    state = build_state(config.Config(providers={"openai": provider}))
    call = asked({"model": "gpt-realtime"})
    call.state, call.key = state, ANYONE
    call.grant = state.grant(ANYONE, "gpt-realtime", call.head.route)

    async def shake(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(opening, "shake", shake)
    monkeypatch.setattr(opening, "conclude", lambda call, tried, error, over: concluded.append(error))
    with pytest.raises(ZeroDivisionError):
        asyncio.run(open_link(None, call, Wanted(True, "", 1)))
    assert [error.code for error in concluded] == ["internal_error"]
