"""What the descriptors of a process are before it serves: the standard ones are open, and it may open many."""

from __future__ import annotations

import os
import resource
import sys

__all__ = ["open_standard_streams", "raise_limit"]

ENDLESS = 1 << 20
"""What is counted with where there is no limit."""


def open_standard_streams() -> None:
    """Put the null device where descriptor 0, 1 or 2 is closed: the next socket would get its number, and would be sent
    what is meant for people.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115


def raise_limit() -> int:
    """Let this process open as many descriptors as it may allow itself; how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            pass  # as on macOS, which has a lower bound than it says
    return ENDLESS if soft == resource.RLIM_INFINITY else soft
