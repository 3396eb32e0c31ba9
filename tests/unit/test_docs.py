"""The pages say what the code does."""

from __future__ import annotations

import ast
import io
import json
import re
import runpy
from pathlib import Path

import pytest

from edge import errors
from edge.config.schema import json_schema
from edge.dialects.openai import error_body
from edge.guard.auth import refuse_model
from edge.head import ATTRIBUTES, attributes_of
from edge.hooks import Attempted, RequestRecord, Usage
from edge.ledger import KINDS
from edge.simulator import plan
from edge.telemetry import Fanout
from edge.telemetry.families import DROPPED, FAMILIES
from edge.telemetry.logs import Logs

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"[a-z][a-z0-9]*((-[a-z0-9]+)+-?|-)")
PLAIN = {"accept", "age", "allow", "authorization", "connection", "cookie", "date", "expect", "forwarded", "host"}
PLAIN |= {
    "location",
    "origin",
    "referer",
    "server",
    "te",
    "trailer",
    "traceparent",
    "tracestate",
    "upgrade",
    "vary",
    "via",
}
"""Names of headers without a hyphen, by which they would be found."""
NO_HEADERS = {"keep-alive", "no-cache", "no-store", "only-if-cached", "x-gzip", "no-referrer"}
"""What looks like one: directives of cache-control, an encoding, a policy."""
NOT_HTTP = ("simulator", "_fast")


EVERYTHING = RequestRecord(
    *("id", "/v1/messages", "anthropic", "provider", "label", "model", 2, "key", "tenant", 502, True, "error", "code"),
    *(
        "provider_error",
        1.0,
        0.9,
        0.1,
        0.5,
        Usage(1, 2, 3),
        frozenset(),
        4,
        True,
        "miss",
        "",
        "",
        "asked",
        "alias",
        "ip",
        "email=1",
    ),
    trace_id="0af7651916cd43dd8448eb211c80319c",
    tried=(Attempted("provider/model", "failed", 0.1, 1.0),),
    attributes=attributes_of({name: b"x" for name, _ in ATTRIBUTES}),
)
"""A request of which a line says all that lines can say."""


def classes(base=errors.EdgeError):
    yield base
    for each in base.__subclasses__():
        yield from classes(each)


def test_every_error_is_documented_and_each_code_names_one_kind():
    page = (ROOT / "docs/errors.md").read_text()
    documented = dict(re.findall(r"^## (\w+)\n\n\d+, `(\w+)`", page, re.MULTILINE))
    kinds: dict[str, set[str]] = {}
    for each in classes():
        kinds.setdefault(each.code, set()).add(each.kind)
    assert {code: {kind} for code, kind in documented.items()} == kinds
    assert set(documented.values()) <= set(KINDS)


def test_the_table_of_errors_has_all_of_them():
    page = (ROOT / "docs/errors.md").read_text()
    told = re.findall(r"^## (\w+)\n\n(\d+), `(\w+?)_", page, re.MULTILINE)
    whose = {
        "the client": "client",
        "the client, by a rule of yours": "policy",
        "the provider": "provider",
        "the edge": "edge",
    }
    table = re.findall(r"^\| \[`(\w+)`\]\(#(\w+)\) \| (\d+) \| (.+) \|$", page, re.MULTILINE)
    assert all(code == anchor for code, anchor, _, _ in table)
    assert [status for _, _, status, _ in table] == sorted(status for _, _, status, _ in table)
    assert sorted((code, status, whose[matter]) for code, _, status, matter in table) == sorted(told)


def test_the_error_that_the_page_shows_is_one():
    (shown,) = re.findall(r"^```json\n(.*?)^```", (ROOT / "docs/errors.md").read_text(), re.MULTILINE | re.DOTALL)
    assert json.loads(shown) == json.loads(error_body(refuse_model("gpt-5")))


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = re.findall(r"^ +(\w+)(?: {2,}|$)", errors.__doc__, re.MULTILINE)
    assert sorted(drawn) == sorted(each.__name__ for each in classes())
    for name, status, code in re.findall(r"^ +(\w+) +(\d{3}) (\w+)", errors.__doc__, re.MULTILINE):
        each = getattr(errors, name)
        assert (each.status, each.code) == (int(status), code), name


def test_every_setting_is_documented_as_the_structs_have_it_and_nothing_else():
    """After a change of a setting: python tools/describe_settings.py"""
    page = (ROOT / "docs/configuration.md").read_text()
    tool = runpy.run_path(str(ROOT / "tools/describe_settings.py"))
    assert tool["tables"](page) == page, "run python tools/describe_settings.py"
    documented = tool["written"](page)
    assert sorted(documented) == sorted(each.path for each in tool["settings"]())
    assert [path for path, (_, meaning) in documented.items() if not meaning] == []


def test_the_schema_says_of_every_setting_what_the_page_says():
    """After a change of the page: python tools/describe_settings.py"""
    page = (ROOT / "docs/configuration.md").read_text()
    described = runpy.run_path(str(ROOT / "tools/describe_settings.py"))["described"](page)
    data = json.loads((ROOT / "edge/config/data/settings.json").read_text())
    assert data == described, "run python tools/describe_settings.py"
    schema = json_schema()
    for name, section in schema["$defs"].items():
        for key, part in section["properties"].items():
            assert part.get("description"), f"{name}.{key}"


