"""Build script: the modules that a request passes, compiled.

``edge/_fast/_sse.py`` is ordinary Python; the same file is compiled as ``edge._fast._sse_c``, so both builds of a leaf
can be imported side by side. The way of a request, which is made of these leaves, is compiled under the modules' own
names into ``edge/_compiled``, from where ``edge/__init__.py`` imports it: a process has it in one of its builds. What
types its classes have then is said in a ``.pxd`` beside each ``.py``.

A module that does not compile fails the build, since a wheel that is named for a platform and
runs as slowly as pure Python would go unnoticed; the last line says how to go on. With ``EDGE_PURE_PYTHON=1`` nothing
is compiled, which gives a ``py3-none-any`` wheel; ``EDGE_REQUIRE_COMPILED=1``, a word for run time, contradicts it.

``EDGE_SANITIZE=1`` makes a build for tests alone, with Cython's own checks on and with the address and undefined
behaviour sanitizers of gcc: ``make sanitize`` (tests/sanitize.py) makes it, in a folder of its own, and runs it.
"""

import os
import re
import shutil
import sys
import sysconfig
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HOT_MODULES = [
    "answer",
    "asked",
    "asked_messages",
    "balancer",
    "body_known",
    "body_text",
    "chunks",
    "fields",
    "head",
    "head_fields",
    "head_known",
    "json",
    "json_scanned",
    "json_strings",
    "json_values",
    "key",
    "lfu",
    "limits",
    "line",
    "marks",
    "measure",
    "member",
    "numbers",
    "pattern",
    "quantile",
    "scan",
    "scan_addresses",
    "scan_numbers",
    "scan_phones",
    "scan_secrets",
    "scan_text",
    "skeleton",
    "slots",
    "spend",
    "sse",
    "turns",
    "usual",
    "walk",
    "words",
]

PATH_MODULES = [
    "edge.cache.answers",
    "edge.cache.flight",
    "edge.cache.key",
    "edge.cache.memory",
    "edge.cache.policy",
    "edge.cache.recent",
    "edge.cache.storable",
    "edge.call",
    "edge.clock",
    "edge.dialects.crossing",
    "edge.dialects.estimate",
    "edge.dialects.failures",
    "edge.dialects.openai",
    "edge.dialects.provider_state",
    "edge.dialects.stream",
    "edge.digests",
    "edge.dispatch",
    "edge.gateway",
    "edge.grant",
    "edge.guard.auth",
    "edge.guard.counts",
    "edge.guard.decisions",
    "edge.guard.expected",
    "edge.guard.key_table",
    "edge.guard.leaves",
    "edge.guard.limit_fields",
    "edge.guard.limits",
    "edge.guard.logins",
    "edge.guard.moments",
    "edge.guard.pii",
    "edge.guard.quotas",
    "edge.guard.reservation",
    "edge.guard.shape",
    "edge.guard.validate",
    "edge.head",
    "edge.hooks",
    "edge.inquiry",
    "edge.joining",
    "edge.ledger",
    "edge.memo",
    "edge.money.accounting",
    "edge.money.pricing",
    "edge.money.usage_table",
    "edge.payload",
    "edge.record",
    "edge.replies",
    "edge.reply",
    "edge.reply_fields",
    "edge.routes",
    "edge.server.heads",
    "edge.server.lane",
    "edge.server.protocol",
    "edge.server.turns",
    "edge.state",
    "edge.telemetry.fanout",
    "edge.telemetry.lines",
    "edge.telemetry.metrics",
    "edge.telemetry.recent",
    "edge.telemetry.tracing",
    "edge.telemetry.writer",
    "edge.terms",
    "edge.trace_context",
    "edge.upload",
    "edge.upstreams.attempt",
    "edge.upstreams.budget",
    "edge.upstreams.choice",
    "edge.upstreams.client_headers",
    "edge.upstreams.clocks",
    "edge.upstreams.collected",
    "edge.upstreams.connection",
    "edge.upstreams.cooling",
    "edge.upstreams.desk",
    "edge.upstreams.likeness",
    "edge.upstreams.provider",
    "edge.upstreams.receiver",
    "edge.upstreams.relay",
    "edge.upstreams.request",
    "edge.upstreams.retry",
    "edge.upstreams.router",
    "edge.upstreams.standing",
    "edge.upstreams.ties",
    "edge.upstreams.transport",
    "edge.upstreams.tried",
]

