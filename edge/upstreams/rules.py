"""Whether a provider's failure can be somebody else's success: the rule for each status, before the first content."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["REFUSED_S", "RULES", "UNSERVED", "Rule"]


REFUSED_S = 60.0
"""An operator mends what a key was refused for within minutes, if at all."""
CROWDED_S = 1.0
"""Providers count their limits by the second too (https://platform.openai.com/docs/guides/rate-limits), and who
serves a number at a time has room again in about as long."""


class Rule(NamedTuple):
    """``other``: another upstream may do better; ``key``: so may another of the provider's keys; ``again``: so may the
    same one, a little later. ``taken``: the provider may have begun with the request, so work that it keeps is not
    asked for elsewhere. ``rests``: what it says of a wait is heeded; ``avoided_s``: for so many seconds the key is
    avoided where it says nothing of one (`edge.upstreams.cooling`).
    """

    other: bool
    key: bool
    again: bool
    taken: bool
    rests: bool
    avoided_s: float = 0.0


RULES = {
    #         other key   again  taken  rests  avoided_s
    401: Rule(True, True, False, False, False, REFUSED_S),
    402: Rule(True, True, False, False, False, REFUSED_S),
    403: Rule(True, True, False, False, False, REFUSED_S),
    408: Rule(True, False, True, True, False),  # from somebody on the way, who does not know, as are 502 and 504
    425: Rule(True, False, True, False, False),
    429: Rule(True, True, True, False, True, CROWDED_S),
    500: Rule(True, False, True, True, False),  # may come from the middle of the work
    502: Rule(True, False, True, True, False),
    503: Rule(True, False, True, False, True),
    504: Rule(True, False, True, True, False),
    529: Rule(True, False, True, False, True),
}
"""Statuses that say nothing against the request itself; any other is the client's answer. RFC 9110, section 15; RFC
8470 (425); 529 is Anthropic's for an overload (https://platform.claude.com/docs/en/api/errors)."""

UNSERVED = frozenset({501, 505})
"""Statuses by which a provider says that it does no such thing: they say nothing of how it does. RFC 9110, sections
15.6.2 and 15.6.6."""
