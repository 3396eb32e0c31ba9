"""``python -m tests.zygote FD``: a process that has imported what an edge and its simulator import, and forks one of them
for each start that it is asked for. To import is most of what a start costs, and the tests start a thousand edges.

What it forks calls the entry point that ``python -m`` calls, with arguments, environment, folder and standard streams of
its own. What a process reads before its program begins cannot be given to one that runs, so `tests.forked` asks for no
start that has that otherwise. Limits of the system and the mask of files are those that the tests had when this process was
started. What a module draws at random when it is imported is the same in all that is forked here (`edge.state.FALLBACK`, the
salt of an edge without any key), and so are Python's hashes of texts.

It has no thread, and it answers one request after the other, each reply with the number of its request. It holds whom it
has forked until it is asked how they ended, so no number of a process becomes another's before. When the connection ends,
it ends; the others go on.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import socket
import sys
from importlib import import_module
from typing import Any, NoReturn

from edge.server.sparing import UNWANTED, promise, without

MOST = 1 << 20
"""Bytes of a request."""
IMPORTED = ("edge.cli", "edge.server.launch", "edge.simulator.server", "uvicorn.loops.uvloop")
INTERRUPT = signal.getsignal(signal.SIGINT)


def prepare() -> None:
    """Import, in the way of ``edge.__main__`` and ``edge serve``."""
    promise()
    with without(UNWANTED):
        for name in IMPORTED:
            import_module(name)
    gc.collect()
    gc.freeze()  # none of it is garbage there, and no collection there is to write to it


def become(asked: dict[str, Any], streams: list[int]) -> NoReturn:
    """In a child: run the program that is asked for as if it had been started."""
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    signal.signal(signal.SIGINT, INTERRUPT)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.path[0] = asked["folder"]
    sys.argv[1:] = asked["arguments"]
    sys.orig_argv[1:] = ["-m", asked["module"], *asked["arguments"]]
    runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
    sys.exit()


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    prepare()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal; how those ended is still to be asked
    ended: dict[int, int] = {}  # by process: who asked may have been interrupted, and asks again
    while True:
        request, streams, _, _ = socket.recv_fds(connection, MOST, 3)
        if not request:
            return
        asked = json.loads(request)
        if "ended" in asked:
            pid = asked["ended"]
            if pid not in ended:
                ended[pid] = os.waitpid(pid, 0)[1]
            reply = ended[pid]
        else:
            reply = os.fork()
            if not reply:
                connection.close()
                become(asked, streams)
            ended.pop(reply, None)
            for stream in streams:
                os.close(stream)
        connection.send(b"%d %d" % (asked["number"], reply))


if __name__ == "__main__":
    main()
