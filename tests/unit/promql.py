"""What a PromQL expression names: enough of its grammar for the expressions of `deploy/`."""

from __future__ import annotations

import re
from typing import NamedTuple

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\d[\w.]*|[A-Za-z_:][\w:]*|=~|!~|!=|[^\s]')
GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
WORDS = {"and", "or", "unless", "offset", "bool"}
NAME = re.compile(r"[A-Za-z_:][\w:]*")


class Selector(NamedTuple):
    metric: str
    matchers: tuple[tuple[str, str, str], ...]
    """Label, operator and value of each."""


class Named(NamedTuple):
    """``labels`` are those that results are grouped by, or joined on."""

    selectors: list[Selector]
    labels: set[str]


def named(expression: str) -> Named:
    tokens = TOKEN.findall(expression)
    found = Named([], set())
    at = 0
    while at < len(tokens):
        token, after = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
        at += 1
        if token in GROUPING:
            end = tokens.index(")", at)
            found.labels.update(each for each in tokens[at:end] if NAME.fullmatch(each))
            at = end
        elif NAME.fullmatch(token) and after not in ("(", "by", "without") and token not in WORDS:
            matchers = ()
            if after == "{":
                end = tokens.index("}", at)
                inside = [each for each in tokens[at + 1 : end] if each != ","]
                matchers = tuple((inside[n], inside[n + 1], inside[n + 2].strip('"')) for n in range(0, len(inside), 3))
                at = end + 1
            found.selectors.append(Selector(token, matchers))
    return found
