"""Public configurations of LiteLLM, made smaller (`tests/litellm`): what is carried over is a configuration, and the rest is
noted, line by line. A line of an example ends in ``# noted`` if there is a note on it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.cli import main
from edge.config.file import ConfigError, read
from edge.migration.commands import migrate
from edge.migration.litellm import Imported, import_litellm
from edge.migration.source import SourceError

pytestmark = pytest.mark.once

EXAMPLES = {path.stem: path.read_text() for path in sorted((Path(__file__).parents[1] / "litellm").glob("*.yaml"))}
MASTER = dict.fromkeys(("LITELLM_MASTER_KEY", "PROXY_MASTER_KEY"), "sk-a-master-key-of-old")
NOTHING_TO_SERVE = {"bedrock_only"}


def variables(text: str) -> dict[str, str]:
    """All that a text refers to, set: to an address, which a key may be too, or to a part of one."""
    names = re.findall(r"\$\{(\w+)\}", text)
    addresses = {name: "https://a.example" + ("" if f"${{{name}}}/" in text else "/v1") for name in names}
    parts = re.findall(r"\$\{(\w+)", "".join(re.findall(r"url: rediss?://.*", text)))
    return addresses | dict.fromkeys(parts, "1")


def problems(imported: Imported, folder: Path, *, strict: bool) -> list[str]:
    """What `edge check` finds, once the next steps that the import prints are taken; notes too if `strict`."""
    path = folder / "edge.yaml"
    made = yaml.safe_load(imported.yaml)
    if imported.needs_key:
        assert made["auth"].pop("keys_file")
        made["auth"]["keys"] = [{"id": "master", "digests": ["sha256:" + "a" * 64], "admin": True}]
    path.write_text(yaml.safe_dump(made))
    try:
        notes = read(str(path), variables(imported.yaml)).notes
        return notes if strict else []
    except ConfigError as error:
        return error.errors


def test_there_are_examples_of_all_kinds():
    assert len(EXAMPLES) >= 24


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_lines_with_notes_are_those_that_are_marked(name):
    lines = enumerate(EXAMPLES[name].splitlines(), 1)
    marked = {number for number, line in lines if line.endswith("# noted")}
    notes = import_litellm(EXAMPLES[name], MASTER).notes
    assert {int(note.split(":")[0].removeprefix("line ")) for note in notes} == marked


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - NOTHING_TO_SERVE))
def test_what_is_written_passes_the_check_without_a_note(name, tmp_path):
    imported = import_litellm(EXAMPLES[name], MASTER)
    assert imported.serves
    assert problems(imported, tmp_path, strict=True) == []


@pytest.mark.parametrize("name", sorted(NOTHING_TO_SERVE))
def test_nothing_is_written_where_there_is_nothing_to_serve(name, tmp_path):
    source, out = tmp_path / "config.yaml", tmp_path / "edge.yaml"
    source.write_text(EXAMPLES[name])
    done = CliRunner().invoke(migrate, ["litellm", str(source), "-o", str(out)])
    assert done.exit_code == 1
    assert "nothing to serve" in done.output
    assert "'bedrock' needs signed requests" in done.output
    assert not out.exists()


def test_a_key_is_the_next_step_where_none_could_be_carried_over(tmp_path):
    source, out = tmp_path / "config.yaml", tmp_path / "edge.yaml"
    source.write_text(EXAMPLES["ollama_priced"])
    done = CliRunner().invoke(migrate, ["litellm", str(source), "-o", str(out)])
    assert done.exit_code == 0
    assert f"next: edge key new master --admin -c {out}, then edge check {out}" in done.output


def test_that_step_is_none_into_the_file_of_the_keys_that_were_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(EXAMPLES["ollama_priced"])
    Path("keys.json").write_text('[{"token": "%s", "blocked": true}]' % ("a" * 64))
    for command in (
        ["import", "litellm", "config.yaml", "--keys", "keys.json", "-o", "edge.yaml"],
        ["key", "new", "master", "--admin", "-c", "edge.yaml"],
        ["check", "--without-secrets", "edge.yaml"],
    ):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output


SHOWN = """
model_list:
  - model_name: fast
    litellm_params:
      model: openai/gpt-5-mini
      api_key: os.environ/OPENAI_API_KEY
  - model_name: fast
    litellm_params:
      model: azure/gpt-5-mini
      api_base: os.environ/AZURE_API_BASE
      api_key: os.environ/AZURE_API_KEY
      rpm: 480
  - model_name: long
    litellm_params: {model: openai/gpt-5}
  - model_name: cold
    litellm_params: {model: openai/gpt-5, temperature: 0.1}
  - model_name: own
    litellm_params: {model: sagemaker/llama}
"""


def test_the_notes_that_the_page_shows_are_those_that_are_printed():
    page = (Path(__file__).parents[2] / "docs" / "migration.md").read_text()
    (shown,) = re.findall(r"^```\n(line .*?)^```", page, re.MULTILINE | re.DOTALL)
    notes = import_litellm(SHOWN.strip(), {}).notes
    assert [note for note in notes if note in shown.splitlines()] == shown.splitlines()


LINES = sorted({line for text in EXAMPLES.values() for line in text.splitlines()})
VALUES = ["", "null", "[]", "{}", "0", "-1", "1e400", ".nan", "true", "'*'", "'${X}'", "os.environ/", "!!binary aa", "2024-01-01",
          "1_000", "{a: [b, {c: d}]}", "[[[]]]", "'\\0'", "http://", "https://[::1", "x" * 300, "&a [*a]", "9" * 40]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """An example with some lines removed, repeated, moved elsewhere or given another value."""
    lines = draw(st.sampled_from(list(EXAMPLES.values()))).splitlines()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(lines) - 1, 0)))
        how = draw(st.sampled_from(["remove", "add", "value", "value", "indent", "cut"]))
        if how == "remove":
            del lines[at : at + draw(st.integers(1, 3))]
        elif how == "add":
            lines.insert(at, draw(st.sampled_from(LINES)))
        elif lines and how == "value":
            lines[at] = f"{lines[at].partition(':')[0]}: {draw(st.sampled_from(VALUES))}"
        elif lines and how == "indent":
            lines[at] = draw(st.sampled_from(["", "  ", "    ", "\t"])) + lines[at].lstrip()
        elif lines:
            lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
    return "\n".join(lines)


@pytest.mark.slow
@settings(max_examples=200)
@given(text=mutated())
def test_whatever_the_file_says_it_is_refused_in_words_or_what_is_written_passes_the_check(tmp_path_factory, text):
    try:
        imported = import_litellm(text, MASTER)
    except SourceError as error:
        assert all(error.problems)
        return
    if imported.serves:
        assert problems(imported, tmp_path_factory.getbasetemp(), strict=False) == []
