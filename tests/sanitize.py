"""``python -m tests.sanitize [PYTEST ARGUMENT ...]``: the hot modules' tests on a build with sanitizers; 1 on a finding.

The compiled modules are built with gcc's AddressSanitizer and UndefinedBehaviorSanitizer and with Cython's own checks on
(``EDGE_SANITIZE=1``, see setup.py) into a copy of the package under build/sanitize, beside copies of the tests: the
developer's own build stays as it is. Which modules there are is what setup.py has built.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BASE = ROOT / "build" / "sanitize"
TREE = BASE / "tree"
TOOLS = BASE / "tools"
"""Where `make sanitize` puts setuptools and Cython, which the environment may have as well."""

COPIED = ("tests", "benchmarks")
"""The tests, and the texts that benchmarks and tests have in common."""

# CPython leaves memory behind at its end, on purpose. With malloc in the place of its own allocator, each bytes object
# has guarded memory around it, so that reading one byte too many is found.
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "PYTHONMALLOC": "malloc",
    "EDGE_REQUIRE_COMPILED": "1",
}


def build() -> list[str]:
    """Build into TREE; return the modules' names."""
    for name in COPIED:
        shutil.rmtree(TREE / name, ignore_errors=True)
    environment = os.environ | {"EDGE_SANITIZE": "1", "EDGE_REQUIRE_COMPILED": "1", "CC": "gcc"}
    environment["PYTHONPATH"] = os.pathsep.join([str(TOOLS), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment.pop("EDGE_PURE_PYTHON", None)
    command = [sys.executable, "setup.py", "-q", "build", "--build-base", str(BASE), "--build-lib", str(TREE)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    for name in COPIED:
        shutil.copytree(ROOT / name, TREE / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", TREE)
    names = [path.name.partition("_c.")[0] for path in (TREE / "edge/_fast").glob("_*_c.*.so")]
    # An earlier build may have left a module that is no more.
    return sorted(name[1:] for name in names if (ROOT / f"edge/_fast/{name}.py").exists())


def environment() -> dict[str, str]:
    """What a process needs that imports the sanitized modules: the sanitizer has to be there before all else."""
    library = subprocess.check_output(["gcc", "-print-file-name=libasan.so"], text=True).strip()
    if not Path(library).is_absolute():
        sys.exit("gcc has no libasan.so here: no sanitizer")
    return os.environ | ENVIRONMENT | {"LD_PRELOAD": library, "PYTHONPATH": str(TREE)}


def tests(names: list[str]) -> list[str]:
    """The files with the modules' tests. What is a part of another module is tested with that."""
    unit = TREE / "tests/unit"
    found = {TREE / "tests/fuzz/test_corpus.py"}
    for name in names:
        whole = name
        while not (unit / f"test_{whole}.py").exists():
            whole, _, part = whole.rpartition("_")
            if not part or not whole:
                sys.exit(f"the module {name} has no tests")
        found |= {unit / f"test_{whole}.py", *unit.glob(f"test_{whole}_*.py")}
    return sorted(str(path.relative_to(TREE)) for path in found)


def main() -> None:
    if not shutil.which("gcc"):
        sys.exit("gcc is not here: no sanitizer")
    names = build()
    surroundings = environment()
    where = "import edge._fast as f, sys; print(sys.modules[f.scan_json.__module__].__file__)"
    used = subprocess.check_output([sys.executable, "-c", where], cwd=TREE, env=surroundings, text=True).strip()
    if not Path(used).is_relative_to(TREE):
        sys.exit(f"the sanitized modules are not those that are tested, but {used}")
    print(f"sanitized: {', '.join(names)}", flush=True)
    # The tests of the pure build have nothing to find here. A report goes past Python to the file descriptor, which
    # must be the terminal's when the process is aborted.
    options = ["-q", "-x", "-p", "no:cacheprovider", "-k", "not pure", "--capture=sys"]
    command = [sys.executable, "-m", "pytest", *options, *tests(names)]
    sys.exit(subprocess.run([*command, *sys.argv[1:]], cwd=TREE, env=surroundings, check=False).returncode)


if __name__ == "__main__":
    main()