COMPILED = Path("edge/_compiled")
KEPT = Path("build/modules")
"""Compiled modules by what they are made of: the next build, and a wheel, compile what has changed."""
MOST_KEPT = 1000
MOST_COMPILERS = 8
"""At a time. Each takes up to 300 MB, and a container may have fewer processors than it is told of."""

CIMPORT = re.compile(
    r"^\s*(?:from\s+|cimport\s+)(?:cython\.cimports\.)?(edge[\w.]*)(?:\s+c?import\s+(\([^)]*\)|.*))?", re.MULTILINE
)
"""``from edge.head cimport Head``, ``from cython.cimports.edge._fast._bytes import (...)``, ``cimport edge.head``."""


def clear(folder: Path, names: str) -> None:
    """Remove what this Python's last build has put there. What another Python's has, which has other names, stays."""
    for path in folder.rglob(names):
        path.unlink()


def make_room(folder: Path, most: int) -> None:
    """Remove the files that nobody has used for longest. Others may be doing the same."""
    used: list[tuple[float, Path]] = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            used.append((path.stat().st_mtime, path))
    for _, path in sorted(used)[:-most]:
        path.unlink(missing_ok=True)


TRUE = {"1", "true", "yes", "on"}
PURE = os.environ.get("EDGE_PURE_PYTHON", "").lower() in TRUE
REQUIRED = os.environ.get("EDGE_REQUIRE_COMPILED", "").lower() in TRUE
SANITIZE = os.environ.get("EDGE_SANITIZE", "").lower() in TRUE
# CPython's own flags have -fwrapv, under which no overflow is reported.
SANITIZERS = [
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=undefined",
    "-fno-omit-frame-pointer",
    "-fno-wrapv",
]
CHECKS = {"boundscheck": True, "wraparound": True, "initializedcheck": True, "nonecheck": True}
COMMON = {"language_level": "3", "binding": False}
HOT = COMMON | (CHECKS if SANITIZE else {})
# Types on the way are said by the .pxd files alone. None where none should be is an AttributeError, as in the pure
# build, and not the end of the worker.
PATH = COMMON | {"annotation_typing": False, "nonecheck": True} | (CHECKS if SANITIZE else {})

FREE = 0 if SANITIZE else 32
"""So many objects of each class without a base are kept for the next request, instead of being freed and made anew."""

if PURE and REQUIRED:
    raise SystemExit("EDGE_PURE_PYTHON and EDGE_REQUIRE_COMPILED contradict each other: set one of them")


HOW_TO_GO_ON = (
    "edge: the hot modules do not compile here. Install a C compiler and Python's headers (Debian: gcc python3-dev), "
    "or set EDGE_PURE_PYTHON=1 to install the slower build in pure Python."
)


class BuildOrSay(build_ext):
    """Compiles the modules; where that fails, the last line says how to go on."""

    def initialize_options(self) -> None:
        """An editable install does this again, and what is said in `setup` has no effect then."""
        super().initialize_options()
        self.parallel = min(os.cpu_count() or 1, MOST_COMPILERS)

    def get_ext_fullpath(self, ext_name: str) -> str:
        return str(Path(self.build_lib, self.place(ext_name)))

    def copy_extensions_to_source(self) -> None:
        """For an editable install; setuptools would have a compiled module beside its source, where it always wins."""
        clear(COMPILED, self.get_ext_filename("*"))  # one that is no more on the list would win as well
        for extension in self.extensions:
            place = self.place(extension.name)
            place.parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(self.get_ext_fullpath(extension.name), str(place), level=self.verbose)

    def build_extension(self, ext: Extension) -> None:
        kept = KEPT / f"{ext.kept}.so"
        made = Path(self.get_ext_fullpath(ext.name))
        if kept.exists():
            made.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kept, made)
            return
        super().build_extension(ext)
        KEPT.mkdir(parents=True, exist_ok=True)
        make_room(KEPT, MOST_KEPT)
        part = kept.with_suffix(f".{os.getpid()}")
        shutil.copyfile(made, part)
        part.replace(kept)

    def get_outputs(self) -> list[str]:
        return [self.get_ext_fullpath(extension.name) for extension in self.extensions]

    def place(self, name: str) -> Path:
        """Where a compiled module is to be, seen from the folder that ``edge`` is in."""
        folder = Path(name.replace(".", "/"))
        if name in PATH_MODULES:
            folder = COMPILED / folder.relative_to("edge")
        return folder.with_name(self.get_ext_filename(folder.name))

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:  # noqa: BLE001 - whatever keeps a module from being compiled
            print(f"edge: {type(error).__name__}: {error}", file=sys.stderr)
            raise SystemExit(HOW_TO_GO_ON) from None

    def build_extensions(self) -> None:
        new = []
        for extension in self.extensions:
            try:
                os.utime(KEPT / f"{extension.kept}.so")  # so that none of these makes room for the new ones
            except FileNotFoundError:
                new.append(extension)
        if new:
            self.try_compiler()
            translate(new)
        super().build_extensions()

    def try_compiler(self) -> None:
        """Compile one line, since Cython takes a minute before the compiler has its turn."""
        with TemporaryDirectory() as folder:
            source = Path(folder, "tried.c")
            source.write_text("#include <Python.h>\n")
            self.compiler.compile([str(source)], output_dir=folder)


