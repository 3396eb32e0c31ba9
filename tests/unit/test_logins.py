"""An address that fails too often to show a valid key is told to wait."""

from __future__ import annotations

import pytest

from edge.guard.logins import MAX_ADDRESSES, FailedLogins


def test_so_many_fail_at_once_and_then_one_for_each_part_of_a_minute():
    logins = FailedLogins()
    assert [logins.failed("192.0.2.1", 6, 100.0) for _ in range(6)] == [0.0] * 6
    assert logins.failed("192.0.2.1", 6, 100.0) == pytest.approx(10)
    assert logins.failed("192.0.2.1", 6, 104.0) == pytest.approx(6)
    assert logins.failed("192.0.2.1", 6, 110.0) == 0
    assert logins.failed("192.0.2.1", 6, 110.0) > 0
    assert [logins.failed("192.0.2.1", 6, 500.0) for _ in range(7)].count(0.0) == 6


def test_what_is_told_to_wait_does_not_make_the_wait_longer():
    logins = FailedLogins()
    waits = [logins.failed("192.0.2.1", 1, 0.0) for _ in range(1000)]
    assert waits == [0.0, *[60.0] * 999]


def test_addresses_are_counted_apart_and_those_of_one_ipv6_network_together():
    logins = FailedLogins()
    assert logins.failed("192.0.2.1", 1, 0.0) == logins.failed("192.0.2.2", 1, 0.0) == 0
    assert logins.failed("2001:db8::1", 1, 0.0) == 0
    assert logins.failed("2001:db8::ffff", 1, 0.0) > 0
    assert logins.failed("2001:db8:0:1::1", 1, 0.0) == 0
    assert logins.failed("::ffff:192.0.2.1", 1, 0.0) > 0


def test_the_table_is_bounded_and_keeps_those_that_failed_last():
    logins = FailedLogins()
    for number in range(3 * MAX_ADDRESSES):
        logins.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1, 0.0)
        assert logins.failed("192.0.2.1", 1, 0.0) == (0.0 if number == 0 else 60.0)
    assert len(logins._known) <= MAX_ADDRESSES
