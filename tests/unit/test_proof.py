"""What `make proof` runs, what it keeps of it, and that nothing else in the file is lost."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the benchmarks read /proc", allow_module_level=True)

from benchmarks import proof, results
from benchmarks.proof import Found, runs, written
from benchmarks.results import LONG, keep_long_runs, keep_measured, long_runs
from tests.harness import until
from tools import describe_figures

pytestmark = pytest.mark.once

TABLE = "CPython 3.99, compiled build, nginx 1: instructions per request or event\n\n| | instructions |\n|---|---|\n| a | 1 |\n"


def test_the_long_forms_are_as_long_as_one_asks():
    by_name = {run.name: run for run in runs(1_000_000, 1800, "json --seconds 2", ["one", "two"])}
    assert by_name["R1"].environment == by_name["R13"].environment == {"EDGE_SOAK": "1000000"}
    assert by_name["R25"].environment == {"EDGE_SOAK_S": "1800"}
    assert by_name["bench"].arguments[-4:] == ("--write", "json", "--seconds", "2")
    assert [run.arguments[-1] for name, run in by_name.items() if name.startswith("instructions")] == ["one", "two"]
    for run in by_name.values():
        for argument in run.arguments:
            assert not argument.startswith("tests/") or (proof.ROOT / argument).exists()


def test_what_a_run_says_of_itself_is_kept():
    bench, r1, r13, r25, instructions = runs(1, 1, "", ["one"])
    assert bench.said("| one | missed |\n\nMissed: one; the other.\n") == ["Missed: one; the other"]
    assert bench.said("\nAll targets are met.\n") == ["All targets are met"]
    assert r1.said("\nR1, N=5 in 1.0 s: 0 wrong\n.\n1 passed") == ["N=5 in 1.0 s: 0 wrong"]
    assert r13.said(".R13: 7 requests\n") == ["7 requests"]
    assert r25.said("R2: other\nR25: 9 requests") == ["9 requests"]
    assert instructions.said(TABLE)[0].startswith("CPython 3.99")
    assert instructions.said(TABLE.replace("| a", "Traceback\n  File: one\n| a")) == instructions.said(TABLE)


def test_a_tree_is_dirty_where_more_than_the_results_differs(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path / "benchmarks" / "RESULTS.md")
    for file in (results.RESULTS, tmp_path / "page.md"):
        file.parent.mkdir(exist_ok=True)
        file.write_text("before")
    assert results.commit() == "unknown"
    identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    for command in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "--no-verify", "-m", "first")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    clean = results.commit()
    assert re.fullmatch("[0-9a-f]{7,}", clean)
    results.RESULTS.write_text("after")
    (tmp_path / "new").touch()
    assert results.commit() == clean
    (tmp_path / "page.md").write_text("after")
    assert results.commit() == f"{clean}-dirty"


def test_measurements_and_long_runs_are_kept_when_the_other_is_renewed(tmp_path, monkeypatch):
    file = tmp_path / "RESULTS.md"
    _, r1, r13, _, instructions = runs(1, 1, "", ["one"])
    keep_measured(["# Results", "", "## JSON: so", "", "| | a |", "|---|---|", "| x | 1 |"], file)
    found = [Found(r1, 0, 3.2, ["N=5"]), Found(r13, 1, 1, []), Found(instructions, 0, 1, instructions.said(TABLE))]
    keep_long_runs(written(found), file)
    keep_long_runs(written(found, long_runs(file)), file)
    long = LONG + file.read_text().partition(LONG)[2]
    keep_measured(["# Results", "", "## JSON: so", "", "| | a |", "|---|---|", "| x | 2 |"], file)
    assert file.read_text().endswith(long)
    monkeypatch.setattr(describe_figures, "RESULTS", file)
    table = describe_figures.results().table
    assert table("JSON")["x"]["a"] == "2"
    assert table("Long runs")["R1"]["what it found"] == "N=5"
    assert table("Long runs")["R13"][""] == "**failed**"
    assert table("Instructions of CPython 3.99")["a"]["instructions"] == "1"
    assert file.read_text().count(LONG) == file.read_text().count("CPython 3.99") == 1


def test_a_part_of_the_long_runs_renews_its_own_rows():
    _, r1, r13, r25, one, two = runs(1, 1, "", ["one", "two"])
    other = TABLE.replace("3.99", "3.98").replace("| 1 |", "| 2 |")
    before = [Found(r13, 0, 1, ["flat"]), Found(r25, 0, 9, ["right"])]
    before += [Found(one, 0, 1, one.said(TABLE)), Found(two, 0, 1, two.said(other))]
    again = [Found(r1, 0, 2, ["N=7"]), Found(r25, 1, 8, ["wrong"])]
    again += [
        Found(one, 0, 1, one.said(TABLE.replace("| 1 |", "| 3 |"))),
        Found(two, 1, 1, two.said("Traceback (most recent call last):\n  File")),
    ]
    section = "\n".join(written(before)) + "\n"
    rows = [line for line in written(again, section) if line.startswith("| R")]
    assert [(row.split(" | ")[:3], row.split(" | ")[-1]) for row in rows] == [
        (["| R1", "passed", "2"], "N=7 |"),
        (["| R13", "passed", "1"], "flat |"),
        (["| R25", "**failed**", "8"], "wrong |"),
    ]
    text = "\n".join(written(again, section))
    assert text.endswith(
        "| a | 3 |\n\n## Instructions of CPython 3.98, compiled build, nginx 1\n\n| | instructions |\n|---|---|\n| a | 2 |"
    )
    assert "\n".join(written([], text + "\n")) == text


def test_each_part_says_itself_what_machine_it_ran_on(monkeypatch):
    _, r1, r13, *_ = runs(1, 1, "", [])
    monkeypatch.setattr(proof, "machine", lambda: "2 cores of one, Linux")
    section = "\n".join(written([Found(r1, 0, 1, ["N=5"]), Found(r13, 0, 1, ["flat"])])) + "\n"
    monkeypatch.setattr(proof, "machine", lambda: "8 cores of another, Linux")
    rows = [line for line in written([Found(r13, 0, 1, ["flat"])], section) if line.startswith("| R")]
    assert (
        ["2 cores of one" in row for row in rows] == ["8 cores of another" not in row for row in rows] == [True, False]
    )


def test_a_run_that_fails_is_told_and_the_others_run_all_the_same(tmp_path, monkeypatch, capsys):
    failing = proof.Run("R1", ("-c", "print('R1: bad'); raise SystemExit(3)"), proof.line_of("R1"))
    fine = proof.Run(
        "R25", ("-c", "import os; print('R25: for', os.environ['LONG'])"), proof.line_of("R25"), {"LONG": "9"}
    )
    monkeypatch.setattr(proof, "runs", lambda *_: (failing, fine))
    out = tmp_path / "RESULTS.md"
    assert proof.main(["--out", str(out)]) == 1
    assert "| R1 | **failed** |" in out.read_text()
    assert "| for 9 |" in out.read_text()
    assert proof.main(["--only", "R25", "--out", str(out)]) == 0
    assert "| R1 | **failed** |" in out.read_text()
    with pytest.raises(SystemExit):
        proof.main(["--only", "R2", "--out", str(out)])
    assert "there is no run R2" in capsys.readouterr().err


ENDED = """
import sys
from benchmarks import proof
said = "import os, sys, time; open(sys.argv[1], 'w').write(f'{os.getpid()} '); time.sleep(600)"
proof.runs = lambda *_: (proof.Run("R1", ("-c", said, sys.argv[1]), proof.line_of("R1")),)
proof.main(["--out", sys.argv[2]])
"""


def test_who_ends_it_ends_the_run_that_is_under_way(tmp_path):
    told = tmp_path / "told"
    command = [sys.executable, "-c", ENDED, str(told), str(tmp_path / "RESULTS.md")]
    process = subprocess.Popen(command, cwd=proof.ROOT, stdout=subprocess.DEVNULL)
    until(lambda: told.exists() and told.read_text().endswith(" "))
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert not Path(f"/proc/{told.read_text().strip()}").exists()
    assert not (tmp_path / "RESULTS.md").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")
@pytest.mark.parametrize("code", [0, 1])
def test_the_pages_get_their_figures_whether_a_run_has_failed_or_not(tmp_path, code):
    python, called = tmp_path / "python", tmp_path / "called"
    python.write_text(f'#!/bin/sh\necho "$*" >> {called}\ncase "$*" in *benchmarks.proof*) exit {code};; esac\n')
    python.chmod(0o755)
    asked = ["make", "-s", "-o", str(tmp_path / ".test"), "proof", f"VENV={tmp_path}", f"BIN={tmp_path}", "PYTHONS="]
    env = {**os.environ, "MAKEFLAGS": ""}  # make test has its own
    done = subprocess.run(asked, cwd=proof.ROOT, env=env, capture_output=True, text=True)
    assert (done.returncode == 0) == (code == 0), done.stderr
    assert [line.split()[-1] for line in called.read_text().splitlines()] == [
        "benchmarks.proof",
        "tools/describe_figures.py",
    ]
