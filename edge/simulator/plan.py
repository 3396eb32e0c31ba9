"""How a request is to be answered: its timing and its faults, as docs/simulator.md has them.

Three ways to say it: a model's name that begins with ``sim-``; a script posted to ``/script``; the header
``x-sim-plan`` of a request sent here directly. All three use the same words, joined by ``-``, some with a number
after them: ``sim-words-100-tps-50-cut-20`` is a slow answer of a hundred words that breaks off after twenty events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Plan", "PlanError", "parse_plan", "plan_for"]

NUMBERED = {
    "retry": "retry_after",
    "retryms": "retry_after_ms",
    "retrydate": "retry_after_date",
    "hang": "hang_after",
    "stall": "stall_after",
    "rst": "rst_after",
    "cut": "cut_after",
    "half": "half_after",
    "inband": "inband_after",
    "drip": "drip",
    "words": "words",
}
"""Words that take a number, and the field it goes to."""
ALONE = {"hang", "rst", "cut"}
"""Those of them that also stand without one, as -1: before anything of the answer."""
TIMING = ("ttft", "tps")
FLAGS = (
    *("noretry", "html", "garbage", "empty", "surplus", "hostile", "redirect", "early", "gzip", "bomb"),
    "refusal",
)


class PlanError(ValueError):
    """A word is not known, or lacks its number."""


@dataclass(frozen=True, slots=True)
class Plan:
    """None means: does not happen. Counts after which something happens begin at 0."""

    status: int = 200
    words: int | None = None
    ttft_s: float = 0.0
    token_s: float = 0.0
    retry_after: int | None = None
    retry_after_ms: int | None = None
    retry_after_date: int | None = None
    hang_after: int | None = None
    stall_after: int | None = None
    rst_after: int | None = None
    cut_after: int | None = None
    half_after: int | None = None
    inband_after: int | None = None
    drip: int | None = None
    flags: frozenset[str] = frozenset()
    announced: str = ""
    """What every sentence begins with."""

    @property
    def at_once(self) -> bool:
        """Whether the whole answer can be one write."""
        faults = (self.hang_after, self.stall_after, self.rst_after, self.cut_after, self.half_after, self.drip)
        return self.ttft_s == 0 and all(fault is None for fault in faults)


def parse_plan(text: str, plan: Plan) -> Plan:
    """`plan` with what the words of `text` say. Raises PlanError."""
    words = text.split("-")
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if word.isdigit() and 400 <= int(word) < 600:
            plan = replace(plan, status=int(word))
            continue
        if word in FLAGS:
            plan = replace(plan, flags=plan.flags | {word})
            continue
        number = None
        if index < len(words) and words[index].isdigit():
            number = min(int(words[index]), 1_000_000)
        if word in NUMBERED and (number is not None or word in ALONE):
            changed: dict[str, Any] = {NUMBERED[word]: -1 if number is None else number}
            plan = replace(plan, **changed)
        elif word == "ttft" and number is not None:
            plan = replace(plan, ttft_s=number / 1000)
        elif word == "tps" and number is not None:
            plan = replace(plan, token_s=1 / number if number else 0.0)
        else:
            raise PlanError(f"'{word}' is no word of a plan, or its number is missing")
        if number is not None:
            index += 1
    return plan


def plan_for(model: str, default: Plan) -> Plan:
    """The plan a model's name asks for; `default` for a name that is none."""
    if not model.startswith("sim-"):
        return default
    try:
        return parse_plan(model[4:], default)
    except PlanError:
        return default
