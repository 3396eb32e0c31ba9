"""Work on large bodies in steps."""

from __future__ import annotations

import asyncio

import pytest

from edge.errors import InvalidRequest
from edge.slices import Slices, Work


def test_slices_take_what_is_added_while_another_ends():
    loop, slices, order = asyncio.new_event_loop(), Slices(), []

    async def run():
        ended = loop.create_future()

        def first_is_done(error):
            order.append("first")
            slices.add(lambda: True, lambda error: (order.append("second"), ended.set_result(None)))

        slices.add(lambda: True, first_is_done)
        await ended
        await asyncio.sleep(0)

    failures = []
    loop.set_exception_handler(lambda _, context: failures.append(context))
    loop.run_until_complete(run())
    loop.close()
    assert order == ["first", "second"]
    assert failures == []


def test_work_tells_when_it_is_done_and_what_went_wrong():
    def steps(fails):
        for _ in range(1000):
            yield
        if fails:
            raise InvalidRequest("so")
        return 7

    work = Work(steps(False))
    while not work.step():
        pass
    assert work.result == 7
    failing = Work(steps(True))
    with pytest.raises(InvalidRequest):
        while not failing.step():
            pass
