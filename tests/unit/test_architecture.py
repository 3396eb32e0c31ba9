"""The house: which module may import which, and which third-party client lives where."""

from __future__ import annotations

import ast
import email.utils
import importlib.util
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from edge._fast import COMPILED
from edge.server.handover import REHEARSAL
from edge.server.sparing import NAMED, SAID, UNWANTED

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "edge"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# From the top: a module may import from layers below its own, and from its own package.
LAYERS = [
    {"edge.__main__"},
    {"edge.cli"},
    {"edge.cli_logs", "edge.cli_prices"},
    {"edge.cli_running"},
    {"edge.resolved", "edge.usage_lines"},
    {"edge.cli_keys"},
    {"edge.keys"},
    {"edge.whatif"},
    {"edge.virtual"},
    {"edge.trace"},
    {"edge.server", "edge.doctor", "edge.bench", "edge.migration"},
    {"edge.telemetry"},
    {"edge.relaying"},
    {"edge.gateway", "edge.explain"},
    {"edge.joining", "edge.sockets"},
    {"edge.dispatch"},
    {"edge.conversation_answers"},
    {"edge.going_on", "edge.kept_answers"},
    {"edge.kept_conversations"},
    {"edge.conversations", "edge.intake", "edge.own_answers", "edge.paced"},
    {"edge.record", "edge.replies", "edge.state"},
    {"edge.grant", "edge.keeping"},
    {"edge.guard", "edge.cache", "edge.upstreams", "edge.money"},
    {"edge.dialects", "edge.money.pricing", "edge.money.usage_table", "edge.redis"},
    {"edge.redis.link", "edge.redis.node"},
    {"edge.call"},
    {"edge.inquiry"},
    {"edge.ledger", "edge.reply", "edge.strongbox", "edge.terms", "edge.upload"},
    {"edge.head"},
    {"edge.config.file", "edge.config.schema"},
    {"edge.config.walk"},
    {"edge.config.notes"},
    {"edge.config.keys_file", "edge.config.rules", "edge.config.yaml"},
    {"edge.config.lists", "edge.config.words"},
    {"edge.config"},
    {"edge.reply_fields"},
    {
        "edge.errors",
        "edge.slices",
        "edge.codings",
        "edge.memo",
        "edge.payload",
        "edge.config.model",
        "edge.redis.url",
        "edge.hooks",
        "edge.trace_context",
        "edge.money.price_rules",
        "edge.redis.pipe",
        "edge.redis.topology",
    },
    {"edge.config.websockets"},
    {"edge.redis.resp", "edge.config.capabilities", "edge.routes"},
    {"edge"},
    {"edge.certificates", "edge.clock", "edge.digests"},
    {"edge._fast"},
]
MAY_IMPORT_TELEMETRY = {"edge.cli", "edge.cli_logs", "edge.server", "edge.trace", "edge.whatif", "edge.virtual"}
HOMES = {
    "websockets": {f"edge.sockets.{name}" for name in ("handshake", "link", "peer")}
    | {"edge.server.lane_socket", "edge.simulator.sockets"},
    "blacksheep": {"edge.server.asgi", "edge.server.openapi", "edge.server.pages"},
    "uvicorn": {
        f"edge.server.{name}"
        for name in (*("worker", "protocol", "turns", "asgi_turn", "asgi_socket_turn", "lane", "lane_socket"),)
    },
    "httpx2": {"edge.upstreams.http2", "edge.cli_running"},
    "redis": {"edge.redis.client", "edge.redis.link"},
    "jwt": {"edge.guard.tokens", "edge.config.rules"},
    "structlog": {"edge.telemetry.logs"},
    "opentelemetry": {"edge.telemetry.otlp"},
    "requests": {"edge.telemetry.otlp"},
    "click": {
        "edge.cli",
        "edge.cli_keys",
        "edge.cli_logs",
        "edge.cli_prices",
        "edge.cli_running",
        "edge.migration.commands",
    },
    "re2": {"edge.config.patterns"},
    "yaml": {"edge.config.lists", "edge.config.yaml"},
}
HOT_MAY_IMPORT = {
    *("array", "bisect", "collections", "cython", "decimal", "fcntl", "hashlib", "json", "math", "operator", "re"),
    "typing",
}
STANDALONE = "edge.simulator"


HOLD_WHAT_IS_MADE_ABOVE = {"edge.call", "edge.inquiry", "edge.ledger", "edge.reply", "edge.terms", "edge.upload"}
"""What all stages write into: they name the types of that, for the type checker alone, and do nothing with it."""


