"""What was seen in a case, in a form that is the same for the same behaviour.

What differs from run to run (identifiers that the edge makes, times, durations, ports) becomes a placeholder that keeps
its form: a header that goes missing, or a duration that is no number any more, is a difference.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

__all__ = ["Placeholders", "answer_of", "delta", "line_of", "request_of", "series", "to_line"]

VERBATIM = 3000
"""Longer bodies are told by their length, digest, beginning and end."""
SHOWN = 400
Fields = Iterable[tuple[str, str]]

MEASURED = {
    "date": re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"),
    "age": re.compile(r"\d+"),
    "x-edge-overhead-ms": re.compile(r"\d+(\.\d+)?"),
    "traceparent": re.compile(r"(?<=-)[0-9a-f]{16}(?=-)"),
}
"""Fields of heads, and the part of their values that is measured or made anew each time."""
TIMES = ("duration_ms", "overhead_ms", "waited_ms", "upstream_ms", "first_content_ms", "after_ms", "took_ms")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
NOW = re.compile(r'("(?:created(?:_at)?|completed_at)": ?)(1\d{9})\b')
DAY_S = 86400
UNSEEN = (
    "process_",
    "edge_build_info",
    "edge_connections",
    "edge_event_loop_lag",
    "edge_gc_pause",
    "edge_log_queue",
    "edge_upstream_connections",
    "edge_upstream_keys",
)
"""Metrics of the machine and the build, of when connections close, or of what is looked at now and then."""

WEIGHED = "edge_cache_size_bytes"
"""A stored stream weighs by the pieces that it came in."""


class Placeholders:
    """The volatile values of one case. ``learn`` notes one; ``text`` puts placeholders in the place of all."""

    def __init__(self, known: dict[str, str] | None = None, volatile: Iterable[str] = ()) -> None:
        """`known` are values with their placeholders, such as addresses; `volatile` patterns of what the case itself
        says will differ: their first group, or all of a match.
        """
        self._known = dict(known or {})
        self._volatile = [re.compile(pattern) for pattern in volatile]
        self._made = 0

    def learn(self, value: str, kind: str) -> None:
        if value and value not in self._known:
            self._made += 1
            self._known[value] = f"<{kind} {self._made}: {shape(value)}>"

    def text(self, text: str) -> str:
        for value in sorted(self._known, key=len, reverse=True):
            text = text.replace(value, self._known[value])
        text = STAMP.sub("<time>", NOW.sub(_recent, text))
        for pattern in self._volatile:
            text = pattern.sub(_hidden, text)
        return text


def shape(value: str) -> str:
    """An identifier's form: what it begins with, and the kind and number of what follows."""
    if re.fullmatch(r"[0-9a-f]+", value):
        return f"hex {len(value)}"
    if match := re.fullmatch(r"([a-z]+[_-])([0-9A-Za-z]+)", value):
        return f"{match[1]} and {len(match[2])}"
    return re.sub(r"[0-9a-f]", "x", value)


def _recent(match: re.Match[str]) -> str:
    return f'{match[1]}"<now>"' if abs(int(match[2]) - time.time()) < DAY_S else match[0]


def _hidden(match: re.Match[str]) -> str:
    if not match.re.groups:
        return "<varies>"
    begin, end = (place - match.start() for place in match.span(1))
    return f"{match[0][:begin]}<varies>{match[0][end:]}"


def body_of(data: bytes, places: Placeholders, whole: bool = False) -> Any:
    """Text where it is text, and its measure where it is long."""
    try:
        text = places.text(data.decode())
    except UnicodeDecodeError:
        text = "base64:" + base64.b64encode(data).decode()
    if whole or len(text) <= VERBATIM:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"length": len(text), "sha256": digest, "begins": text[:SHOWN], "ends": text[-SHOWN:]}


def fields_of(fields: Fields, places: Placeholders) -> dict[str, Any]:
    """The values by name, in small letters; the order and spelling of the names stand beside them."""
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name.lower(), []).append(field_value(name.lower(), value, places))
    return {name: each[0] if len(each) == 1 else each for name, each in values.items()}


def field_value(name: str, value: str, places: Placeholders) -> str:
    if name in MEASURED:
        value = MEASURED[name].sub(f"<{name}>", value)
    elif name == "server-timing":
        value = re.sub(r"(?<=dur=)\d+(\.\d+)?", "<ms>", value)
    elif name == "cache-status":
        value = re.sub(r"(?<=ttl=)-?\d+", "<s>", value)
    return places.text(value)


def answer_of(answer: Any, places: Placeholders, whole: bool = False) -> dict[str, Any]:
    """An answer as a client got it (`client.Answer`)."""
    made = {
        "status": answer.status,
        "fields": fields_of(answer.fields, places),
        "order": " ".join(name for name, _ in answer.fields),
        "framing": answer.framing,
        "body": body_of(answer.body, places, whole),
    }
    if answer.interim:
        made["interim"] = answer.interim
    if answer.trouble:
        made["trouble"] = answer.trouble
    return made


def request_of(head: bytes, body: bytes, places: Placeholders, whole: bool = False) -> dict[str, Any]:
    """A request as an upstream got it."""
    line, *rest = head.decode("latin-1").split("\r\n")
    fields = [(name, value.strip()) for name, _, value in (each.partition(":") for each in rest if each)]
    return {
        "line": places.text(line),
        "fields": fields_of(fields, places),
        "order": " ".join(name for name, _ in fields),
        "body": body_of(body, places, whole),
    }


def line_of(line: str, places: Placeholders) -> Any:
    """A line of the log: its fields, with durations that are numbers of at most two decimals."""
    try:
        fields = json.loads(line, parse_float=Decimal)
    except ValueError:
        return places.text(line)
    return values_of(fields, places)


def values_of(fields: dict[str, Any], places: Placeholders) -> dict[str, Any]:
    """What fields of a line, or of an attempt that it lists, say."""
    return {name: value_of(name, value, places) for name, value in fields.items()}


def value_of(name: str, value: Any, places: Placeholders) -> Any:
    if name in TIMES and isinstance(value, int | Decimal) and re.fullmatch(r"\d+(\.\d\d?)?", str(value)):
        return "<ms>"
    if isinstance(value, list):
        return [values_of(each, places) if isinstance(each, dict) else value_of("", each, places) for each in value]
    if isinstance(value, str):
        return places.text(value)
    return str(value) if isinstance(value, Decimal) else value


def series(text: str) -> dict[str, Decimal]:
    """A scrape's samples by name and labels. Of histograms, which measure time, the counts alone."""
    found = {}
    for line in text.splitlines():
        if line.startswith(("#", *UNSEEN)) or not line:
            continue
        name, _, value = line.rpartition(" ")
        if not name.partition("{")[0].endswith(("_bucket", "_sum")):
            found[name] = Decimal(value)
    return found


def delta(before: dict[str, Decimal], after: dict[str, Decimal]) -> dict[str, str]:
    """What has been counted between two scrapes. Sums of money are exact to 1e-12 USD, which floats do not show."""
    found = {}
    for name in sorted(before.keys() | after.keys()):
        change = round(after.get(name, Decimal(0)) - before.get(name, Decimal(0)), 12)
        if change:
            found[name] = format(change.normalize(), "f")
            if name.startswith(WEIGHED):
                found[name] = "more" if change > 0 else "less"
    return found


def to_line(record: dict[str, Any]) -> str:
    return json.dumps(record, sort_keys=True, ensure_ascii=False)
