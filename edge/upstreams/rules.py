"""Whether a provider's failure can be somebody else's success: the rule for each status, before the first content."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["RULES", "UNSERVED", "Rule"]


class Rule(NamedTuple):
    """``other``: another upstream may do better; ``key``: so may another of the provider's keys; ``again``: so may the
    same one, a little later. ``taken``: the provider may have begun with the request, so work that it keeps is not
    asked for elsewhere. ``rests``: what it says of a wait is heeded.
    """

    other: bool
    key: bool
    again: bool
    taken: bool
    rests: bool


RULES = {
    #         other key   again  taken  rests
    401: Rule(True, True, False, False, False),
    402: Rule(True, True, False, False, False),
    403: Rule(True, True, False, False, False),
    408: Rule(True, False, True, True, False),  # from somebody on the way, who does not know, as are 502 and 504
    425: Rule(True, False, True, False, False),
    429: Rule(True, True, True, False, True),
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