class WithoutTyping(ast.NodeTransformer):
    """Leaves out what only the type checker imports."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node


@cache
def imports(path: Path, typing: bool = True) -> frozenset[str]:
    found = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree if typing else WithoutTyping().visit(tree)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def part(module: str) -> str:
    """The member of a layer that a module belongs to."""
    members = set().union(*LAYERS)
    while module not in members and "." in module:
        module = module.rpartition(".")[0]
    return module


def layer(module: str) -> int:
    return next(index for index, members in enumerate(LAYERS) if part(module) in members)


@pytest.mark.once
@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith(STANDALONE)])
def test_arrows_point_down(module):
    for target in imports(MODULES[module], module not in HOLD_WHAT_IS_MADE_ABOVE):
        if not target.startswith("edge.") or target not in MODULES:
            continue
        if part(target) == part(module):
            continue
        if part(target) == "edge.telemetry":
            assert part(module) in MAY_IMPORT_TELEMETRY, f"{module} imports {target}"
        assert layer(target) > layer(module), f"{module} imports {target}, which is beside or above it"


@pytest.mark.once
@pytest.mark.parametrize("client", HOMES)
def test_each_third_party_client_has_one_home(client):
    users = {name for name, path in MODULES.items() if any(i.split(".")[0] == client for i in imports(path))}
    assert users == HOMES[client]


@pytest.mark.once
def test_the_simulator_imports_nothing_of_the_edge_and_is_imported_by_nobody():
    for name, path in MODULES.items():
        targets = {target for target in imports(path) if target.split(".")[0] == "edge"}
        if name.startswith(STANDALONE):
            assert all(target.startswith(STANDALONE) for target in targets), name
        else:
            assert not any(target.startswith(STANDALONE) for target in targets), name


@pytest.mark.once
def test_hot_modules_are_leaves_without_clock_environment_or_io():
    for path in (PACKAGE / "_fast").glob("_*.py"):
        if path.name in ("__init__.py", "_cython.py"):
            continue
        for target in imports(path):
            assert target.split(".")[0] in {"__future__", "edge", *HOT_MAY_IMPORT}, f"{path.name} imports {target}"
            assert not target.startswith("edge") or target.startswith("edge._fast"), f"{path.name} imports {target}"


@pytest.mark.once
def test_every_list_of_hot_modules_is_the_same():
    namespace: dict = {}
    source = (ROOT / "setup.py").read_text().partition("TRUE =")[0]
    exec(compile(source, "setup.py", "exec"), namespace)
    listed = set(namespace["HOT_MODULES"])
    files = {path.stem[1:] for path in (PACKAGE / "_fast").glob("_*.py")} - {"_init__", "cython"}
    front_door = imports(PACKAGE / "_fast" / "__init__.py")
    for suffix in ("", "_c"):
        named = {
            i.removeprefix("edge._fast._") for i in front_door if i.startswith("edge._fast._") and i.count(".") == 2
        }
        assert {name + suffix for name in listed} <= named
    assert listed == files


def test_the_compiled_way_is_that_of_the_list_and_each_declares_a_module_that_is():
    namespace: dict = {}
    source = (ROOT / "setup.py").read_text().partition("TRUE =")[0]
    exec(compile(source, "setup.py", "exec"), namespace)
    listed = namespace["PATH_MODULES"]
    assert sorted(listed) == listed
    assert set(listed) <= set(MODULES)
    declared = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in PACKAGE.rglob("*.pxd")}
    assert {name for name in declared if not name.startswith("edge._fast.")} <= set(listed)
    if COMPILED:
        assert {name for name in MODULES if is_compiled(name)} == set(listed)


def is_compiled(name: str) -> bool:
    found = importlib.util.find_spec(name)
    return found is not None and "_compiled" in Path(found.origin or "").parts


@pytest.mark.once
def test_dangerous_tools_are_absent():
    """Nothing from a request is evaluated, unpickled, executed or rendered as a template."""
    for name, path in MODULES.items():
        banned = {"pickle", "marshal", "shelve", "jinja2", "dill"}
        if name != "edge.server.malloc":  # one call, of constants
            banned |= {"ctypes"}
        if name not in ("edge.cli", "edge.bench.processes"):
            banned |= {"subprocess"}
        assert not {i.split(".")[0] for i in imports(path)} & banned, name
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile", "__import__"), name


IMPORTER = """
import importlib, json, os, sys
import asyncio, httptools, msgspec, ssl, uvicorn, uvloop, yaml

behind = json.load(sys.stdin)

def tell(name, said):
    print(json.dumps([name, said]), flush=True)

