"""How a request is to be answered: its timing and its faults, read off the model's name.

``sim-`` and directives joined by ``-``, each a word, some with a number:

=================  ==================================================================================================
``429``, ``500``…  answer with that error status in the dialect's own form (400 to 599)
``hang``           take the request and never answer
``hang-N``         stop for ever after N events of a stream
``rst``            reset the connection instead of answering
``rst-N``          reset it after N bytes of the body
``cut``            end the connection after the head; ``cut-N``: after N events of a stream, N bytes of JSON
``words-N``        an answer of N words
``ttft-N``         N milliseconds to the first token
``tps-N``          N tokens a second
=================  ==================================================================================================

``sim-words-100-tps-50-cut-20`` is a slow answer of a hundred words that breaks off after twenty events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Plan", "plan_for"]


@dataclass(frozen=True, slots=True)
class Plan:
    """None means: does not happen."""

    status: int = 200
    words: int | None = None
    ttft_s: float = 0.0
    token_s: float = 0.0
    hang_after: int | None = None
    rst_after: int | None = None
    cut_after: int | None = None

    @property
    def plain(self) -> bool:
        """Whether the answer can be one prebuilt write."""
        return self.ttft_s == 0 and self.hang_after is None and self.rst_after is None and self.cut_after is None


def plan_for(model: str, default: Plan) -> Plan:
    """The plan a model's name asks for; `default` for a name without directives."""
    if not model.startswith("sim-"):
        return default
    plan = default
    words = model[4:].split("-")
    index = 0
    while index < len(words):
        word = words[index]
        number = int(words[index + 1]) if index + 1 < len(words) and words[index + 1].isdigit() else None
        index += 1
        if word.isdigit() and 400 <= int(word) < 600:
            plan = replace(plan, status=int(word))
            continue
        if word in ("hang", "rst", "cut"):
            plan = replace(plan, **{f"{word}_after": -1 if number is None else number})
        elif number is None:
            continue
        elif word == "words":
            plan = replace(plan, words=min(number, 100_000))
        elif word == "ttft":
            plan = replace(plan, ttft_s=number / 1000)
        elif word == "tps":
            plan = replace(plan, token_s=1 / number if number else 0.0)
        if number is not None and word in ("hang", "rst", "cut", "words", "ttft", "tps"):
            index += 1
    return plan
