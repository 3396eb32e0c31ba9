"""Modules that are imported and hardly ever used are executed when somebody asks them for something."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge.server import sparing
from edge.server.sparing import LATER, promise, without


@pytest.fixture
def late(tmp_path, monkeypatch):
    """A package `late`, which is one of those, and counts in a file how often it is executed."""
    package = tmp_path / "late"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from pathlib import Path\n"
        "count = Path(__file__).with_name('count')\n"
        "count.write_text(f'{count.read_text() if count.exists() else str()}x')\n"
        "if Path(__file__).with_name('broken').exists():\n"
        "    raise OSError('too many open files')\n"
        "__all__ = ['word']\n"
        "word = 'said'\n"
    )
    (package / "inner.py").write_text("from late import word\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sparing, "LATER", ("late",))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    promise()
    yield package
    for name in ("late", "late.inner"):
        sys.modules.pop(name, None)


def executed(package: Path) -> int:
    count = package / "count"
    return len(count.read_text()) if count.exists() else 0


def test_it_is_executed_once_when_it_is_first_asked_for_something(late):
    import late as module

    assert executed(late) == 0
    assert module.word == "said"
    assert module.word == "said"
    assert executed(late) == 1
    with pytest.raises(AttributeError):
        _ = module.nothing


def test_who_imports_it_again_or_asks_where_it_is_does_not_execute_it(late):
    import late as module

    __import__("late")
    assert Path(module.__file__) == late / "__init__.py"
    assert module.__spec__.name == "late"
    assert not hasattr(module, "__wrapped__")
    assert executed(late) == 0


def test_what_is_taken_out_of_it_is_there(late):
    from late import word

    space: dict[str, object] = {}
    exec("from late import *", space)
    assert word == space["word"] == "said"


def test_a_module_inside_of_it_is_imported_and_finds_it(late):
    import late.inner

    assert late.inner.word == "said"


def test_one_that_could_not_be_executed_is_tried_again(late):
    import late as module

    (late / "broken").touch()
    with pytest.raises(OSError, match="too many open files"):
        _ = module.word
    (late / "broken").unlink()
    assert module.word == "said"


def test_one_that_failed_half_way_is_executed_again_by_who_asks_for_what_is_there_already(late):
    (late / "__init__.py").write_text("def word(): return helper()\n" + (late / "__init__.py").read_text())
    with (late / "__init__.py").open("a") as file:
        file.write("def word(): return helper()\ndef helper(): return 'helped'\n")
    import late as module

    (late / "broken").touch()
    for _ in range(2):
        with pytest.raises(OSError, match="too many open files"):
            module.word()
    (late / "broken").unlink()
    assert module.word() == "helped"
    assert executed(late) == 3


def test_who_asks_while_another_executes_it_waits_and_gets_all_of_it(late, monkeypatch):
    begun, goes_on = threading.Event(), threading.Event()
    monkeypatch.setattr(threading, "halves", (begun, goes_on), raising=False)
    (late / "__init__.py").write_text(
        "import threading\n"
        "def word(): return helper()\n"
        "threading.halves[0].set()\n"
        "assert threading.halves[1].wait(30)\n"
        "def helper(): return 'helped'\n"
    )
    import late as module

    with ThreadPoolExecutor() as pool:
        first = pool.submit(lambda: module.word())
        assert begun.wait(30)
        second = pool.submit(lambda: module.word())
        with pytest.raises(TimeoutError):
            second.exception(0.2)
        goes_on.set()
        assert (first.result(30), second.result(30)) == ("helped", "helped")


def test_in_the_place_of_a_library_nobody_asks_is_one_that_has_all_names_and_all_modules_inside(late, monkeypatch):
    monkeypatch.setattr(sparing, "STAND_INS", ("stood",))
    monkeypatch.setattr(sparing, "LATER", ())
    (late / "__init__.py").write_text(
        "import stood\n"
        "from stood.inner import Error, make\n"
        "class Derived(Error): pass\n"
        "def said(): return make(), Error is stood.inner.Error\n"
        "Either = Error | None\n"
        "class Text(Error[str]): pass\n"
    )
    import late as module

    made, same = module.said()
    assert (type(made).__name__, same, executed(late)) == ("make", True, 0)
    for derived in (module.Derived, module.Text):
        with pytest.raises(derived):
            raise derived
    with pytest.raises(ModuleNotFoundError):
        import standing  # noqa: F401 - begins as the name does, and is not inside
    for name in ("stood", "stood.inner"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("before", ["nothing", "a promise", "the true one"])
def test_who_only_names_what_a_module_has_does_not_execute_it_and_others_have_the_true_one(late, monkeypatch, before):
    monkeypatch.setattr(sparing, "LATER", ("wave",) if before == "a promise" else ())
    monkeypatch.setattr(sparing, "NAMED", {"late.inner": "wave"})
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    (late / "inner.py").write_text("from wave import Wave_read\n")
    if before != "nothing":
        __import__("wave")
    if before == "the true one":
        assert sys.modules["wave"].Wave_read
    import late.inner

    assert (type(sys.modules.get("wave")).__name__ == "_Promise") == (before == "a promise")
    import wave

    assert wave.Wave_read.__init__ is not Exception.__init__
    assert (late.inner.Wave_read is wave.Wave_read) == (before == "the true one")
    assert type(late.inner.__spec__.loader).__name__ == "SourceFileLoader"
    sys.modules.pop("wave", None)


def test_texts_that_nobody_has_translated_are_said_as_they_are(late, monkeypatch):
    monkeypatch.setattr(sparing, "NAMED", {"late.inner": "gettext"})
    monkeypatch.delitem(sys.modules, "gettext", raising=False)
    (late / "inner.py").write_text("from gettext import gettext, ngettext\n")
    import late.inner

    assert late.inner.gettext("Usage: {name}") == "Usage: {name}"
    assert [late.inner.ngettext("a line", "lines", count) for count in (0, 1, 2)] == ["lines", "a line", "lines"]


def test_what_is_unwanted_is_not_there_inside_and_is_there_after():
    before = dict(sys.modules)
    sys.modules.pop("wave", None)
    with without(("wave", "json")):
        with pytest.raises(ImportError):
            import wave
        assert json is sys.modules["json"]
    import wave

    assert wave
    assert set(before) <= set(sys.modules)


def test_the_modules_do_what_they_do():
    """In a process of its own, since those here are executed already."""
    program = (
        "from edge.server.sparing import LATER, promise\n"
        "promise()\n"
        "import importlib, sys\n"
        "made = {name: importlib.import_module(name) for name in LATER}\n"
        "print(*[name for name, module in made.items() if type(module).__name__ != '_Promise'])\n"
        "import difflib, html, tomllib, sqlite3, urllib.request\n"
        "print(difflib.get_close_matches('ab', ['abc']), html.escape('<'), tomllib.loads('a = 1'), sqlite3.sqlite_version > '3')\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(LATER) > 10
    assert told[1:] == ["['abc'] &lt; {'a': 1} True"]
