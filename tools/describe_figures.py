"""``python tools/describe_figures.py``: the figures of README.md and docs/, read from benchmarks/RESULTS.md.

A figure stands between ``<!-- figures: NAME -->`` and ``<!-- end -->``, and `BLOCKS` says what is written there. A test
compares, so no figure outlives the measurement that it is of.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
PAGES = ("README.md", "docs/performance.md", "docs/sizing.md")
BLOCK = re.compile(r"(<!-- figures: ([a-z-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
CPU, RATIO, RATE, P50, P99, RSS = "CPU µs per unit", "x nginx", "units/s", "p50 ms", "p99 ms", "RSS MiB"

NOT_MEASURED = "The last measurement did not include this.\n"

Row = dict[str, str]
Table = dict[str, Row]


@dataclass(frozen=True)
class Results:
    """``tables`` by the titles of their sections; their rows by the first cell."""

    preamble: str
    tables: dict[str, Table]

    def table(self, title: str) -> Table:
        """The table of the section whose title begins so."""
        for name, found in self.tables.items():
            if name.startswith(title):
                return found
        raise SystemExit(f"{RESULTS.name} has no section '{title}': measure it, or leave the figures out")

    def cell(self, title: str, row: str, column: str) -> str:
        try:
            return self.table(title)[row][column]
        except KeyError as missing:
            raise SystemExit(
                f"{RESULTS.name} has no {missing} in '{title}': measure it, or leave the figure out"
            ) from None

    def number(self, title: str, row: str, column: str) -> float:
        return float(self.cell(title, row, column).replace(",", "").split()[0])


def results() -> Results:
    preamble, *parts = RESULTS.read_text().split("\n## ")
    tables = {}
    for part in parts:
        title, _, rest = part.partition("\n")
        lines = takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: line[:1] != "|", rest.splitlines()))
        head, _, *rows = [cells(line) for line in lines] or [[], []]
        tables[title] = {row[0].removesuffix(" †"): dict(zip(head, row, strict=False)) for row in rows}
    return Results(preamble, tables)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def table(head: str, rows: list[list[str]]) -> str:
    lines = [head, "|" + "---|" * (head.count("|") - 1), *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def measured(found: Results) -> str:
    """When, where and of what the figures were taken."""
    said = " ".join(found.preamble.split())
    commit, day, machine, python, nginx = (
        re.search(pattern, said)[1]
        for pattern in (
            r"commit ([\w-]+)",
            r"(\d{4}-\d\d-\d\d)",
            r"(\d+ cores of [^,]+, \w+)",
            r"Python (\d+\.\d+\.\d+)",
            r"nginx (\d+\.\d+\.\d+)",
        )
    )
    return f"{day}, commit {commit}, {machine}, Python {python}, nginx {nginx}"


BESIDE_NGINX = (
    (
        "a chat forwarded, with the 16 headers of an SDK",
        "JSON",
        "edge, 16 SDK headers",
        "nginx, `proxy_pass`, 16 SDK headers",
    ),
    (
        "the same, with limits, a log line and a price for its key",
        "JSON",
        "edge, 16 SDK headers, a key with limits, log and prices",
        "nginx, `proxy_pass`, 16 SDK headers",
    ),
    ("one event of a stream, relayed", "Streams", "edge", "nginx, `proxy_buffering off`"),
    ("an answer from the memory cache", "The cache", "edge, hit in memory", "nginx, `return 200`"),
    ("a wrong key refused", "Refusals", "edge, 401: a wrong key", "nginx, `return 200`"),
    (
        "a chat forwarded by the pure Python build",
        "JSON",
        "edge, 4 headers, pure Python",
        "nginx, `proxy_pass`, 4 headers",
    ),
)


def cost(found: Results) -> str:
    rows = []
    for what, title, ours, theirs in BESIDE_NGINX:
        own, yardstick = found.cell(title, ours, CPU), found.cell(title, theirs, CPU)
        word = theirs.removeprefix("nginx, ").split(", 4")[0].split(", 16")[0]
        rows.append([what, f"{own} µs", f"{yardstick} µs, {word}", f"{found.cell(title, ours, RATIO)} x"])
    return f"Measured {measured(found)}.\n\n" + table("| CPU time of | edge | nginx | edge / nginx |", rows)


def targets(found: Results) -> str:
    """What was missed, since a table of what was met alone says little."""
    missed = [name for name, row in found.table("Targets").items() if "missed" in row[""]]
    rows = [[name, found.cell("Targets", name, "target"), found.cell("Targets", name, "measured")] for name in missed]
    met = len(found.table("Targets")) - len(missed)
    return f"{met} targets are met and {len(missed)} are missed. These are missed:\n\n" + table(
        "| target | limit | measured |", rows
    )


def whole(title: str, *columns: str) -> Callable[[Results], str]:
    """A table of the results with these columns."""

    def told(found: Results) -> str:
        rows = [[name, *(row.get(column, "") for column in columns)] for name, row in found.table(title).items()]
        return table(f"| | {' | '.join(columns)} |", rows)

    return told


def where_measured(title: str, told: Callable[[Results], str]) -> Callable[[Results], str]:
    """The same, of what not every run of the benchmarks measures."""
    return lambda found: told(found) if any(name.startswith(title) for name in found.tables) else NOT_MEASURED


SECOND = (
    ("1,000 chats a second", 1_000, "JSON", "edge, 16 SDK headers"),
    (
        "1,000 chats a second, with limits, a log line and a price",
        1_000,
        "JSON",
        "edge, 16 SDK headers, a key with limits, log and prices",
    ),
    ("1,000 streams at once, 50 events a second each", 50_000, "Streams", "edge"),
    ("1,000 hits in the memory cache a second", 1_000, "The cache", "edge, hit in memory"),
    ("1,000 misses a second whose answers are stored", 1_000, "The cache", "edge, miss, its answer stored"),
)
"""A load, how many requests or events a second that is, and the row that says what each costs."""


def cores(found: Results) -> str:
    rows = []
    for what, units, title, row in SECOND:
        each = found.number(title, row, CPU)
        rows.append([what, f"{units:,} x {each:g} µs", f"{units * each / 1e6:.2f}"])
    return table("| load | a second of it | cores busy |", rows)


SIZING = "Sizing"
WORKER, IDLE, STREAM = ("a worker that has served one request", "an idle connection", "a stream in flight")


def sizing(found: Results, thing: str, column: str) -> float:
    row = next((name for name in found.table(SIZING) if name.startswith(thing)), thing)
    return found.number(SIZING, row, column)


def memory(found: Results) -> str:
    """10,000 idle connections and 2,000 streams in one worker, beside the bounds of the configuration."""
    start, idle, stream = (sizing(found, thing, "KiB") / 1024 for thing in (WORKER, IDLE, STREAM))
    rows = [
        ["a worker that has served one request", "", f"{start:.0f}"],
        ["10,000 idle connections", f"10,000 x {idle * 1024:g} KiB", f"{10_000 * idle:.0f}"],
        ["2,000 streams in flight", f"2,000 x {stream * 1024:g} KiB", f"{2_000 * stream:.0f}"],
        ["the memory cache, when it is full", "`cache.memory.max_bytes`, 256 MiB by default", "256"],
        ["together", "", f"{start + 10_000 * idle + 2_000 * stream + 256:.0f}"],
    ]
    return table("| in one worker | of which | MiB |", rows)


def descriptors(found: Results) -> str:
    rows = [[thing, f"{sizing(found, thing, 'descriptors'):.0f}"] for thing in (WORKER, IDLE, STREAM)]
    return table("| | descriptors |", rows)


def redis_memory(found: Results) -> str:
    rows = []
    for name in found.table(SIZING):
        if answer := re.fullmatch(r"an answer of ([\d.]+ KiB) in Redis", name):
            each = found.number(SIZING, name, "KiB")
            rows.append([answer[1], f"{each:g} KiB", f"{1_000_000 * each / 1024**2:.1f} GiB"])
    return table("| an answer of | takes | a million of them |", rows)


BLOCKS: dict[str, Callable[[Results], str]] = {
    "cost": cost,
    "measured": lambda found: f"Measured {measured(found)}.\n",
    "targets": targets,
    "json": whole("JSON", CPU, RATIO, RATE, P50, P99, RSS),
    "refusals": whole("Refusals", CPU, RATIO, RATE, P50, P99),
    "streams": whole("Streams", CPU, RATIO, RATE, P50, P99, RSS),
    "cache": whole("The cache", CPU, RATIO, RATE, P50, P99),
    "cores": cores,
    "memory": memory,
    "descriptors": descriptors,
    "redis-memory": redis_memory,
    "peers": where_measured("Other gateways, JSON", whole("Other gateways, JSON", CPU, RATIO, RATE, P50, P99, RSS)),
    "peers-streams": where_measured(
        "Other gateways, streams", whole("Other gateways, streams", CPU, RATIO, RATE, P50, P99, RSS)
    ),
    "long": where_measured("Long runs", whole("Long runs", "", "seconds", "tree and machine", "what it found")),
    "redis": whole("Hits in Redis on loopback", "asked", "failed", P50, P99),
}


def described(page: str, found: Results) -> str:
    """The text of a page with the figures of now."""
    return BLOCK.sub(lambda part: f"{part[1]}{BLOCKS[part[2]](found)}{part[4]}", (ROOT / page).read_text())


if __name__ == "__main__":
    read = results()
    for name in PAGES:
        if (ROOT / name).exists():
            (ROOT / name).write_text(described(name, read))
