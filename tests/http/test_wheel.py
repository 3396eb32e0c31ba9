"""What users install: the built wheels, in an environment of their own, away from the source."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(folder: Path, **env: str) -> Path:
    kept = {k: v for k, v in os.environ.items() if k not in ("EDGE_PURE_PYTHON", "EDGE_REQUIRE_COMPILED")}
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    got = subprocess.run(command, env={**kept, **env}, capture_output=True, text=True, timeout=900)
    assert got.returncode == 0, got.stdout + got.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.parametrize("build_state", ["pure", "compiled"])
def test_the_wheel_is_whole_and_runs(build_state, tmp_path):
    if build_state == "compiled":
        pytest.importorskip("edge._fast._json_c", reason="there is no compiled build here")
    wheel = build(tmp_path, **({"EDGE_PURE_PYTHON": "1"} if build_state == "pure" else {"EDGE_REQUIRE_COMPILED": "1"}))
    assert wheel.name.endswith("py3-none-any.whl") == (build_state == "pure")
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.endswith((".pth", ".c", ".pyc"))]
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]
    assert "edge/py.typed" in names
    of_the_path = [name for name in names if name.startswith("edge/_compiled/")]
    assert bool(of_the_path) == (build_state == "compiled")
    assert not [
        name for name in names if name.endswith(".so") and not name.startswith(("edge/_compiled/", "edge/_fast/"))
    ]
    # The dependencies are this environment's; the package is the wheel's.
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True, timeout=120)
    code = f"import sys; sys.path.insert(0, {str(site)!r}); import edge, edge.cli; print(edge.__file__); edge.cli.main(['version'])"
    env = {k: v for k, v in os.environ.items() if k not in ("EDGE_PURE_PYTHON", "EDGE_REQUIRE_COMPILED")}
    got = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
    )
    assert got.returncode == 0, got.stderr
    assert str(site) in got.stdout
    assert f"({build_state})" in got.stdout


def test_without_a_compiler_the_last_line_says_how_to_go_on(tmp_path):
    kept = {k: v for k, v in os.environ.items() if k not in ("EDGE_PURE_PYTHON", "EDGE_REQUIRE_COMPILED")}
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    env = {**kept, "CC": str(tmp_path / "no-compiler")}
    got = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert got.returncode != 0
    assert not list(tmp_path.glob("*.whl")), "a wheel named for this platform that is pure Python"
    said = [line for line in (got.stdout + got.stderr).splitlines() if "EDGE_PURE_PYTHON=1" in line]
    assert len(said) == 1
    assert "do not compile here" in said[0]


def test_contradictory_build_variables_are_an_error():
    env = {**os.environ, "EDGE_PURE_PYTHON": "1", "EDGE_REQUIRE_COMPILED": "1"}
    command = [sys.executable, "setup.py", "--version"]
    got = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert got.returncode != 0
    assert "contradict" in got.stderr
