"""``python -m tests.mirror HOW``: a program that tells what it was started with, as a line of JSON, and ends as it is told."""

from __future__ import annotations

import atexit
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress


def opened() -> list[str]:
    """The kinds of what is open beside the streams. A newer libffi keeps its own file open, from its import on."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            target = os.readlink(f"/proc/self/fd/{number}")
            if int(number) > 2 and "/libffi.so" not in target:
                found.append(target.partition(":")[0])
    return sorted(found)


def reflection() -> dict[str, object]:
    main = sys.modules["__main__"]
    umask = os.umask(0)
    os.umask(umask)
    return {
        "arguments": sys.argv,
        "whole": sys.orig_argv,
        "main": [main.__name__, main.__spec__.name, main.__package__, main.__file__, main.reflection is reflection],
        "environment": dict(os.environ),
        "inherited by children": subprocess.check_output(["/usr/bin/env"]).decode(errors="replace"),
        "folder": os.getcwd(),
        "looked for first": sys.path[0],
        "open": opened(),
        "streams": [
            [stream.name, stream.encoding, stream.errors, stream.line_buffering, stream.write_through, stream.isatty()]
            for stream in (sys.stdin, sys.stdout, sys.stderr)
        ],
        "signals": {
            each.name: str(getattr(signal.getsignal(each), "__name__", signal.getsignal(each)))
            for each in sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
            if isinstance(each, signal.Signals)
        },
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "group and session": [os.getpgid(0), os.getsid(0)],
        "threads": [each.name for each in threading.enumerate()],
        "thread of the system": threading.get_native_id() == os.getpid(),
        "umask": umask,
    }


def main() -> None:
    how = sys.argv[1]
    if how == "tell":
        print(json.dumps(reflection()))
    elif how == "draw":
        print(random.random())
    elif how == "read":
        print(sys.stdin.readline().upper(), end="")
    elif how == "wait":
        print("waits", flush=True)
        while True:  # a signal that comes just before a pause has ended nothing, and the pause waits for another
            time.sleep(0.1)
    elif how == "fail":
        raise ValueError("as it was told")
    elif how == "leave":
        atexit.register(print, "left")
        sys.exit(int(sys.argv[2]))


if __name__ == "__main__":
    main()
