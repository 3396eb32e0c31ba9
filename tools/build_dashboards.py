"""Writes the dashboards of `deploy/grafana/dashboards`: python tools/build_dashboards.py"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from dashboards import DASHBOARDS, REQUESTS, Dashboard, Panel

FOLDER = Path(__file__).parents[1] / "deploy/grafana/dashboards"
SOURCE = {"type": "prometheus", "uid": "${source}"}
UNIT, HEIGHT = 6, 8
"""Of Grafana's grid of 24 columns."""


def variable(name: str, metric: str, label: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": f"label_values({metric}, {label})", "refId": name},
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
        "sort": 1,
    }


def panel_of(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    stat = panel.kind == "stat"
    options: dict[str, Any] = {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}
    }
    if stat:
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "textMode": "auto"}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.said,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width * UNIT, "h": HEIGHT // 2 if stat else HEIGHT},
        "targets": [
            {"refId": chr(65 + n), "datasource": SOURCE, "expr": expression, "legendFormat": legend or "__auto"}
            for n, (expression, legend) in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": options,
    }


def built(dashboard: Dashboard) -> dict[str, Any]:
    """What Grafana reads: rows one under the other, their panels from left to right."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in dashboard.rows:
        place = {"x": 0, "y": y, "w": 24, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "gridPos": place, "panels": []})
        y, x, height = y + 1, 0, 0
        for panel in row:
            if x + panel.width * UNIT > 24:
                x, y, height = 0, y + height, 0
            made = panel_of(panel, len(panels) + 1, x, y)
            panels.append(made)
            x, height = x + panel.width * UNIT, max(height, made["gridPos"]["h"])
        y += height
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["edge"],
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "label": "source", "type": "datasource", "query": "prometheus"},
                variable("instance", "edge_build_info", "instance"),
                variable("model", REQUESTS, "model"),
                variable("tenant", REQUESTS, "tenant"),
            ]
        },
        "links": [{"type": "dashboards", "tags": ["edge"], "title": "Edge", "asDropdown": True, "keepTime": True}],
        "panels": panels,
    }


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.uid}.json").write_text(json.dumps(built(dashboard), indent=1) + "\n")


if __name__ == "__main__":
    main()
