"""A response that is kept here, for a provider that keeps none: what it is called, and what has become of it."""

from __future__ import annotations

import os
import re

__all__ = ["OURS", "KeptResponse"]

OURS = re.compile(r"resp_edge[0-9a-f]{32}")
"""Ids of these. No vendor's ids are of this form."""


class KeptResponse:
    """``previous`` is the id of the one that its request goes on with, None for none; ``whole`` its JSON as the client
    gets it, b"" until it is complete.
    """

    __slots__ = ("id", "previous", "whole")

    def __init__(self, previous: str | None = None) -> None:
        self.id = f"resp_edge{os.urandom(16).hex()}"
        self.previous = previous
        self.whole = b""
