"""Build script: the hot modules of ``edge/_fast``, compiled under their second name.

``edge/_fast/_sse.py`` is ordinary Python; the same file is compiled as ``edge._fast._sse_c``, so both builds can be
imported side by side. A module that does not compile fails the build, since a wheel that is named for a platform and
runs as slowly as pure Python would go unnoticed; the last line says how to go on. With ``EDGE_PURE_PYTHON=1`` nothing
is compiled, which gives a ``py3-none-any`` wheel; ``EDGE_REQUIRE_COMPILED=1``, a word for run time, contradicts it.

``EDGE_SANITIZE=1`` makes a build for tests alone, with Cython's own checks on and with the address and undefined
behaviour sanitizers of gcc: ``make sanitize`` (tests/sanitize.py) makes it, in a folder of its own, and runs it.
"""

import os
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HOT_MODULES = [
    "answer",
    "balancer",
    "chunks",
    "fields",
    "head",
    "head_fields",
    "json",
    "json_strings",
    "key",
    "lfu",
    "limits",
    "member",
    "scan",
    "scan_addresses",
    "scan_numbers",
    "scan_phones",
    "scan_secrets",
    "scan_text",
    "slots",
    "sse",
]

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

if PURE and REQUIRED:
    raise SystemExit("EDGE_PURE_PYTHON and EDGE_REQUIRE_COMPILED contradict each other: set one of them")


HOW_TO_GO_ON = (
    "edge: the hot modules do not compile here. Install a C compiler and Python's headers (Debian: gcc python3-dev), "
    "or set EDGE_PURE_PYTHON=1 to install the slower build in pure Python."
)


class BuildOrSay(build_ext):
    """Compiles the modules; where that fails, the last line says how to go on."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:  # noqa: BLE001 - whatever keeps a module from being compiled
            print(f"edge: {type(error).__name__}: {error}", file=sys.stderr)
            raise SystemExit(HOW_TO_GO_ON) from None


def extensions() -> list[Extension]:
    if PURE:
        print("edge: EDGE_PURE_PYTHON is set, nothing is compiled", file=sys.stderr)
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        raise SystemExit(HOW_TO_GO_ON.replace("Install a C compiler", "Install Cython, a C compiler")) from None
    modules = [
        Extension(
            f"edge._fast._{name}_c",
            [f"edge/_fast/_{name}.py"],
            depends=["setup.py"],
            extra_compile_args=[
                *(["-O1", "-g", *SANITIZERS] if SANITIZE else ["-O3"]),
                # Where the processor has a fused multiply-add (ARM), contraction would round differently from Python.
                "-ffp-contract=off",
                "-Wall",
                "-Wno-unused-function",
            ],
            extra_link_args=SANITIZERS if SANITIZE else [],
        )
        for name in HOT_MODULES
    ]
    return cythonize(
        modules,
        # Cython does not notice that directives have changed: each build keeps its own C files.
        build_dir="build/cython-sanitize" if SANITIZE else "build/cython",
        compiler_directives={"language_level": "3", "embedsignature": True} | (CHECKS if SANITIZE else {}),
        show_all_warnings=False,
    )


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildOrSay}, options={"build_ext": {"parallel": 2}})
