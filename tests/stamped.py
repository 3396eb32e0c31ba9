"""The simulator, with a serial number in each answer, behind the nonce it echoes: two clients that are told one serial
got one answer. ``python -m tests.stamped`` takes what ``python -m edge.simulator`` takes.

A request says ``nonce:NAME``, its answer ``nonce:NAMEx17``; NAME has no x.
"""

from __future__ import annotations

import itertools
import re

from edge.simulator import server
from edge.simulator.__main__ import main

NONCE = re.compile(rb"nonce:[A-Za-wyz0-9]+")


class Stamped(server.Simulator):
    def __init__(self, *arguments, **more) -> None:
        super().__init__(*arguments, **more)
        self._serials = itertools.count(1)

    def answer(self, target, headers, body, plan=b""):
        return super().answer(target, headers, NONCE.sub(rb"\g<0>x%d" % next(self._serials), body, count=1), plan)

    def remember(self, *_) -> None:
        """No two answers are the same."""


if __name__ == "__main__":
    server.Simulator = Stamped
    main()
