"""A response that is kept here, for a provider that keeps none: what it is called, and what has become of it."""

from __future__ import annotations

import os
import re

__all__ = ["OURS", "OUR_CONVERSATION", "KeptResponse", "conversation_id"]

OURS = re.compile(r"resp_edge[0-9a-f]{32}")
OUR_CONVERSATION = re.compile(r"conv_edge[0-9a-f]{32}")
"""Ids of these. No vendor's ids are of this form."""


def conversation_id() -> str:
    """A new one."""
    return f"conv_edge{os.urandom(16).hex()}"


class KeptResponse:
    """``previous`` is the id of the one that its request goes on with, None for none; ``whole`` its JSON as the client
    gets it, b"" until it is complete. ``stored``: it is asked for by its id later.

    ``conversation`` is the id of the conversation that it belongs to, "" for none; ``turn`` the number of its turn
    there, and ``before`` how many items of its input were said before.
    """

    __slots__ = ("before", "conversation", "id", "previous", "stored", "turn", "whole")

    def __init__(
        self, previous: str | None = None, *, conversation: str = "", turn: bytes = b"", stored: bool = True
    ) -> None:
        self.id = f"resp_edge{os.urandom(16).hex()}"
        self.previous = previous
        self.conversation = conversation
        self.turn = turn
        self.stored = stored
        self.before = 0
        self.whole = b""
