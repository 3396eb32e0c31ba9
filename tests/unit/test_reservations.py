"""What a request may come to is reserved, and settled once by what it came to, by clocks that are set by hand."""

from __future__ import annotations

import pytest

from edge import config
from edge._fast import Lines
from edge.errors import BudgetExceeded, RateLimited
from edge.guard.auth import key_from
from edge.guard.counts import Counts
from edge.guard.expected import expected_input, expected_output, most_output
from edge.guard.limits import shared_limits, shared_spend
from edge.guard.quotas import Quota, Quotas, last_day, quotas_of
from edge.guard.reservation import FOLLOWS, MOST_TOKENS, Reservation, tokens_of
from edge.hooks import MAX_COUNT, Usage
from edge.money.pricing import PICO, ModelPrice
from edge.money.usage_table import UsageTable
from edge.reply_fields import pairs_of
from tests.unit.calls import asked
from tests.unit.test_accounting import Tally

DAY = 20786
NOON = DAY * 86400 + 43200
A_DOLLAR = ModelPrice("m", input=PICO // 100, output=PICO // 100)
"""A cent for each token."""


class Clocked(Counts):
    """By clocks that stand still until they are told."""

    def __init__(self):
        self.tally = Tally()
        usage = UsageTable(bytearray(UsageTable.size(2)), 2, 1)
        clocks = (lambda: self.at_ns), (lambda: self.at_s)
        super().__init__(shared_limits(2), shared_spend(2), usage, 1, self.tally, b"machine", *clocks)
        self.at_ns, self.at_s = 10**15, float(NOON)

    at_ns = 0
    at_s = 0.0

    def later(self, seconds):
        self.at_ns += int(seconds * 1e9)
        self.at_s += seconds


class Counting:
    """Counts with quotas, and what is left of the first."""

    def __init__(self, *quotas, price=A_DOLLAR):
        self.counts = Clocked()
        self.quotas = Quotas(quotas, price, "k", "t", "m")

    def reservation(self):
        return Reservation(self.counts, self.quotas)

    def taken(self, input_tokens, output_tokens):
        made = self.reservation()
        made.take(input_tokens, output_tokens, None)
        return made

    def tokens_left(self):
        quota = self.quotas.all[0]
        return self.counts.limits.remaining(quota.tokens_mark, quota.interval_ns, quota.tokens, self.counts.at_ns)[0]

    def money(self, number=0):
        mark = self.quotas.all[number].mark(self.counts.today())
        return self.counts.spend.spent(mark) / PICO, self.counts.spend.held(mark) / PICO


def told(made, dialect):
    """The fields that tell what is left."""
    lines = Lines()
    made.write(lines, dialect == "anthropic")
    return pairs_of(lines.back())


def tokens(number, scope="key"):
    return Quota(scope, "x", number, -1, "day")


def budget(dollars, scope="key", per="day"):
    return Quota(scope, "x", 0, int(dollars * PICO), per)


def test_the_states_follow_each_other_as_they_are_written_down():
    _, asked, held, ended = states = tuple(FOLLOWS)
    assert [FOLLOWS[state] for state in states] == [(asked, held, ended), (held, ended), (ended,), ()]
    made = Counting(tokens(100)).taken(1, 1)
    with pytest.raises(AssertionError):
        made.take(1, 1, None)


def test_what_was_not_needed_is_given_back():
    counting = Counting(tokens(1000))
    made = counting.taken(100, 400)
    assert counting.tokens_left() == 500
    made.used(Usage(input=90, output=110), -1)
    assert counting.tokens_left() == 500
    made.end()
    assert counting.tokens_left() == 800
    made.end()
    assert counting.tokens_left() == 800


def test_what_was_needed_beyond_has_to_come_back_first():
    counting = Counting(tokens(600))
    made = counting.taken(100, 0)
    made.used(Usage(input=100, output=1500), -1)
    made.end()
    with pytest.raises(RateLimited) as refused:
        counting.taken(100, 0)
    # 1600 are used, and ten come back each second: 500 may be, when 1100 have come back.
    assert dict(refused.value.headers)[b"retry-after"] == b"110"
    counting.counts.later(109.9)
    with pytest.raises(RateLimited):
        counting.taken(100, 0)
    counting.counts.later(0.1)
    counting.taken(100, 0).end()


def test_a_request_that_nobody_answered_gives_everything_back():
    counting = Counting(tokens(1000))
    counting.taken(300, 300).end()
    assert counting.tokens_left() == 1000


def test_what_has_come_back_by_itself_is_not_given_back_again():
    counting = Counting(tokens(600))
    slow = counting.taken(300, 0)
    counting.counts.later(20)
    assert counting.tokens_left() == 500
    other = counting.taken(400, 0)
    slow.end()  # a hundred of it had not come back
    assert counting.tokens_left() == 200
    counting.counts.later(60)
    other.end()
    assert counting.tokens_left() == 600
    counting.taken(500, 0).used(Usage(input=500), -1)
    other.end()
    assert counting.tokens_left() == 100


def test_a_long_answer_is_not_counted_twice():
    counting = Counting(tokens(600))
    made = counting.taken(100, 400)
    counting.counts.later(120)
    made.used(Usage(input=100, output=300), -1)
    made.end()
    assert counting.tokens_left() == 600


def test_an_answer_that_is_charged_after_the_end_counts_by_itself():
    counting = Counting(Quota("key", "x", 1000, 10 * PICO, "day"))
    made = counting.taken(10, 10)
    made.end()
    assert counting.tokens_left() == 1000
    made.used(Usage(input=10, output=190), 2 * PICO)
    assert counting.tokens_left() == 800
    assert counting.money() == (2.0, 0.0)


def test_each_attempt_that_is_charged_counts():
    counting = Counting(Quota("key", "x", 1000, 10 * PICO, "day"))
    made = counting.taken(100, 100)
    made.used(Usage(input=100, output=100), PICO)
    made.used(Usage(input=100, output=100), PICO)
    made.end()
    assert counting.tokens_left() == 600
    assert counting.money() == (2.0, 0.0)


def test_money_is_spent_before_it_is_reserved_no_more():
    counting = Counting(budget(10))
    made = counting.taken(100, 400)
    assert counting.money() == (0.0, 5.0)
    made.used(Usage(input=100, output=100), 2 * PICO)
    assert counting.money() == (2.0, 5.0)
    made.end()
    assert counting.money() == (2.0, 0.0)


def test_a_budget_is_never_exceeded_and_says_when_there_is_more():
    counting = Counting(budget(10))
    first = counting.taken(100, 800)
    with pytest.raises(BudgetExceeded, match="in flight") as refused:
        counting.taken(100, 100)
    assert dict(refused.value.headers)[b"retry-after"] == b"1"
    first.used(Usage(input=100, output=800), 9 * PICO)
    first.end()
    with pytest.raises(BudgetExceeded, match=r"the next begins at 2026-11-30 00:00 UTC") as refused:
        counting.taken(100, 100)
    assert refused.value.code == "insufficient_quota"
    assert refused.value.kind == "policy_budget"
    assert dict(refused.value.headers)[b"retry-after"] == b"43200"
    assert dict(refused.value.headers)[b"x-should-retry"] == b"false"
    counting.taken(100, 0).end()
    counting.counts.later(43200)
    counting.taken(100, 900).end()


def test_what_was_reserved_on_one_day_is_spent_on_that_day():
    counting = Counting(budget(10))
    made = counting.taken(100, 400)
    yesterday = counting.quotas.all[0].mark(counting.counts.today())
    counting.counts.later(43201)
    made.used(Usage(input=100, output=400), 5 * PICO)
    made.end()
    assert counting.money() == (0.0, 0.0)
    assert counting.counts.spend.spent(yesterday) == 5 * PICO
    assert counting.counts.spend.held(yesterday) == 0


@pytest.mark.parametrize(
    ("day", "last"),
    [
        ("2026-11-01", "2026-11-30"),
        ("2026-11-30", "2026-11-30"),
        ("2026-12-31", "2026-12-31"),
        ("2028-02-01", "2028-02-29"),
    ],
)
def test_a_month_is_one_of_the_calendar(day, last):
    from datetime import date

    epoch = date(1970, 1, 1)
    number = (date.fromisoformat(day) - epoch).days
    assert last_day(number, "month") == (date.fromisoformat(last) - epoch).days
    assert last_day(number, "day") == number
    quota = budget(1, per="month")
    assert quota.mark(number) & 0xFFFF == last_day(number, "month") & 0xFFFF
    assert quota.ends(number) == last_day(number, "month") + 1


def test_what_one_quota_refuses_is_given_back_to_the_others():
    counting = Counting(tokens(1000), budget(100, "tenant"), Quota("model", "m", 1000, 1 * PICO, "day"))
    with pytest.raises(BudgetExceeded, match="The model 'm' may spend 1 USD a day"):
        counting.taken(100, 100)
    assert counting.tokens_left() == 1000
    assert counting.money(1) == counting.money(2) == (0.0, 0.0)
    other = counting.quotas.all[2]
    assert (
        counting.counts.limits.remaining(other.tokens_mark, other.interval_ns, 1000, counting.counts.at_ns)[0] == 1000
    )


def test_who_asks_for_more_than_a_minute_has_is_refused_for_good():
    counting = Counting(tokens(1000))
    with pytest.raises(RateLimited, match="the request alone has about 1001") as refused:
        counting.taken(1001, 0)
    assert refused.value.headers == [(b"x-should-retry", b"false")]
    # That it may write more than a minute has does not keep it from being answered.
    made = counting.taken(100, 32000)
    assert counting.tokens_left() == 0
    made.used(Usage(input=100, output=50), -1)
    made.end()
    assert counting.tokens_left() == 850


def test_what_is_left_is_told_by_the_scarcest():
    counting = Counting(tokens(1000), tokens(200, "tenant"), budget(10), budget(2, "tenant"))
    made = counting.taken(50, 50)
    assert told(made, "openai") == [
        (b"x-ratelimit-limit-tokens", b"200"),
        (b"x-ratelimit-remaining-tokens", b"100"),
        (b"x-ratelimit-reset-tokens", b"30s"),
        (b"x-ratelimit-limit-usd", b"2.000000"),
        (b"x-ratelimit-remaining-usd", b"1.000000"),
        (b"x-ratelimit-reset-usd", b"43200s"),
    ]
    assert dict(told(made, "anthropic"))[b"anthropic-ratelimit-usd-remaining"] == b"1.000000"
    assert dict(told(made, "anthropic"))[b"anthropic-ratelimit-usd-reset"] == b"2026-11-30T00:00:00Z"
    assert dict(told(made, "anthropic"))[b"anthropic-ratelimit-tokens-limit"] == b"200"


def test_each_decision_is_counted():
    counting = Counting(Quota("key", "x", 1000, PICO, "day"))
    counting.taken(10, 10)
    for _ in range(2):
        with pytest.raises(BudgetExceeded):
            counting.taken(90, 0)
    with pytest.raises(RateLimited):
        counting.taken(1000, 0)
    assert counting.counts.tally.counts == {
        ("edge_limit_decisions_total", "tokens", "admitted"): 3,
        ("edge_limit_decisions_total", "budget", "admitted"): 1,
        ("edge_limit_decisions_total", "budget", "refused"): 2,
        ("edge_limit_decisions_total", "tokens", "refused"): 1,
    }


def test_a_key_counts_by_itself_by_its_tenant_and_by_the_alias_it_asks_for():
    settings = config.Config(
        auth=config.Auth(tenants={"t": config.Tenant(tokens_per_minute=7), "u": config.Tenant(tokens_per_minute=8)}),
        models={"smart": config.Model(upstreams=[config.Target(to="a/b")], budget=config.Budget(usd=0.1, per="month"))},
    )
    key = key_from(
        config.Key(id="k", tenant="t", digests=["sha256:" + "0" * 64], budget=config.Budget(usd=2.5, per="day"))
    )
    found = quotas_of(settings, key, "smart")
    assert [(each.scope, each.name, each.tokens, each.budget, each.per) for each in found] == [
        ("key", "k", 0, 2_500_000_000_000, "day"),
        ("tenant", "t", 7, -1, "day"),
        ("model", "smart", 0, 100_000_000_000, "month"),
    ]
    plain = key_from(config.Key(id="other", digests=["sha256:" + "0" * 64]))
    assert quotas_of(settings, plain, "") == ()
    # Whoever has the same name in another scope has its own.
    marks = {Quota(scope, "x", 1, 1, per).mark(DAY) for scope in ("key", "tenant", "model") for per in ("day", "month")}
    assert len(marks) == 6


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({}, None),
        ({"max_tokens": 12}, 12),
        ({"max_tokens": 12, "max_completion_tokens": 5}, 5),
        ({"max_tokens": 12, "n": 3}, 36),
        ({"max_output_tokens": 7}, 7),
        ({"max_tokens": None}, None),
        ({"max_tokens": -5}, None),
        ({"max_tokens": 1.5}, None),
        ({"max_tokens": "12"}, None),
        ({"max_tokens": 10**30}, None),
    ],
)
def test_what_may_be_written_is_the_most_that_the_request_says(fields, most):
    call = asked({"model": "m", "messages": [], **fields})
    assert most_output(call.payload) == (most or 0)


