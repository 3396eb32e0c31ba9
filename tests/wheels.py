"""``python -m tests.wheels [PYTHON ...]``: what a release has, in dist/, each wheel installed and asked a first request.

The sdist, a compiled wheel for each Python named (or found: on the path and in pyenv's folder), and one in pure Python. A wheel
is installed with its dependencies in a fresh environment, and runs in a folder from where the source cannot be imported.
``--installed`` asks the edge that is installed beside this Python, as cibuildwheel does. The last lines are a table.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.harness import Process, clean_environment, free_port, wait_until_ready

ROOT = Path(__file__).parents[1]
BASE = ROOT / "build" / "wheels"
OLDEST, NEWEST = 11, 15
SAID = [{"role": "user", "content": "Say hello."}]
REQUESTS = {
    "/v1/chat/completions": {"model": "gpt-5-mini", "messages": SAID},
    "/v1/messages": {"model": "claude-haiku-4-5", "max_tokens": 64, "messages": SAID},
}
PROBE = """
import sys, time
begun = time.perf_counter()
import edge.cli
took = time.perf_counter() - begun
print(edge.__file__, sys.version_info[0], sys.version_info[1], round(1000 * took))
"""


@dataclass(frozen=True)
class Answered:
    """What an installed edge was like: `build` is compiled or pure, `ready_s` from the command to readiness."""

    python: str
    build: str
    import_ms: int
    ready_s: float
    installed_bytes: int


def environment(**more: str) -> dict[str, str]:
    """Without what would choose a build, or find the source."""
    left_out = ("EDGE_PURE_PYTHON", "EDGE_REQUIRE_COMPILED", "PYTHONPATH")
    return {**{name: value for name, value in clean_environment().items() if name not in left_out}, **more}


def builder(python: str) -> str:
    """An interpreter like `python`, with what `requirements/build.txt` fixes; made once, anew when that changes."""
    lock = ROOT / "requirements" / "build.txt"
    asked = [python, "-c", "import sys; print(sys.implementation.cache_tag)"]
    tag = subprocess.run(
        asked, env=environment(), capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()
    folder = BASE / "builders" / tag
    made = folder / "made"
    if not made.exists() or made.read_bytes() != lock.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", str(folder)], env=environment(), check=True, timeout=300)
        install = [str(folder / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*install, "--require-hashes", "-r", str(lock)], env=environment(), check=True, timeout=300)
        made.write_bytes(lock.read_bytes())
    return str(folder / "bin/python")


def build(python: str, kind: str, folder: Path, source: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """``python -m build``; `kind` is wheel or sdist, `python` what `builder` gave."""
    command = [python, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(folder), str(source)]
    return subprocess.run(command, env=environment(**env), capture_output=True, text=True, timeout=3600)


def built(python: str, kind: str, folder: Path, source: Path = ROOT, **env: str) -> Path:
    """The file that was made, in `folder`, which may have others."""
    got = build(python, kind, folder, source, **env)
    assert got.returncode == 0, got.stdout[-4000:] + got.stderr[-4000:]
    return folder / re.findall(r"Successfully built (\S+)", got.stdout)[-1]


def check_contents(wheel: Path) -> None:
    """Everything that a user needs is in it, and nothing else."""
    names = zipfile.ZipFile(wheel).namelist()
    pure = wheel.name.endswith("-py3-none-any.whl")
    assert not [name for name in names if name.endswith((".pth", ".c", ".pyc"))]
    assert not [name for name in names if not name.startswith(("edge/", "llm_edge_agent-"))]
    assert "edge/py.typed" in names
    for kept in (ROOT / "edge").rglob("data/*"):
        assert kept.relative_to(ROOT).as_posix() in names, kept
    assert bool([name for name in names if name.startswith("edge/_compiled/")]) != pure
    libraries = [name for name in names if name.endswith(".so")]
    assert not [name for name in libraries if not name.startswith(("edge/_compiled/", "edge/_fast/"))]
    (info,) = {name.partition("/")[0] for name in names if name.startswith("llm_edge_agent-")}
    assert f"{info}/licenses/LICENSE" in names
    with zipfile.ZipFile(wheel) as opened:
        metadata, entries = (opened.read(f"{info}/{name}").decode() for name in ("METADATA", "entry_points.txt"))
    for line in ("License-Expression: Apache-2.0", "Requires-Python: >=3.11", "Classifier: Typing :: Typed"):
        assert f"\n{line}\n" in metadata, line
    assert "Description-Content-Type: text/markdown" in metadata
    assert re.findall(r"^(\S+) = edge.__main__:main$", entries, re.MULTILINE) == ["edge", "llm-edge-agent"]


def ask(program: tuple[str, ...], python: str, away: Path, **env: str) -> Answered:
    """Run the installed edge in the folder `away`, with its own simulator behind, and ask it in both dialects."""
    env = environment(**env)
    told = subprocess.run([python, "-c", PROBE], cwd=away, env=env, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stderr
    file, major, minor, import_ms = told.stdout.split()
    assert not Path(file).is_relative_to(ROOT / "edge"), "it is the source that runs"
    version = subprocess.run([*program, "version"], cwd=away, env=env, capture_output=True, text=True, timeout=60)
    state = re.search(r"\((compiled|pure)\)", version.stdout)
    assert state is not None, version.stdout + version.stderr
    url = f"http://127.0.0.1:{free_port()}"
    begun = time.monotonic()
    process = Process(*program, "demo", "--port", url.rpartition(":")[2], env=env, cwd=away)
    try:
        wait_until_ready(url, start_s=60)
        ready_s = time.monotonic() - begun
        for path, request in REQUESTS.items():
            answer = httpx2.post(f"{url}{path}", json=request, timeout=30)
            assert answer.status_code == 200, answer.text
            assert "simulator" in answer.text
        healthy = subprocess.run([*program, "health", "--url", url], cwd=away, env=env, capture_output=True, timeout=60)
        assert healthy.returncode == 0, healthy.stderr
    finally:
        code = process.stop()
    assert code == 0, process.output
    size = sum(path.stat().st_size for path in Path(file).parent.rglob("*") if path.suffix != ".pyc" and path.is_file())
    return Answered(f"{major}.{minor}", state[1], int(import_ms), ready_s, size)


def installed(wheel: Path, python: str, away: Path) -> Answered:
    """Install it with its dependencies in a fresh environment under `away`, and ask it."""
    place = away / "environment"
    subprocess.run([python, "-m", "venv", str(place)], env=environment(), check=True, timeout=300)
    command = [str(place / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", str(wheel)]
    subprocess.run(command, cwd=away, env=environment(), check=True, timeout=900)
    return ask((str(place / "bin/edge"),), str(place / "bin/python"), away)


def interpreters() -> list[str]:
    """One for each version from 3.11 on that is here and runs: on the path, else in pyenv's folder; the oldest first."""
    found: dict[int, str] = {}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for minor in range(OLDEST, NEWEST + 1):
        for each in (shutil.which(f"python3.{minor}"), *sorted(map(str, pyenv.glob(f"3.{minor}.*/bin/python")))):
            if each is None or minor in found:
                continue
            # pyenv's shims are on the path for versions that are not chosen.
            runs = subprocess.run([each, "-c", "import venv, ensurepip"], env=environment(), capture_output=True)
            if runs.returncode == 0:
                found[minor] = each
    return list(found.values())


