"""The price list is made anew from genai-prices, whole or not at all."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime

import msgspec
import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.cli_prices import changes
from edge.money.pricing import DATA, Prices, load_prices
from edge.money.snapshot import snapshot


def run(*arguments):
    return CliRunner().invoke(main, ["prices", *arguments])


def test_the_list_of_the_program_is_what_the_package_gives_on_its_day():
    prices = load_prices()
    day = datetime.combine(date.fromisoformat(prices.date), datetime.min.time(), UTC)
    made = snapshot(day)
    assert msgspec.json.decode(made, type=Prices).source.partition(" ")[0] == prices.source.partition(" ")[0]
    if msgspec.json.decode(made, type=Prices).source == prices.source:
        assert made == DATA.read_bytes()


def test_update_writes_a_list_that_the_program_reads_and_tells_what_changes(tmp_path):
    target = tmp_path / "prices.json"
    done = run("update", "--to", str(target))
    assert done.exit_code == 0, done.output
    new = msgspec.json.decode(target.read_bytes(), type=Prices)
    assert new.date == datetime.now(UTC).date().isoformat()
    assert new.listed("openai", "gpt-4o") == load_prices().listed("openai", "gpt-4o")
    assert f"wrote {target}: " in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["prices.json"]


def test_what_is_new_gone_or_priced_otherwise_is_told():
    old = load_prices()
    vendor = next(each for each in old.vendors if each.id == "openai")
    first, second, *rest = vendor.models
    cheaper = msgspec.structs.replace(second, input=1)
    added = msgspec.structs.replace(first, id="of-next-year")
    vendors = [msgspec.structs.replace(vendor, written=msgspec.Raw(msgspec.json.encode([cheaper, added, *rest])))]
    new = msgspec.structs.replace(old, vendors=[*vendors, *(each for each in old.vendors if each.id != "openai")])
    assert changes(old, new) == sorted(
        [f"gone       openai/{first.id}", f"changed    openai/{second.id}", "new        openai/of-next-year"],
        key=lambda line: line.split()[1],
    )
    assert changes(old, old) == []


def test_without_the_package_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "genai_prices.data", None)
    done = run("update", "--to", str(tmp_path / "x.json"))
    assert done.exit_code == 1
    assert "llm-edge-agent[prices]" in done.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["missing/prices.json"])
def test_a_place_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path, where):
    done = run("update", "--to", str(tmp_path / where))
    assert done.exit_code == 1
    assert "cannot be written" in done.output


def test_it_tells_how_old_it_is():
    done = run()
    assert done.exit_code == 0
    assert load_prices().date in done.output