def test_a_request_that_says_nothing_is_expected_to_be_answered_as_usual():
    counting = Counting(tokens(10**6))
    call = asked({"model": "m", "messages": [{"role": "user", "content": "x" * 400}]})
    call.grant = type(call.grant)("", "m", (), quotas=counting.quotas)
    assert expected_output(call) == 500
    made = counting.taken(1, 1)
    for _ in range(200):
        made.used(Usage(input=1, output=60), -1)
    assert 60 <= expected_output(call) <= 67
    assert 100 <= expected_input(call) <= 120
    embedding = asked({"model": "m", "input": "x" * 400}, "/v1/embeddings")
    assert expected_output(embedding) == 0


def test_what_nobody_can_write_is_expected_to_be_no_more_than_can_be_counted():
    call = asked({"model": "m", "messages": [], "max_tokens": 10**12 - 1, "n": 10**12 - 1})
    assert expected_output(call) == MOST_TOKENS
    counting = Counting(budget(5))
    with pytest.raises(BudgetExceeded):
        counting.taken(expected_input(call), expected_output(call))


def test_a_count_that_cannot_be_right_is_bounded_and_leaves_the_next_request_alone():
    counting = Counting(tokens(10**6), budget(1))
    made = counting.taken(1, 1)
    for _ in range(2000):
        made.used(Usage(input=MAX_COUNT, output=MAX_COUNT), MAX_COUNT * 10**9)
    made.end()
    assert counting.quotas.usual.output <= 1 << 17
    assert counting.money(1) == ((1 << 60) / PICO, 0.0)
    (used,) = counting.counts.usage.unwritten().values()
    assert (used.output, used.cost) == (2000 * MOST_TOKENS, 1 << 62)


def test_all_tokens_count_those_of_the_prompt_cache_too():
    assert tokens_of(Usage(1, 2, 4, 8, 16)) == 15
    assert tokens_of(Usage()) == 0


def test_what_is_used_on_another_day_is_booked_in_a_row_of_its_own():
    counting = Counting(tokens(1000))
    counts, quotas = counting.counts, counting.quotas
    for days in (0, 1, 0, 3, 3):
        counts.at_s = NOON + 86400.0 * days
        counting.taken(1, 1).end()
    booked = counts.usage.unwritten()
    assert {row.day - DAY: used.requests for row, used in booked.items()} == {0: 2, 1: 1, 3: 2}
    assert {row[1:] for row in booked} == {(quotas.key, quotas.tenant, quotas.model)}
