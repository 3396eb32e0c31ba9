"""What a key gets for a model's name."""

from __future__ import annotations

import errno
import re
from fnmatch import translate

import msgspec
import pytest

from edge import config
from edge.errors import ModelNotFound
from edge.guard.auth import ANYONE, Key
from edge.memo import keep
from edge.routes import match
from edge.state import State, build_state
from edge.upstreams.router import Upstream

CHAT = match(b"/v1/chat/completions").route  # type: ignore[union-attr]
EMBEDDINGS = match(b"/v1/embeddings").route  # type: ignore[union-attr]
LOCAL = "http://127.0.0.1:1/v1"
SETTINGS = config.Config(
    providers={
        "a": config.Provider(dialect="openai", base_url=LOCAL),
        "b": config.Provider(dialect="anthropic", base_url=LOCAL),
        "c": config.Provider(dialect="openai", base_url=LOCAL, models=["c-*"]),
    },
    models={
        "smart": config.Model(
            upstreams=[config.Target(to="a/one"), config.Target(to="b/two"), config.Target(to="c/three")],
            fallbacks=["cheap", "last"],
            strategy="failover",
        ),
        "cheap": config.Model(upstreams=[config.Target(to="a/small"), config.Target(to="b/tiny")], strategy="failover"),
        "last": config.Model(upstreams=[config.Target(to="c/four")]),
    },
)


def state(settings: config.Config = SETTINGS) -> State:
    return build_state(settings)


def names(choice) -> list[str]:
    return [upstream.names[0] for upstream in choice.upstreams]


def test_an_alias_gives_its_upstreams_and_then_those_of_its_fallbacks():
    grant = state().grant(ANYONE, "smart", CHAT)
    assert (grant.alias, grant.label) == ("smart", "smart")
    assert names(grant.choices[0]) == ["a/one", "b/two", "c/three"]
    assert [(choice.group.alias, names(choice)) for choice in grant.choices[1:]] == [
        ("cheap", ["a/small", "b/tiny"]),
        ("last", ["c/four"]),
    ]
    assert names(grant) == [*names(grant.choices[0]), "a/small", "b/tiny", "c/four"]


class Unread:
    """A module that is to be read when it is first asked for something, and cannot be."""

    def __getattr__(self, name: str):
        raise OSError(errno.EMFILE, "Too many open files")


def test_a_name_that_is_not_there_is_told_with_those_like_it_where_these_can_be_found(monkeypatch):
    few = {name: msgspec.structs.replace(each, models=["c-*"]) for name, each in SETTINGS.providers.items()}
    made = state(msgspec.structs.replace(SETTINGS, providers=few))
    with pytest.raises(ModelNotFound, match="Did you mean smart"):
        made.grant(ANYONE, "smard", CHAT)
    monkeypatch.setattr("edge.upstreams.router.difflib", Unread())
    with pytest.raises(ModelNotFound) as caught:
        made.grant(ANYONE, "smard", CHAT)
    assert "mean" not in caught.value.message


def test_a_mask_leaves_out_what_does_not_serve_the_endpoint_and_the_group_stays_one():
    made = state()
    chat, embeddings = (made.grant(ANYONE, "smart", route) for route in (CHAT, EMBEDDINGS))
    assert (chat.choices[0].mask, embeddings.choices[0].mask) == (0b111, 0b101)
    assert names(embeddings) == ["a/one", "c/three", "a/small", "c/four"]
    assert chat.choices[0].group is embeddings.choices[0].group


@pytest.mark.parametrize(
    ("models", "own", "fallbacks"),
    [
        (["smart"], ["a/one", "b/two", "c/three"], [[], []]),
        (["smart", "last"], ["a/one", "b/two", "c/three"], [[], ["c/four"]]),
        (["two", "tiny"], ["b/two"], [["b/tiny"], []]),
        (["a/*"], ["a/one"], [["a/small"], []]),
        (["nothing"], [], [[], []]),
    ],
)
def test_a_mask_leaves_out_what_the_key_may_not_use(models, own, fallbacks):
    may = Key(id="k", tenant="t", models=tuple(re.compile(translate(model)) for model in models), admin=False)
    grant = state().grant(may, "smart", CHAT)
    assert names(grant.choices[0]) == own
    assert [names(choice) for choice in grant.choices[1:]] == fallbacks
    assert names(grant) == own + [name for group in fallbacks for name in group]


def test_picks_are_among_the_masks_upstreams_that_were_not_tried_and_let_a_request_through():
    choice = state().grant(ANYONE, "smart", EMBEDDINGS).choices[0]
    assert choice.pick(1.0) == 0
    assert choice.pick(1.0, tried=0b001) == 2
    assert choice.pick(1.0, tried=0b101) == -1
    choice.group.members[0].cool_down(10.0)
    assert choice.pick(1.0) == 2
    assert choice.pick(11.0) == 0


def test_upstreams_of_several_aliases_are_one_member():
    both = msgspec.structs.replace(
        SETTINGS, models=SETTINGS.models | {"same": config.Model(upstreams=[config.Target(to="b/two")])}
    )
    made = state(both)
    smart, same = (made.grant(ANYONE, name, CHAT).choices[0].group for name in ("smart", "same"))
    named = made.grant(ANYONE, "b/two", CHAT).choices[0].group
    assert smart.members[1] is same.members[0] is named.members[0]


@pytest.mark.slow
def test_grants_are_made_once_and_bounded():
    made = state()
    first = made.grant(ANYONE, "smart", CHAT)
    assert made.grant(ANYONE, "smart", CHAT) is first
    for number in range(5_000):
        made.grant(ANYONE, f"gpt-{number}", CHAT)
        assert made.granted <= 4096
    again = made.grant(ANYONE, "smart", CHAT)
    assert (again.label, again.upstreams, again.cache) == (first.label, first.upstreams, first.cache)
    assert again.choices[0].group is first.choices[0].group


def test_who_asks_in_turns_gets_its_own_grant():
    made = state()
    asked = [(name, route) for name in ("smart", "b/two", "gpt-1") for route in (CHAT, match(b"/v1/messages").route)]
    first = {each: made.grant(ANYONE, *each) for each in asked}
    for each in [*asked, *asked[::-1], *[each for each in asked for _ in range(2)]]:
        assert made.grant(ANYONE, *each) is first[each]


def test_a_grant_is_its_snapshots_and_cannot_be_changed():
    old = state()
    grant = old.grant(ANYONE, "smart", CHAT)
    new = build_state(msgspec.structs.replace(SETTINGS, cache=config.Cache(mode="all")), old=old)
    other = new.grant(ANYONE, "smart", CHAT)
    assert (grant.cache, other.cache) == ("off", "all")
    assert other.choices[0].group.members[0] is grant.choices[0].group.members[0]
    assert other.choices[0].group is not grant.choices[0].group
    assert old.grant(ANYONE, "smart", CHAT) is grant


def test_a_list_of_models_makes_no_members():
    made = state()
    site = made.fleet.sites["c"]
    before = len(site._members)
    for number in range(100):
        made.router.listed_name(Upstream(made.providers["c"], f"c-{number}"), CHAT)
    assert len(site._members) == before


def test_a_memo_forgets_all_before_it_is_too_large():
    memo: dict[int, int] = {}
    for number in range(3):
        assert keep(memo, number, -number, 3) == -number
    assert memo == {0: 0, 1: -1, 2: -2}
    keep(memo, 3, -3, 3)
    assert memo == {3: -3}
