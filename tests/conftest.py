"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import importlib
import json
import math
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import httpcore2
import httpx2
import pytest
from hypothesis import HealthCheck, settings

from tests.harness import WAIT_S
from tests.stalls import Stalls

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Each HTTP client reads the authorities of the web when it is made, in 20 ms of CPU; here all have what the first has read.
httpcore2.default_ssl_context = cache(httpcore2.default_ssl_context)

# The client's own 5 s are for the web, not for a machine where all processes have more to do than there are cores.
for phase in ("connect", "read", "write", "pool"):
    setattr(httpx2._config.DEFAULT_TIMEOUT_CONFIG, phase, WAIT_S)

# A shell ignores interrupts for what it runs in its background (POSIX, Shell Command Language 2.11), and all that a test
# starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

WRITING = ("CLICOLOR_FORCE", "COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "PY_COLORS")
"""By these, what a tool writes is wider, coloured or cut (pytest, click, rich): no program that a test starts has them."""

for each in WRITING:
    os.environ.pop(each, None)

BUILDS = ("pure", "compiled")
EACH_BUILD = [pytest.param(build, marks=getattr(pytest.mark, build)) for build in BUILDS]


def load(name: str, build: str) -> ModuleType:
    """One build of a hot module: both can be imported side by side."""
    try:
        return importlib.import_module(f"edge._fast._{name}{'_c' if build == 'compiled' else ''}")
    except ImportError:
        pytest.skip("the compiled build is not here")


def both_builds(name: str) -> Callable[..., ModuleType]:
    """A fixture of the name ``NAME_module``: the tests that use it run on either build."""

    @pytest.fixture(name=f"{name}_module", params=EACH_BUILD)
    def module(request: pytest.FixtureRequest) -> ModuleType:
        return load(name, request.param)

    return module


answer_module = both_builds("answer")
balancer_module = both_builds("balancer")
chunks_module = both_builds("chunks")
fields_module = both_builds("fields")
head_module = both_builds("head")
head_known_module = both_builds("head_known")
json_module = both_builds("json")
lfu_module = both_builds("lfu")
limits_module = both_builds("limits")
line_module = both_builds("line")
member_module = both_builds("member")
pattern_module = both_builds("pattern")
quantile_module = both_builds("quantile")
key_module = both_builds("key")
scan_module = both_builds("scan")
slots_module = both_builds("slots")
spend_module = both_builds("spend")
sse_module = both_builds("sse")


WIDE = 1000
SHOWN = 100
"""Lines of a failed test's traceback, and of each output that it captured."""


def shortened(text: str) -> str:
    """The beginning and the end of what is longer than anyone reads."""
    lines = [line if len(line) <= WIDE else f"{line[:WIDE]}..." for line in text.splitlines()]
    if len(lines) <= SHOWN:
        return "\n".join(lines)
    half = SHOWN // 2
    return "\n".join([*lines[:half], f"... {len(lines) - 2 * half} lines left out ...", *lines[-half:]])


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """All that is imported and collected stays until the end, and there is much of it: nothing looks it through for garbage
    meanwhile, or each time that a test has garbage looked for.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """A file goes to one process as a whole. Those that take longest begin first, so that none is left when others are done;
    each that computes follows two that mostly wait, so that neither fill all processes at once.
    """
    waiting, computing = (
        list(dict.fromkeys(item.path for item in items if item.get_closest_marker(mark))) for mark in ("early", "heavy")
    )
    places = {file: float(number) for number, file in enumerate(waiting)}
    places |= {file: 2 * number + 1.5 for number, file in enumerate(computing)}
    items.sort(key=lambda item: places.get(item.path, math.inf))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """A failure tells its cause first and last; an edge's whole log between would bury it."""
    report = yield
    if report.failed:
        whole = str(report.longrepr)
        if (shorter := shortened(whole)) != whole:
            report.longrepr = shorter
        report.sections = [(name, shortened(text)) for name, text in report.sections]
    return report


@dataclass(frozen=True)
class Recording:
    """One real exchange with a provider. ``body`` is the request as compact JSON, ``answer`` the response's bytes."""

    name: str
    path: str
    request: dict
    status: int
    content_type: str
    answer: bytes

    @property
    def body(self) -> bytes:
        return json.dumps(self.request, ensure_ascii=False).encode()

    @property
    def is_stream(self) -> bool:
        return "event-stream" in self.content_type


def read_recordings() -> list[Recording]:
    folder = os.environ.get("EDGE_RECORDINGS")
    if not folder:
        return []
    found = []
    for path in sorted(Path(folder).glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            response = row["response"]
            text = response if isinstance(response, str) else json.dumps(response, ensure_ascii=False)
            found.append(
                Recording(
                    row["name"],
                    row["path"],
                    row["request"],
                    row["status"],
                    row["content_type"] or "application/json",
                    text.encode(),
                )
            )
    return found


@pytest.fixture
def stalls() -> Iterator[Stalls]:
    """What the machine does while the test runs."""
    with Stalls() as measured:
        yield measured


@pytest.fixture(scope="session")
def recordings() -> list[Recording]:
    """Real exchanges, from the folder EDGE_RECORDINGS names."""
    found = read_recordings()
    if not found:
        pytest.skip("EDGE_RECORDINGS is not set: no recorded exchanges to test with")
    marker = os.environ.get("EDGE_RECORDINGS_USED")
    if marker:
        Path(marker).write_text(f"{len(found)} recordings\n")
    return found