def extensions() -> list[Extension]:
    if PURE:
        print("edge: EDGE_PURE_PYTHON is set, nothing is compiled", file=sys.stderr)
        return []
    try:
        import Cython.Build  # noqa: F401
    except ImportError:
        raise SystemExit(HOW_TO_GO_ON.replace("Install a C compiler", "Install Cython, a C compiler")) from None
    hot = {f"edge._fast._{name}_c": f"edge/_fast/_{name}.py" for name in HOT_MODULES}
    path = {name: f"{name.replace('.', '/')}.py" for name in PATH_MODULES}
    return [*described(hot, "-O3", HOT), *described(path, "-O2", PATH)]


def declarations(source: Path, name: str) -> set[Path]:
    """The files that a module is made of: its source, its ``.pxd``, and those that these import, and so on."""
    found: set[Path] = set()
    asked = {source, Path(name.replace(".", "/")).with_suffix(".pxd")}
    while asked:
        path = asked.pop()
        if path in found or not path.exists():
            continue
        found.add(path)
        for package, names in CIMPORT.findall(path.read_text()):
            folder = Path(package.replace(".", "/"))
            asked.add(folder.with_suffix(".pxd"))
            asked.update(folder / f"{each}.pxd" for each in re.findall(r"\w+", names))
    return found


def described(files: dict[str, str], optimized: str, directives: dict[str, object]) -> list[Extension]:
    """Modules to be compiled, each with the name under which it is ``kept``: a digest of all that it is made of."""
    import Cython

    arguments = [
        *(["-O1", "-g", *SANITIZERS] if SANITIZE else [optimized, "-g0"]),
        # Where the processor has a fused multiply-add (ARM), contraction would round differently from Python.
        "-ffp-contract=off",
        "-Wall",
        "-Wno-unused-function",
    ]
    linked = SANITIZERS if SANITIZE else []
    told = repr((arguments, linked, directives, FREE, Cython.__version__, sys.version, sysconfig.get_platform()))
    told += repr([os.environ.get(name) for name in ("CC", "CFLAGS", "CPPFLAGS", "LDFLAGS")])
    common = sha256(told.encode())
    modules = [
        Extension(name, [file], extra_compile_args=arguments, extra_link_args=linked) for name, file in files.items()
    ]
    for module in modules:
        whole = common.copy()
        whole.update(module.name.encode())
        for path in sorted(declarations(Path(module.sources[0]), module.name)):
            whole.update(path.read_bytes())
        module.kept = whole.hexdigest()
    return modules


def translate(modules: list[Extension]) -> None:
    """From Python to C, once it is to be compiled: who asks for a version or for metadata has no need of that."""
    from Cython.Build import cythonize
    from Cython.Compiler import Errors
    from Cython.Compiler.Options import get_directive_defaults

    get_directive_defaults()["freelist"] = FREE
    Errors.LEVEL = 2  # it would warn of each class with a base, of which none is kept
    named = {module.name: module for module in modules}
    for on_path, directives in ((False, HOT), (True, PATH)):
        made = cythonize(
            [module for module in modules if (module.name in PATH_MODULES) is on_path],
            force=True,  # what is not kept has changed, which Cython does not always notice
            build_dir="build/cython-sanitize" if SANITIZE else "build/cython",
            compiler_directives=directives,
            show_all_warnings=False,
        )
        for module in made:
            named[module.name].sources = module.sources


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildOrSay})
