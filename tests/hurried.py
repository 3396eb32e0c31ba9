"""Edges whose clients have less time than those of users."""

from __future__ import annotations

import sys


def hurried(**seconds: float) -> tuple[str, ...]:
    """A program for `Edge` with other deadlines for what a client sends, by their names in `edge.server.patience`: what
    comes of them is seen sooner. What they are in truth is looked at by `test_floods.py`.
    """
    lines = [
        "from edge.server import patience",
        f"assert {set(seconds)!r} <= set(patience.__all__)",
        f"vars(patience).update({seconds!r})",
        "from edge.__main__ import main",
        "main()",
    ]
    return (sys.executable, "-c", "\n".join(lines))
