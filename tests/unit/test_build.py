"""What building does beside compiling: setup.py keeps compiled modules for the next build."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import setuptools

from edge._fast import COMPILED

ROOT = Path(__file__).parents[2]


def definitions() -> dict:
    """What setup.py defines before it asks for anything."""
    namespace: dict = {}
    source = (ROOT / "setup.py").read_text().partition("TRUE =")[0]
    exec(compile(source, "setup.py", "exec"), namespace)
    return namespace


@pytest.mark.parametrize(("processors", "at_once"), [(1, 1), (2, 2), (64, 8)])
def test_as_many_modules_are_compiled_at_a_time_as_there_are_processors(monkeypatch, processors, at_once):
    """An editable install initializes the command anew."""
    said: dict = {}
    monkeypatch.setenv("EDGE_PURE_PYTHON", "1")
    monkeypatch.delenv("EDGE_REQUIRE_COMPILED", raising=False)
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: said.update(arguments))
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    runpy.run_path(str(ROOT / "setup.py"))
    command = setuptools.Distribution(said).get_command_obj("build_ext")
    command.initialize_options()
    command.ensure_finalized()
    assert command.parallel == at_once


def test_a_build_leaves_the_modules_of_another_python(tmp_path):
    names = ("one.cpython-313-x86_64-linux-gnu.so", "below/two.cpython-313-x86_64-linux-gnu.so")
    other = "below/two.cpython-314-x86_64-linux-gnu.so"
    (tmp_path / "below").mkdir()
    for name in (*names, other):
        (tmp_path / name).touch()
    definitions()["clear"](tmp_path, "*.cpython-313-x86_64-linux-gnu.so")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.so")] == [other]
    definitions()["clear"](tmp_path / "none", "*.so")


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled here")
def test_compiled_classes_are_not_mixed_with_pure_ones(tmp_path):
    """An edge of which half is compiled fails in the middle of a request, so it does not start."""
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge" / "_fast").symlink_to(ROOT / "edge" / "_fast")
    (tmp_path / "edge" / "__init__.py").symlink_to(ROOT / "edge" / "__init__.py")
    command = [sys.executable, "-c", "import edge; print(edge.__file__)"]
    for pure, told in (("", "the modules in edge/_compiled are not here"), ("1", str(tmp_path))):
        chosen = {"PYTHONPATH": str(tmp_path), "EDGE_PURE_PYTHON": pure, "EDGE_REQUIRE_COMPILED": ""}
        got = subprocess.run(command, cwd=tmp_path, env=os.environ | chosen, capture_output=True, text=True, timeout=60)
        assert told in (got.stdout if pure else got.stderr)
        assert got.returncode == (0 if pure else 1)


def test_the_modules_that_were_used_last_are_kept_whoever_else_makes_room(tmp_path):
    for age in range(5):
        path = tmp_path / f"{age}.so"
        path.write_bytes(b"")
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / "gone.so").symlink_to(tmp_path / "removed by another build")
    definitions()["make_room"](tmp_path, 2)
    assert sorted(path.name for path in tmp_path.glob("?.so")) == ["0.so", "1.so"]
