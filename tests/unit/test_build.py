"""What building does beside compiling: setup.py keeps compiled modules for the next build."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]


def definitions() -> dict:
    """What setup.py defines before it asks for anything."""
    namespace: dict = {}
    source = (ROOT / "setup.py").read_text().partition("TRUE =")[0]
    exec(compile(source, "setup.py", "exec"), namespace)
    return namespace


def test_the_modules_that_were_used_last_are_kept_whoever_else_makes_room(tmp_path):
    for age in range(5):
        path = tmp_path / f"{age}.so"
        path.write_bytes(b"")
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / "gone.so").symlink_to(tmp_path / "removed by another build")
    definitions()["make_room"](tmp_path, 2)
    assert sorted(path.name for path in tmp_path.glob("?.so")) == ["0.so", "1.so"]
