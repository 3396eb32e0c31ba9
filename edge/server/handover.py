"""What a supervisor leaves to the program that it executes in its own place: sockets, workers, shared memory.

The process stays the same, so its workers stay its children and its number is still the right one. What is left is told
in a file, whose descriptor the variable EDGE_HANDOVER names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import NoReturn

import msgspec

from edge.server.memory import open_file

__all__ = ["REHEARSAL", "Handover", "LeftSlot", "LeftWorker", "execute", "rehearse", "take"]

VARIABLE = "EDGE_HANDOVER"
REHEARSAL = "EDGE_REHEARSAL"
"""With it, ``edge serve`` does everything up to listening, and ends: with 0 if it would have served."""
MAX = 1 << 22


class LeftWorker(msgspec.Struct):
    """A running worker; ``control`` is a descriptor, ``retiring_since`` and ``started`` are readings of the monotonic
    clock.
    """

    pid: int
    control: int
    place: int
    started: float
    retiring_since: float | None


class LeftSlot(msgspec.Struct):
    listeners: list[int]
    workers: list[LeftWorker]


class Handover(msgspec.Struct):
    """``bound`` is the host and port that were asked for, None for sockets of systemd; ``memory`` has for each name a
    descriptor and the layout of what stands there, and ``since`` is when it began to be written, in seconds of the wall
    clock (a program that does not say so has memory of another layout, which is not taken over).
    """

    pid: int
    bound: tuple[str, int] | None
    slots: list[LeftSlot]
    memory: dict[str, tuple[int, str]]
    since: float = 0.0

    def descriptors(self) -> list[int]:
        left = [file for file, _ in self.memory.values()]
        for slot in self.slots:
            left += [*slot.listeners, *(worker.control for worker in slot.workers)]
        return left


def take(environ: MutableMapping[str, str]) -> Handover | None:
    """What the program before this one has left to this process, if there was one."""
    number = environ.pop(VARIABLE, "")
    if not number.isdigit():
        return None
    try:
        file = int(number)
        left = msgspec.json.decode(os.pread(file, MAX, 0), type=Handover)
        if left.pid != os.getpid():
            return None  # the variable has come down to a child
        os.close(file)
    except (OSError, msgspec.MsgspecError):
        return None
    for number_ in left.descriptors():
        os.set_inheritable(number_, False)
    return left


def command() -> list[str]:
    """How this program was called; the interpreter by its full name."""
    return [sys.executable, *sys.orig_argv[1:]]


def execute(left: Handover, environ: Mapping[str, str], failed: Callable[[OSError], None]) -> None:
    """Become the program anew, with what is `left`. Returns only if that cannot be done, having called `failed`."""
    file = open_file("edge-handover")
    numbers = [file, *(number for number in left.descriptors() if number >= 0)]
    try:
        os.pwrite(file, msgspec.json.encode(left), 0)
        for number in numbers:
            os.set_inheritable(number, True)
        os.execve(sys.executable, command(), {**environ, VARIABLE: str(file)})  # noqa: S606 - this very program
    except OSError as error:
        for number in numbers[1:]:
            os.set_inheritable(number, False)
        os.close(file)
        failed(error)


def rehearse(file: int) -> NoReturn:
    """In a child: become the program anew as a rehearsal, whose complaints go to `file`. Raises OSError."""
    null = os.open(os.devnull, os.O_RDWR)
    for number, target in ((null, 0), (file, 1), (file, 2)):
        os.dup2(number, target)
    os.execve(sys.executable, command(), {**os.environ, REHEARSAL: "1"})  # noqa: S606 - this very program
