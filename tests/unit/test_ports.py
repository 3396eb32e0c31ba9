"""Ports that tests claim for their servers."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

from tests import ports
from tests.ports import free_port

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]


def test_no_other_process_gets_one_that_is_claimed():
    program = f"from tests import ports; print(ports._claim({free_port()}))"
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert told.stdout == "False\n", told.stderr


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EINVAL])
def test_where_nothing_can_be_locked_it_is_said(monkeypatch, number):
    def refused(*_: object) -> None:
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "lockf", refused)
    with pytest.raises(OSError, match="no locks here"):
        free_port()


def test_a_folder_that_cannot_be_written_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(ports, "_claims", cache(ports._claims.__wrapped__))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError):
        free_port()
