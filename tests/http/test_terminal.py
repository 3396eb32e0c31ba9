"""What who starts an edge on a terminal sees there."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator

from tests.harness import clean_environment, providers, wait_until_ready


@contextlib.contextmanager
def on_a_terminal(*arguments: str, **variables: str) -> Iterator[Callable[[bytes], bytes]]:
    """The edge, with variables, and a terminal for its log; gives what reads that up to some bytes."""
    ours, theirs = pty.openpty()
    # Wide enough for no line to be broken.
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 1000, 0, 0))
    command = [sys.executable, "-m", "edge", *arguments]
    environment = clean_environment(TERM="xterm", **variables)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=theirs, env=environment)
    os.close(theirs)  # so that reading ends, by an OSError, with the process
    seen = b""

    def until(mark: bytes) -> bytes:
        nonlocal seen
        while mark not in seen:
            try:
                seen += os.read(ours, 65536)
            except OSError:
                raise AssertionError(f"the process ended without {mark!r}: {seen!r}") from None
        return seen

    try:
        yield until
    finally:
        process.terminate()
        process.wait(10)
        os.close(ours)


def test_log_lines_are_pretty_on_a_terminal(simulator, tmp_path):
    path = tmp_path / "edge.json"
    path.write_text(json.dumps({"providers": providers(simulator.url), "server": {"port": 0}}))
    with on_a_terminal("serve", "-c", str(path)) as until:
        seen = until(b"curl")
        assert b"serving" in seen
        assert b"GET /health/ready" not in seen, "the list of routes is a screenful"
        assert b'{"' not in seen.partition(b"curl")[0]


def test_no_library_that_would_draw_tracebacks_is_read_for_pretty_lines(simulator, tmp_path):
    library = tmp_path / "rich"
    library.mkdir()
    (library / "__init__.py").write_text("import sys\nprint('RICH WAS READ', file=sys.stderr)\n")
    path = tmp_path / "edge.json"
    path.write_text(json.dumps({"providers": providers(simulator.url), "server": {"port": 0}}))
    with on_a_terminal("serve", "-c", str(path), PYTHONPATH=str(tmp_path)) as until:
        seen = until(b"curl")
    assert b"serving" in seen
    assert b"RICH WAS READ" not in seen


def test_the_demo_prints_curls_that_work_as_printed():
    with on_a_terminal("demo", "--port", "0") as until:
        until(b"/v1/messages")
        seen = until(b'"max_tokens": 64, "messages": [{"role": "user", "content": "Say hello."}]}\'\r\n')
        commands = re.findall(r"^(curl .*)\r$", seen.decode(), re.MULTILINE)
        assert len(commands) == 2
        url = re.search(r"curl (http://[^/]+)/", commands[0])[1]
        assert f"live page: {url}/admin" in seen.decode()
        wait_until_ready(url)
        for command in commands:
            got = subprocess.run([*shlex.split(command), "-sSi"], capture_output=True, text=True, timeout=60)
            head, _, body = got.stdout.replace("\r", "").partition("\n\n")
            answer = json.loads(body)
            text = answer["content"][0]["text"] if "content" in answer else answer["choices"][0]["message"]["content"]
            assert text.startswith("[edge demo: a simulator answers, no model] "), answer
            # Priced as what it imitates, which it says.
            assert float(re.search(r"x-edge-cost-usd: (\S+)", head)[1]) > 0
        assert b"what the imitated providers would charge" in seen