def in_a_child(name):
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            tell(name, f"ended with {code}")
        return
    if name in sys.modules:
        tell(name, "is there before it is imported")
        os._exit(0)
    try:
        importlib.import_module(name)
    except BaseException as error:
        tell(name, repr(error))
        os._exit(0)
    tell(name, "imported")
    for each in behind.get(name, ()):
        in_a_child(each)
    os._exit(0)

for each in behind[""]:
    in_a_child(each)
"""
"""Imports each module in a process of its own, where nothing of edge was imported before but the module that it is behind."""


@cache
def at_once(module: str) -> frozenset[str]:
    """The modules of edge that a module imports in any case while it is imported itself, and the package that it is in."""
    found = {module.rpartition(".")[0]}
    for node in ast.parse(MODULES[module].read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found & MODULES.keys())


@cache
def needs(module: str) -> frozenset[str]:
    """A module, those that it imports at once, those that these do, and so on."""
    found: set[str] = set()
    left = {module}
    while left:
        found.add(name := left.pop())
        left |= at_once(name) - found
    return frozenset(found)


def before(module: str) -> str:
    """What of edge may be imported before a module: of what its own import begins with, or comes to, that which has most
    behind it. It is the same as if nothing was, unless that imports the module, and need not be executed for each anew.
    "" for none: what `edge` itself imports is imported alone.
    """
    if module == "edge" or part(module) == "edge._fast":
        return ""
    return max((each for each in needs(module) if module not in needs(each)), key=lambda each: (len(needs(each)), each))


def uncounted() -> dict[str, str]:
    """The environment of a process whose lines are not counted: what counts them imports more, and is slow in a tree of forks."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


@pytest.fixture(scope="module")
def imported() -> dict[str, str]:
    """What was said of each module."""
    behind: dict[str, list[str]] = {}
    for module in sorted(MODULES):
        if not module.endswith("__main__"):
            behind.setdefault(before(module), []).append(module)
    command = [sys.executable, "-W", "error", "-c", IMPORTER]
    said = json.dumps(behind)
    told = subprocess.run(command, input=said, stdout=subprocess.PIPE, text=True, check=True, env=uncounted())
    return dict(json.loads(line) for line in told.stdout.splitlines())


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_module_imports_alone(module, imported):
    if module.endswith("__main__"):
        pytest.skip("running it is what it is for")
    assert imported.get(module, f"{before(module)} was not imported") == "imported"


@pytest.mark.once
def test_files_are_small_enough_to_hold_one_idea():
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        assert len(path.read_text().splitlines()) <= 450, path


UNUSED = (
    *UNWANTED,
    "redis",
    "httpx2",
    "requests",
    "jwt",
    "cryptography",
    "re2",
    "genai_prices",
    "phonenumbers",
    "openapidocs",
    *(
        "yaml",
        "edge.cli_keys",
        "edge.cli_logs",
        "edge.cli_prices",
        "edge.cli_running",
        "edge.migration.commands",
        "html.entities",
        "http.cookiejar",
        "email.message",
        "multiprocessing",
        "statistics",
        "configparser",
        "gettext",
        "importlib.resources",
        "mimetypes",
    ),
)
"""By an edge that has nothing but a provider: each would be in the memory of all its workers."""


def test_an_edge_imports_nothing_at_its_start_that_its_configuration_does_not_ask_for(tmp_path):
    """As it is before it listens; a library that is here for others is not read either."""
    if str(importlib.util.find_spec("blacksheep.messages").origin).endswith(".py"):
        pytest.skip("BlackSheep has no wheel for this Python, and in pure Python it imports more")
    config = tmp_path / "edge.json"
    config.write_text('{"providers": {"openai": {"dialect": "openai", "base_url": "http://127.0.0.1:9/v1"}}}')
    program = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print(sorted(set({UNUSED}) & set(sys.modules)), 'edge.gateway' in sys.modules, named()))\n"
        "def named():\n"
        "    return sorted({name for name, module in list(sys.modules.items()) for each in vars(module).values()\n"
        "        if isinstance(each, type) and each.__module__ in NAMED.values() and each.__base__.__name__ == '_Nothing'})\n"
        "from edge.__main__ import main\n"
        "from edge.server.sparing import NAMED\n"
        f"main(['serve', '--config', {str(config)!r}])"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**uncounted(), REHEARSAL: "1"},
    )
    names = {name for name, named in NAMED.items() if named not in SAID}
    if not re.search("^from email.charset", Path(email.utils.__file__).read_text(), re.MULTILINE):
        names.remove("email.utils")  # Python's since 3.13, which imports it when it needs it
    assert told.stdout == f"[] True {sorted(names)}\n"
