"""What is no JSON ends the search for texts, whoever let it through."""

from __future__ import annotations

import pytest

from edge.guard.leaves import ENDED, Leaves


@pytest.mark.parametrize("body", [b'"abc', b'{"messages":[{"content":"a\\', b'{"a":"' + b"y" * 5000])
def test_bytes_that_are_no_json_do_not_hold_the_loop(body):
    leaves = Leaves(body)
    with pytest.raises((ValueError, IndexError)):
        for _ in range(10_000):
            assert leaves.next() is not ENDED
