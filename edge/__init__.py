"""LLM Edge Agent: an LLM gateway in front of OpenAI, Anthropic and every compatible API."""

import sys
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder
from pathlib import Path

from edge._fast import COMPILED

__all__ = ["__version__"]

__version__ = "0.1.0"


class _Compiled:
    """Finds the compiled modules of the way of a request, which setup.py puts into ``edge/_compiled``."""

    def __init__(self, folder: Path) -> None:
        names = {path.relative_to(folder): path for path in folder.rglob(f"*{EXTENSION_SUFFIXES[0]}")}
        self.folders = {
            ".".join(("edge", *name.parts)).removesuffix(EXTENSION_SUFFIXES[0]): str(path.parent)
            for name, path in names.items()
        }

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        folder = self.folders.get(fullname)
        return None if folder is None else PathFinder.find_spec(fullname, [folder])


if COMPILED:
    _path = _Compiled(Path(__file__).parent / "_compiled")
    if not _path.folders:  # a class of one build is not a class of the other
        raise ImportError("the modules in edge/_compiled are not here: install it again, or set EDGE_PURE_PYTHON=1")
    sys.meta_path.insert(0, _path)
