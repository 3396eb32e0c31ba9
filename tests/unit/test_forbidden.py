"""What the product never does, looked for in its source: nothing that a client or a file says becomes code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

PACKAGE = Path(__file__).parents[2] / "edge"
SOURCES = sorted(PACKAGE.rglob("*.py"))
CALLED = {"eval", "exec", "compile", "__import__", "breakpoint"}
"""By their bare names: `re.compile` is another."""
ATTRIBUTES = {
    ("os", "system"),
    ("os", "popen"),
    ("yaml", "load"),
    ("yaml", "load_all"),
    ("yaml", "unsafe_load"),
    ("yaml", "full_load"),
    ("tempfile", "mktemp"),
    ("ssl", "CERT_NONE"),
    ("ssl", "_create_unverified_context"),
    ("subprocess", "getoutput"),
    ("subprocess", "getstatusoutput"),
    ("ast", "literal_eval"),
}
IMPORTED = {
    "pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "jinja2",
    "mako",
    "imp",
    "code",
    "xmlrpc",
    "telnetlib",
}
KEYWORDS = {
    ("shell", True),
    ("verify", False),
    ("trust_env", True),
    ("follow_redirects", True),
    ("check_hostname", False),
    ("verify_signature", False),
}


def offences(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in CALLED:
                found.append(f"line {node.lineno}: {node.func.id}()")
            found += [
                f"line {node.lineno}: {each.arg}={each.value.value}"
                for each in node.keywords
                if isinstance(each.value, ast.Constant) and (each.arg, each.value.value) in KEYWORDS
            ]
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            found += [
                f"line {node.lineno}: {each.attr} = {node.value.value}"
                for each in node.targets
                if isinstance(each, ast.Attribute) and (each.attr, node.value.value) in KEYWORDS
            ]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in ATTRIBUTES:
                found.append(f"line {node.lineno}: {node.value.id}.{node.attr}")
        elif isinstance(node, ast.Import):
            found += [f"line {node.lineno}: {each.name}" for each in node.names if each.name.split(".")[0] in IMPORTED]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in IMPORTED:
            found.append(f"line {node.lineno}: {node.module}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_forbidden_is_in_the_source(path):
    assert offences(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "eval(x)",
        "exec(x)",
        "__import__(x)",
        "import pickle",
        "from pickle import loads",
        "yaml.load(x, Loader=L)",
        "subprocess.run(x, shell=True)",
        "os.system(x)",
        "httpx2.get(x, verify=False)",
        "context.check_hostname = False",
        "context.verify_mode = ssl.CERT_NONE",
    ],
)
def test_what_is_forbidden_is_found(source):
    assert offences(ast.parse(source))


def test_what_only_looks_like_it_is_not():
    assert (
        offences(ast.parse("re.compile(x); tree.exec(x); yaml.SafeLoader; run(x, shell=False); os.execv(a, b)")) == []
    )
