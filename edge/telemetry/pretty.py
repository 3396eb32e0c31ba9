"""A request as one short line for people, on a terminal: of the log, and of who follows it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from time import time

from edge.hooks import Recorder, RequestRecord
from edge.telemetry.recent import Finished, finished

__all__ = ["PrettyLine", "colourful", "short_line"]

RED, GREEN, YELLOW, DIM, BOLD, PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[2m", "\x1b[1m", "\x1b[0m"


def colourful(terminal: bool) -> bool:
    """Whether lines may have colours: not where somebody asks for none (https://no-color.org), nor where nothing shows
    them.
    """
    return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def short_line(told: Finished, colours: bool) -> str:
    """Such as ``12:34:56 200   812 ms smart -> openai/gpt-4o  12+34 tokens $0.000420  app req_1``."""

    def in_colour(colour: str, text: str) -> str:
        return f"{colour}{text}{PLAIN}" if colours and text else text

    at = datetime.fromtimestamp(told.at).astimezone()
    ours = told.status >= 500 or (told.kind and not told.kind.startswith(("client_", "policy_")))
    status = in_colour(
        RED if ours else YELLOW if told.kind or told.status >= 400 else GREEN, f"{told.status or '-':>3}"
    )
    by = f"{told.provider}/{shown(told.upstream_model)}" if told.provider else shown(told.stored)
    parts = [
        in_colour(DIM, at.strftime("%H:%M:%S")),
        status,
        f"{duration(told.duration_s):>8}",
        in_colour(BOLD, shown(told.model)) or told.endpoint,
        f"-> {by}" if by else "",
        f"[{told.cache}]" if told.cache not in ("", "bypass") else "",
        in_colour(YELLOW, f"{told.asked} attempts") if told.asked > 1 else "",
        in_colour(RED if ours else YELLOW, told.error or told.kind),
        f"{told.input_tokens}+{max(told.output_tokens, 0)} tokens" if told.input_tokens >= 0 else "",
        f"{'~' if told.estimated else ''}${told.cost_usd:.6f}" if told.cost_usd is not None else "",
        f"pii {told.pii}" if told.pii else "",
        told.tenant or told.key,
        in_colour(DIM, told.request_id),
    ]
    return " ".join(part for part in parts if part)


def shown(name: str) -> str:
    """A name that a client may have chosen, all of which shows."""
    return name if name.isprintable() else ascii(name)[1:-1]


def duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.{0 if seconds >= 0.1 else 1}f} ms"


class PrettyLine(Recorder):
    """Writes such lines."""

    def __init__(self, put: Callable[[str], None], colours: bool) -> None:
        self._put = put
        self._colours = colours

    def done(self, record: RequestRecord) -> None:
        self._put(short_line(finished(record, time()), self._colours))