def main(arguments: list[str]) -> int:
    if arguments == ["--installed"]:
        with tempfile.TemporaryDirectory() as folder:
            print(ask((f"{sysconfig.get_path('scripts')}/edge",), sys.executable, Path(folder)))
        return 0
    pythons = arguments or interpreters()
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    print(f"{built(builder(pythons[0]), 'sdist', dist).name}", flush=True)
    rows: list[tuple[Path, Answered]] = []
    asked = [(python, {"EDGE_REQUIRE_COMPILED": "1"}) for python in pythons]
    for python, how in [*asked, (pythons[-1], {"EDGE_PURE_PYTHON": "1"})]:
        wheel = built(builder(python), "wheel", dist, **how)
        check_contents(wheel)
        with tempfile.TemporaryDirectory() as folder:
            rows.append((wheel, installed(wheel, python, Path(folder))))
        print(f"{wheel.name}: installed and asked", flush=True)
    print(f"\n{'wheel':64}{'Python':>7}{'build':>10}{'MB':>6}{'installed':>11}{'import ms':>11}{'ready s':>9}")
    for wheel, told in rows:
        sizes = f"{wheel.stat().st_size / 1e6:6.1f}{told.installed_bytes / 1e6:11.1f}"
        print(f"{wheel.name:64}{told.python:>7}{told.build:>10}{sizes}{told.import_ms:11}{told.ready_s:9.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