def test_the_figures_are_those_that_were_measured_last():
    """After a measurement: python tools/describe_figures.py"""
    tool = runpy.run_path(str(ROOT / "tools/describe_figures.py"))
    found = tool["results"]()
    for page in tool["PAGES"]:
        text = (ROOT / page).read_text()
        assert text == tool["described"](page, found), f"{page}: run python tools/describe_figures.py"
        assert tool["BLOCK"].search(text), page


def test_every_fault_of_the_simulator_is_documented_and_no_other():
    page = (ROOT / "docs/simulator.md").read_text()
    documented = re.findall(r"^\| `([a-z]+(?:-N)?)` \|", page, re.MULTILINE)
    in_code = {f"{word}-N" for word in {*plan.NUMBERED, *plan.TIMING} - plan.ALONE} | plan.ALONE | set(plan.FLAGS)
    assert sorted(documented) == sorted(in_code)
    assert all(f"`{word}-N` " in page for word in plan.ALONE)
    for word in documented:
        plan.parse_plan(word.replace("N", "3"), plan.Plan())


def test_links_in_the_pages_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]:
        for target in re.findall(r"(?:\]\(|\bsrc=\"|\bsrcset=\")([^)#:\"]+)[)\"#]", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_what_the_architecture_names_of_the_code_is_there():
    page = (ROOT / "docs/architecture.md").read_text()
    classes: dict[str, set[str]] = {}
    functions: set[str] = set()
    for path in (ROOT / "edge").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                functions.add(node.name)
            elif isinstance(node, ast.ClassDef):
                defined = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
                classes.setdefault(node.name, set()).update(defined)
    for name, method in re.findall(r"`([A-Z]\w+)\.(\w+)`", page):
        assert method in classes[name], f"{name}.{method}"
    named = set(re.findall(r"`([A-Z][a-z]\w+)`", page))
    assert named <= classes.keys(), named - classes.keys()
    steps = page[page.index("| step |") : page.index("## Who holds what")]
    assert set(re.findall(r": `([a-z_]+)`", steps)) <= functions


def test_the_pictures_of_the_pages_are_of_modest_size():
    pictures = list((ROOT / "docs/images").iterdir())
    assert {path.suffix for path in pictures} == {".webp"}
    for path in pictures:
        assert path.read_bytes()[8:12] == b"WEBP", path.name
        assert path.stat().st_size <= 80_000, path.name


def headers_in_the_code() -> set[str]:
    """The names of headers that are spelled out; those of which a beginning is, as ``beginning-*``."""
    found = set()
    for path in (ROOT / "edge").rglob("*.py"):
        if set(path.relative_to(ROOT / "edge").parts) & set(NOT_HTTP):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
                name = node.value.decode("latin-1")
                if NAME.fullmatch(name) or name in PLAIN:
                    found.add(f"{name}*" if name.endswith("-") else name)
    return found - NO_HEADERS


def rows(page: str) -> list[list[str]]:
    """The rows of all tables of a page, whose first cell names something."""
    lines = re.findall(r"^\| (`.*) \|$", (ROOT / "docs" / page).read_text(), re.MULTILINE)
    return [re.split(r" *(?<!\\)\| *", line) for line in lines]


def test_every_header_is_documented_and_no_other():
    documented = {name for row in rows("headers.md") for name in re.findall(r"`([a-z0-9*-]+)`", row[0])}
    in_code = headers_in_the_code() | {"api-key"}  # which the configuration spells
    assert sorted(documented) == sorted(in_code)


def test_the_tables_of_the_metrics_are_what_the_families_say():
    """After a change: python tools/describe_metrics.py"""
    described = runpy.run_path(str(ROOT / "tools/describe_metrics.py"))["described"]()
    assert (ROOT / "docs/metrics.md").read_text() == described, "run python tools/describe_metrics.py"
    documented = [row[0].strip("`") for row in rows("metrics.md") if len(row) == 4]
    assert sorted(documented) == sorted([*(family.name for family in FAMILIES), DROPPED])


def test_every_label_that_needs_words_has_them():
    page = (ROOT / "docs/metrics.md").read_text()
    table = page[page.index("## Labels") : page.index("## Log lines")]
    explained = {
        name for row in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert explained <= {label for family in FAMILIES for label in family.labels}


def test_every_field_of_a_requests_line_is_documented_and_no_other():
    page = (ROOT / "docs/metrics.md").read_text()
    table = page[page.index("## Log lines") :]
    documented = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    out = io.StringIO()
    Fanout(Logs("info", "json", out)).request_done(EVERYTHING)
    assert documented == list(json.loads(out.getvalue()))


def test_every_attribute_and_event_of_our_own_is_documented_and_no_other():
    telemetry = ROOT / "edge" / "telemetry"
    in_code = {
        name
        for path in (telemetry / "spans.py", telemetry / "prompts.py")
        for name in re.findall(r'"(edge\.[a-z_.]+)"', path.read_text())
    }
    assert set(re.findall(r"`(edge\.[a-z_.]+)`", (ROOT / "docs" / "tracing.md").read_text())) == in_code
