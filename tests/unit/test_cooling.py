"""Which of a provider's keys is asked, and which is left alone until when."""

from __future__ import annotations

import pytest

from edge.upstreams.cooling import ANY, MAX_MODELS, Cooling


def test_a_key_rests_for_one_model_until_the_later_time():
    cooling = Cooling()
    assert not cooling.noted
    cooling.rest("m", 12.0, 429, 10.0)
    cooling.rest("m", 11.0, 503, 10.0)
    assert cooling.resting("m", 10.5) == (1.5, 429)
    assert cooling.resting("m", 12.0) == (0.0, 0)
    assert cooling.resting("other", 10.5) == (0.0, 0)


def test_a_time_that_is_over_is_no_rest():
    cooling = Cooling()
    cooling.rest("m", 10.0, 429, 10.0)
    cooling.avoid("m", 9.0, 10.0)
    assert not cooling.noted


def test_what_was_refused_is_avoided_for_all_models_until_it_has_answered():
    cooling = Cooling()
    cooling.avoid(ANY, 20.0, 10.0)
    assert cooling.avoided("m", 19.9)
    assert not cooling.avoided("m", 20.0)
    cooling.answered("m")
    assert not cooling.avoided("m", 15.0)


def test_a_key_is_usual_while_it_neither_rests_nor_is_crowded_nor_avoided():
    cooling = Cooling()
    assert cooling.usual("m", 10.0)
    cooling.rest("m", 12.0, 429, 10.0)
    cooling.crowd("m", 13.0, 10.0)
    cooling.avoid(ANY, 14.0, 10.0)
    assert [cooling.usual("m", now) for now in (11.9, 12.9, 13.9, 14.0)] == [False, False, False, True]
    assert [cooling.limited("m", now) for now in (11.9, 12.9, 13.0)] == [True, True, False]
    assert [cooling.usual("other", now) for now in (11.9, 14.0)] == [False, True]
    assert not cooling.limited("other", 11.9)
    cooling.answered("m")
    assert cooling.limited("m", 11.9)
    assert cooling.usual("m", 12.0)
    assert cooling.state(11.9) == "resting"
    cooling.crowd("m", 13.0, 12.0)
    assert cooling.state(12.0) == "avoided"
    assert cooling.state(13.0) == ""
    assert not cooling.noted


@pytest.mark.parametrize(
    "note",
    [
        lambda c, m, t: c.rest(m, t + 5, 429, t),
        lambda c, m, t: c.avoid(m, t + 5, t),
        lambda c, m, t: c.crowd(m, t + 5, t),
    ],
)
def test_models_that_clients_name_take_no_more_than_their_room(note):
    cooling = Cooling()
    for number in range(MAX_MODELS * 2):
        note(cooling, f"m{number}", 1.0)
    last = f"m{MAX_MODELS * 2 - 1}"
    assert cooling.limited(last, 2.0) or cooling.avoided(last, 2.0)
    assert len(cooling._resting) + len(cooling._avoided) + len(cooling._crowded) == MAX_MODELS
