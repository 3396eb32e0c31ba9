"""What a zygote forks cannot be told from what is started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.forked import AT_START, Forked, Zygote, can_be_forked
from tests.harness import Process, clean_environment, until

pytestmark = [
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are held by descriptors, as Linux has them"),
    pytest.mark.skipif(
        any(name.startswith("COVERAGE_") for name in os.environ), reason="none is forked to count lines"
    ),
]

MIRROR = (sys.executable, "-m", "tests.mirror")
EDGE = (sys.executable, "-m", "edge")


@pytest.fixture(scope="module")
def parent():
    made = Zygote()
    yield made
    made.end()


def started(command: tuple[str, ...], environment: dict[str, str], folder: Path | None) -> subprocess.Popen:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=folder,
    )


@pytest.fixture
def start(parent, request):
    """Both ways of starting; what was started is gone afterwards."""
    made = []

    def both(*arguments: str, folder: Path | None = None, **more: str) -> list[Forked | subprocess.Popen]:
        command, environment = (*MIRROR, *arguments), clean_environment(**more)
        made.extend((started(command, environment, folder), Forked(command, environment, folder, parent)))
        return made[-2:]

    yield both
    for each in made:
        each.kill()
        each.wait()
        each.stdin.close()
        each.stdout.close()


def test_it_has_the_arguments_the_environment_the_folder_and_all_else_of_one_that_is_started(
    start, monkeypatch, tmp_path
):
    monkeypatch.setenv("OPENAI_API_KEY", "of this process")  # which the zygote may have, and none of them
    (tmp_path / "tests").symlink_to(Path(__file__).parents[1])
    both = start("tell", "-x", "é", folder=tmp_path, TOLD="\udce9 Ü", PATH="/bin")
    plain, forked = (json.loads(each.stdout.read()) for each in both)
    # Python's start may write to it, as a site says; who is forked has what was given and no more.
    for each in (plain, forked):
        environment, inherited = each.pop("environment"), each.pop("inherited by children")
        assert (environment["TOLD"], "OPENAI_API_KEY" in environment) == ("\udce9 Ü", False)
        assert "TOLD=\ufffd Ü" in inherited.splitlines()
    assert environment == clean_environment(TOLD="\udce9 Ü", PATH="/bin")
    assert plain["folder"] == str(tmp_path)
    # Named by the folder in which the module was found first.
    for each in (plain, forked):
        each["main"][3], each["arguments"][0] = (Path(path).name for path in (each["main"][3], each["arguments"][0]))
    assert [(name, plain[name], forked[name]) for name in plain if forked[name] != plain[name]] == []
    assert set(forked) == set(plain)


@pytest.mark.parametrize(
    ("how", "code", "end"),
    [
        (("tell",), 0, ""),
        (("leave", "0"), 0, "left\n"),
        (("leave", "3"), 3, "left\n"),
        (("leave", "255"), 255, "left\n"),
        (("fail",), 1, "ValueError: as it was told\n"),
    ],
)
def test_its_exit_code_is_the_programs_and_its_output_is_whole(start, how, code, end):
    for each in start(*how):
        assert each.stdout.read().endswith(end)
        assert each.wait(30) == code == each.returncode == each.poll()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGUSR2, signal.SIGHUP])
def test_a_signal_ends_it_as_one_that_is_started(start, number):
    for each in start("wait"):
        assert each.stdout.readline() == "waits\n"
        assert each.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            each.wait(0.01)
        each.send_signal(number)
        assert each.wait(30) == -number
        assert ("KeyboardInterrupt" in each.stdout.read()) == (number == signal.SIGINT)
        each.send_signal(number)  # to nobody


def test_it_reads_what_is_written_to_it(start):
    for each in start("read"):
        each.stdin.write("heard\n")
        each.stdin.flush()
        assert each.stdout.read() == "HEARD\n"


def test_two_of_one_zygote_draw_other_numbers(parent):
    drawn = set()
    for _ in range(2):
        each = Forked((*MIRROR, "draw"), clean_environment(), None, parent)
        drawn.add(each.stdout.read())
        assert each.wait(30) == 0
        each.stdin.close()
        each.stdout.close()
    assert len(drawn) == 2


def test_its_number_is_nobody_elses_until_it_was_asked_for(start):
    _, forked = start("leave", "0")
    forked.stdout.read()
    status = Path(f"/proc/{forked.pid}/stat")
    until(lambda: status.read_text().rpartition(")")[2].split()[0] == "Z")
    assert forked.wait(30) == 0
    assert not status.exists()


def test_many_threads_start_and_wait_at_the_same_time(parent):
    codes = []

    def one(code: int) -> None:
        each = Forked((*MIRROR, "leave", str(code)), clean_environment(), None, parent)
        waiting = [threading.Thread(target=lambda: codes.append((code, each.wait(60)))) for _ in range(3)]
        for thread in waiting:
            thread.start()
        assert each.stdout.read() == "left\n"
        for thread in waiting:
            thread.join()
        each.stdin.close()
        each.stdout.close()

    threads = [threading.Thread(target=one, args=[code]) for code in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == sorted((code, code) for code in range(6) for _ in range(3))


def test_who_is_interrupted_while_it_asks_leaves_no_reply_to_the_next():
    """As a test is that has reached its bound: it fails, and the tests behind it go on."""
    parent = Zygote()

    def interrupted(ask) -> None:
        def late(*_) -> None:
            raise TimeoutError

        before = signal.signal(signal.SIGALRM, late)
        parent.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(TimeoutError):
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                ask()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            parent.process.send_signal(signal.SIGCONT)

    def leaving(code: int) -> Forked:
        return Forked((*MIRROR, "leave", str(code)), clean_environment(), None, parent)

    first = leaving(3)
    assert first.stdout.read() == "left\n"
    until(lambda: Path(f"/proc/{first.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    interrupted(first.poll)
    interrupted(lambda: leaving(4))
    second = leaving(5)
    assert (first.wait(30), second.wait(30)) == (3, 5)
    for each in (first, second):
        each.stdin.close()
        each.stdout.close()
    parent.end()
    assert parent.process.returncode == 0


def test_where_the_zygote_is_gone_those_that_it_forked_go_on_and_who_asks_is_told():
    parent = Zygote()
    forked = Forked((*MIRROR, "wait"), clean_environment(), None, parent)
    try:
        assert forked.stdout.readline() == "waits\n"
        parent.process.kill()
        parent.process.wait()
        assert forked.poll() is None
        with pytest.raises(RuntimeError, match=f"the zygote {parent.process.pid} is gone"):
            Forked((*MIRROR, "wait"), clean_environment(), None, parent)
    finally:
        forked.kill()
    with pytest.raises(RuntimeError, match="is gone"):
        forked.wait(30)
    forked.stdin.close()
    forked.stdout.close()
    parent.end()


def test_who_has_it_may_end_and_what_it_forked_goes_on():
    parent = Zygote()
    forked = Forked((*MIRROR, "wait"), clean_environment(), None, parent)
    assert forked.stdout.readline() == "waits\n"
    parent.end()
    assert parent.process.returncode == 0
    assert forked.poll() is None
    os.kill(forked.pid, signal.SIGKILL)
    assert forked.stdout.read() == ""
    forked.stdin.close()
    forked.stdout.close()


def test_an_edge_says_the_same(parent):
    for arguments in (
        ("version",),
        ("serve", "-c", "/nowhere.yaml"),
        ("nonsense",),
        ("serve", "--port", "x"),
        ("--help",),
    ):
        plain = started((*EDGE, *arguments), clean_environment(), None)
        forked = Forked((*EDGE, *arguments), clean_environment(), None, parent)
        said = [(each.stdout.read(), each.wait(60)) for each in (plain, forked)]
        assert said[0] == said[1]
        for each in (plain, forked):
            each.stdin.close()
            each.stdout.close()


def test_what_is_read_before_a_program_is_has_it_started(monkeypatch):
    same = clean_environment(OPENAI_API_KEY="x", EDGE_FRONT="asgi")
    assert can_be_forked((*EDGE, "serve"), same)
    assert can_be_forked((sys.executable, "-m", "edge.simulator"), same)
    assert not can_be_forked(("edge", "serve"), same)
    assert not can_be_forked((sys.executable, "-m", "tests.collector"), same)
    for begins in AT_START:
        assert not can_be_forked((*EDGE, "serve"), {**same, f"{begins}_X": "1"})
    monkeypatch.setenv("COVERAGE_PROCESS_CONFIG", "{}")
    assert not can_be_forked((*EDGE, "serve"), same)


def test_what_a_test_changes_in_its_own_environment_is_neither_the_zygotes_nor_lost(monkeypatch):
    assert can_be_forked((*EDGE, "serve"), clean_environment())
    monkeypatch.setenv("MALLOC_ARENA_MAX", "7")
    assert not can_be_forked((*EDGE, "serve"), clean_environment())
    parent = Zygote()
    environ = Path(f"/proc/{parent.process.pid}/environ")
    until(environ.read_text)  # nothing is in it for a moment after a program has begun
    environ = environ.read_text()
    parent.end()
    assert "PATH=" in environ
    assert "MALLOC_ARENA_MAX" not in environ


def test_what_is_not_to_be_forked_is_started():
    for forked in (True, False):
        process = Process(*EDGE, "version", forked=forked)
        assert isinstance(process.process, subprocess.Popen) != (forked and can_be_forked(EDGE, clean_environment()))
        process.wait_for("^edge ")
        process.stop()
