"""What users install: the built wheels, in a folder of their own, away from the source. `make wheels` does it for every Python."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest

from tests.wheels import NEWEST, OLDEST, ROOT, ask, build, builder, built, check_contents, environment, interpreters

pytestmark = pytest.mark.heavy


@pytest.mark.parametrize("build_state", ["pure", "compiled"])
def test_the_wheel_is_whole_and_answers(build_state, tmp_path):
    if build_state == "compiled":
        pytest.importorskip("edge._fast._json_c", reason="there is no compiled build here")
    how = {"EDGE_PURE_PYTHON": "1"} if build_state == "pure" else {"EDGE_REQUIRE_COMPILED": "1"}
    wheel = built(builder(sys.executable), "wheel", tmp_path, **how)
    assert wheel.name.endswith("py3-none-any.whl") == (build_state == "pure")
    check_contents(wheel)
    # The dependencies are this environment's; the package is the wheel's.
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True, timeout=120)
    told = ask((sys.executable, str(site / "bin/edge")), sys.executable, tmp_path, PYTHONPATH=str(site))
    assert told.build == build_state
    print(f"\n{wheel.stat().st_size / 1e6:.1f} MB, {told}")


def test_the_sdist_builds_the_same_wheel_and_needs_no_network(tmp_path):
    python = builder(sys.executable)
    sdist = built(python, "sdist", tmp_path)
    with tarfile.open(sdist) as opened:
        opened.extractall(tmp_path, filter="data")
    source = tmp_path / sdist.name.removesuffix(".tar.gz")
    assert (source / "requirements/build.txt").exists()
    offline = {"PIP_NO_INDEX": "1", "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    from_sdist = built(python, "wheel", tmp_path / "a", source, EDGE_PURE_PYTHON="1", **offline)
    from_tree = built(python, "wheel", tmp_path / "b", EDGE_PURE_PYTHON="1")
    files = [
        {each.filename: each.CRC for each in zipfile.ZipFile(wheel).infolist()} for wheel in (from_sdist, from_tree)
    ]
    assert files[0] == files[1]


def test_without_a_compiler_the_last_line_says_how_to_go_on(tmp_path):
    got = build(builder(sys.executable), "wheel", tmp_path, CC=str(tmp_path / "no-compiler"))
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


def test_the_pythons_that_wheels_are_made_for_are_those_that_the_project_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = [each.rpartition(" ")[2] for each in project["project"]["classifiers"] if ":: Python :: 3." in each]
    made = project["tool"]["cibuildwheel"]["build"].split()
    assert made == [f"cp{version.replace('.', '')}-*" for version in named]
    found = interpreters()
    assert found, "this Python is one of them"
    print("\n" + "\n".join(found))


def test_cibuildwheel_reads_its_configuration():
    """What a runner with Linux on x86-64 would build."""
    pytest.importorskip("cibuildwheel", reason="cibuildwheel is not here (pip install cibuildwheel)")
    command = [sys.executable, "-m", "cibuildwheel", "--platform", "linux", "--archs", "x86_64"]
    got = subprocess.run(
        [*command, "--print-build-identifiers", str(ROOT)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert got.returncode == 0, got.stderr
    expected = [
        f"cp3{minor}-{libc}_x86_64" for libc in ("manylinux", "musllinux") for minor in range(OLDEST, NEWEST + 1)
    ]
    assert sorted(got.stdout.split()) == sorted(expected)
