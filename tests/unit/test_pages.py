"""How the pages are made."""

from __future__ import annotations

import inspect

from edge.server.pages import _callers


def test_who_has_called_is_told_as_inspect_tells_it_but_for_the_source():
    for ours, theirs in zip(_callers(1), inspect.stack(0), strict=True):
        assert ours == theirs
        assert (ours.frame, ours.lineno, ours.function) == (theirs.frame, theirs.lineno, theirs.function)
