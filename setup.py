"""Build script: the hot modules of ``edge/_fast``, compiled under their second name.

``edge/_fast/_sse.py`` is ordinary Python; the same file is compiled as ``edge._fast._sse_c``, so both builds can be
imported side by side. Three build states:

* neither variable set: compile if possible, go on as pure Python (saying so) if not;
* ``EDGE_PURE_PYTHON=1``: compile nothing (gives a ``py3-none-any`` wheel);
* ``EDGE_REQUIRE_COMPILED=1``: a module that does not compile fails the build.
"""

import os
import sys

from setuptools import Extension, setup

HOT_MODULES = ["balancer", "fields", "json", "key", "lfu", "limits", "member", "slots", "sse"]

TRUE = {"1", "true", "yes", "on"}
PURE = os.environ.get("EDGE_PURE_PYTHON", "").lower() in TRUE
REQUIRED = os.environ.get("EDGE_REQUIRE_COMPILED", "").lower() in TRUE

if PURE and REQUIRED:
    raise SystemExit("EDGE_PURE_PYTHON and EDGE_REQUIRE_COMPILED contradict each other: set one of them")


def extensions() -> list[Extension]:
    if PURE:
        print("edge: EDGE_PURE_PYTHON is set, nothing is compiled", file=sys.stderr)
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        if REQUIRED:
            raise
        print("edge: Cython is missing, building pure Python", file=sys.stderr)
        return []
    modules = [
        Extension(
            f"edge._fast._{name}_c",
            [f"edge/_fast/_{name}.py"],
            optional=not REQUIRED,
            # Where the processor has a fused multiply-add (ARM), contraction would round differently from Python.
            extra_compile_args=["-O3", "-ffp-contract=off", "-Wall", "-Wno-unused-function"],
        )
        for name in HOT_MODULES
    ]
    return cythonize(
        modules,
        build_dir="build/cython",
        compiler_directives={"language_level": "3", "embedsignature": True},
        show_all_warnings=False,
    )


setup(ext_modules=extensions(), options={"build_ext": {"parallel": 2}})
