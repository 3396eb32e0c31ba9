"""What vendors multiply their prices by, where an answer says that it was given in a special way.

A price list has the standard prices; what an answer of another service tier, speed or region costs is a multiple of
them, by each vendor's pages:

* Anthropic: https://platform.claude.com/docs/en/about-claude/pricing (data residency, batches) and
  https://platform.claude.com/docs/en/build-with-claude/fast-mode (fast mode), November 2026. A factor counts for all
  kinds of tokens, those of the prompt cache too, and not for searches of the web. Factors multiply each other. The tier
  ``priority`` is capacity that was bought before: its tokens cost what others cost.
* OpenAI: https://developers.openai.com/api/docs/pricing, https://openai.com/api-fast-mode and
  https://developers.openai.com/api/docs/guides/ultrafast-mode, November 2026. ``fast`` and ``priority`` are two words
  for one tier. The tier ``scale`` is capacity that was bought before.

A word that no rule names costs what is standard.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Rule", "factor_of"]


class Rule(NamedTuple):
    """``words`` are what an answer may say of its tier, speed or region, ``models`` globs for ids of the price list."""

    vendor: str
    words: tuple[str, ...]
    models: tuple[str, ...]
    times: Fraction


FAST = ("priority", "fast")
ANY = ("*",)

RULES = (
    Rule("anthropic", ("batch",), ANY, Fraction(1, 2)),
    Rule("anthropic", ("fast",), ("claude-opus-4-6", "claude-opus-4-7"), Fraction(6)),
    Rule("anthropic", ("fast",), ANY, Fraction(2)),
    # Where inference takes place has a price from the 4.6 models on.
    Rule(
        "anthropic",
        ("us",),
        ("claude-[v123]*", "claude-opus-4-[015]", "claude-sonnet-4-[05]", "claude-haiku-4-5"),
        Fraction(1),
    ),
    Rule("anthropic", ("us",), ANY, Fraction(11, 10)),
    Rule("openai", ("flex", "batch"), ANY, Fraction(1, 2)),
    Rule("openai", ("ultrafast",), ("gpt-6.2-sol",), Fraction(3)),  # until the end of February 2027, then 6
    Rule("openai", ("ultrafast",), ANY, Fraction(6)),
    Rule("openai", FAST, ("gpt-5.5",), Fraction(5, 2)),
    Rule("openai", FAST, ("gpt-5-mini",), Fraction(9, 5)),
    Rule("openai", FAST, ("gpt-4.1", "gpt-4.1-mini", "o3"), Fraction(7, 4)),
    Rule("openai", FAST, ("o4-mini",), Fraction(20, 11)),
    Rule("openai", FAST, ("gpt-4o",), Fraction(17, 10)),
    Rule("openai", FAST, ("gpt-4o-mini",), Fraction(5, 3)),
    Rule("openai", FAST, ANY, Fraction(2)),
)
"""Tried from the top; the first that fits counts."""


@lru_cache(maxsize=1024)
def factor_of(vendor: str, model: str, word: str) -> Fraction | None:
    """What the tokens of an answer cost that says `word` of itself, in standard prices: None for those as they are.
    `vendor` and `model` are ids of the price list.
    """
    for rule in RULES:
        if rule.vendor == vendor and word in rule.words and any(fnmatchcase(model, glob) for glob in rule.models):
            return rule.times
    return None
