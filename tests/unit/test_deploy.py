"""What is in `deploy/` names what the program exports, and says what it should when it should."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from edge._fast import HISTOGRAM
from edge.telemetry.families import DROPPED, FAMILIES
from tests.unit.alert_cases import AWAY, BEGINNING, BEGUN, CASES, LOOKED_AT, STARTED, UNSEEN, WATCHED
from tests.unit.metric_values import values_of
from tests.unit.promql import named

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES = [DEPLOY / "prometheus" / name for name in ("recording.yml", "alerts.yml")]
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*", "$model": ".*", "$tenant": ".*"}
EVERYWHERE = {"job", "instance"}
NEEDS_PROMTOOL = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not here (Debian: prometheus)"
)


def rules(kind: str) -> dict[str, str]:
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return {rule[kind]: rule["expr"] for group in groups for rule in group["rules"] if kind in rule}


def boards() -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text()) for path in sorted((DEPLOY / "grafana/dashboards").glob("*.json"))}


def panels() -> dict[str, tuple[str, str]]:
    """Expression and legend of every query, by where it stands."""
    found = {}
    for name, board in boards().items():
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                expression = target["expr"]
                for variable, value in VARIABLES.items():
                    expression = expression.replace(variable, value)
                found[f"{name}: {panel['title']} {target['refId']}"] = expression, target["legendFormat"]
    return found


def exported() -> dict[str, set[str]]:
    """The labels of each series' name."""
    found = {DROPPED: {"metric"}, "up": set()}
    for family in FAMILIES:
        endings = ("_bucket", "_count", "_sum") if family.kind == HISTOGRAM else ("",)
        for ending in endings:
            found[family.name + ending] = {*family.labels, *(["le"] if ending == "_bucket" else [])}
    for name, expression in rules("record").items():
        found[name] = named(expression).labels - EVERYWHERE - {"le"}
    return found


KNOWN = exported()
EXPRESSIONS = {**rules("record"), **rules("alert"), **{where: told[0] for where, told in panels().items()}}


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_an_expression_names_metrics_labels_and_values_that_there_are(where):
    found = named(EXPRESSIONS[where])
    assert found.selectors, where
    labels = set(EVERYWHERE)
    for selector in found.selectors:
        assert selector.metric in KNOWN, selector.metric
        labels |= KNOWN[selector.metric]
        for label, operator, value in selector.matchers:
            assert label in KNOWN[selector.metric] | EVERYWHERE, (selector.metric, label)
            check_value(selector.metric, label, operator, value)
    if "label_replace" in EXPRESSIONS[where]:
        labels |= set(re.findall(r'"(\w+)"', EXPRESSIONS[where]))
    assert found.labels <= labels, found.labels - labels
    legend = panels().get(where, ("", ""))[1]
    assert set(re.findall(r"{{(\w+)}}", legend)) <= (found.labels or labels), legend


def check_value(metric: str, label: str, operator: str, value: str) -> None:
    closed = values_of(metric, label)
    if value == ".*" or closed is None:
        assert value == ".*", f"{metric}: no values of {label} are known"
        return
    wanted = value.split("|") if operator in ("=~", "!~") else [value]
    for each in wanted:
        pattern = each if operator in ("=~", "!~") else re.escape(each)
        assert any(re.fullmatch(pattern, known) for known in closed), (metric, label, each)


def test_the_dashboards_are_what_their_builder_writes():
    """After a change: python tools/build_dashboards.py"""
    made = runpy.run_path(str(ROOT / "tools/build_dashboards.py"))
    assert boards() == {each.uid: made["built"](each) for each in made["DASHBOARDS"]}
    assert len(boards()) == 5


def test_every_alert_has_its_paragraph_in_the_runbook_and_no_other_has():
    page = (ROOT / "docs/runbook.md").read_text()
    paragraphs = re.findall(r"^## (\w+)\n\n(.+)", page, re.MULTILINE)
    alerts = rules("alert")
    assert [name for name, _ in paragraphs] == list(alerts)
    for group in yaml.safe_load(RULES[1].read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
    assert list(CASES) == list(alerts)
    assert len(alerts) >= 14


def case(alert: str, series: dict[str, str], minutes: int, firing: int) -> dict:
    expected = [{"labels": "{}", "value": firing}] if firing else []
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                "eval_time": f"{minutes}m",
                "exp_samples": expected,
            }
        ],
    }


def of_alone(alert: str, folder: Path) -> list[str]:
    """Copies of the files of rules with an alert alone and the series that are recorded for it: promtool evaluates all rules
    that it is given for each minute.
    """
    recorded, alerts = rules("record"), rules("alert")
    wanted, left = {alert}, [alerts[alert]]
    while left:
        asked = {name for name in re.findall(r"\w+(?::\w+)+", left.pop()) if name in recorded} - wanted
        wanted |= asked
        left += [recorded[name] for name in asked]
    for path in RULES:
        told = yaml.safe_load(path.read_text())
        for group in told["groups"]:
            group["rules"] = [rule for rule in group["rules"] if (rule.get("record") or rule["alert"]) in wanted]
        (folder / path.name).write_text(yaml.safe_dump(told))
    return [str(folder / path.name) for path in RULES]


@pytest.mark.slow
@NEEDS_PROMTOOL
@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_and_stays_silent(alert, tmp_path):
    fires, silent, minutes = CASES[alert]
    cases = [case(alert, fires, minutes, 1), case(alert, silent, minutes, 0)]
    for series in BEGINNING.get(alert, ()):
        cases += [
            case(alert, {series: BEGUN, **edge}, LOOKED_AT, fires)
            for edge, fires in ((WATCHED, 1), (STARTED, 1), (UNSEEN, 0), (AWAY, 0))
        ]
    told = {"rule_files": of_alone(alert, tmp_path), "evaluation_interval": "1m", "tests": cases}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(told))
    promtool("test", "rules", str(tmp_path / "test.yml"))


def test_who_is_to_be_told_of_one_event_is_told_of_the_first():
    once = {alert for alert, told in rules("alert").items() if re.search(r"increase\([^()]*\)+ > 0", told)}
    assert once == set(BEGINNING)


@NEEDS_PROMTOOL
def test_promtool_takes_every_expression_of_the_dashboards(tmp_path):
    made = [{"record": f"panel:number{n}", "expr": told} for n, (told, _) in enumerate(panels().values())]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": made}]}))
    said = promtool("check", "rules", str(tmp_path / "panels.yml"))
    assert f"{len(made)} rules found" in said
    print(f"\n{len(made)} queries, {len(rules('record'))} recording rules, {len(rules('alert'))} alerts")


@NEEDS_PROMTOOL
def test_promtool_takes_the_configuration():
    promtool("check", "config", str(DEPLOY / "prometheus/prometheus.yml"))


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
