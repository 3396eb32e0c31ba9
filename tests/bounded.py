"""A plugin of pytest: a test that hangs fails, and shows where it stood. ``-p tests.bounded --test-s SECONDS``."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

AGAIN_S = 30


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--test-s",
        type=float,
        default=0.0,
        help="what a test may take, and its setup and its teardown each; 0: any time",
    )


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail where this thread, the main one, stands after so long: a signal ends what it waits for. A loop that it runs keeps
    what is raised to itself, so the loop's tasks are cancelled; if that does not end it, the next signal raises.
    """
    told = f"it hangs: this took longer than {seconds:g} s"
    cancelled = False

    def late(_: int, frame: FrameType | None) -> None:
        nonlocal cancelled
        loop = asyncio._get_running_loop()
        if loop is None or cancelled:
            pytest.fail(told)
        cancelled = True
        for task in asyncio.all_tasks(loop):
            loop.call_soon_threadsafe(task.cancel, told)

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# Each by itself, so that what has failed so is torn down, and the processes that it has started are stopped.
@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with within(item.config.getoption("--test-s")):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with within(item.config.getoption("--test-s")):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    with within(item.config.getoption("--test-s")):
        return (yield)
