"""Writes edge/config/data/settings.json, what ``edge schema`` says of each setting, from the table in
docs/configuration.md: ``python tools/describe_settings.py``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "configuration.md"
TARGET = ROOT / "edge" / "config" / "data" / "settings.json"


def described() -> dict[str, str]:
    """The meaning of each setting, as plain text."""
    rows = re.findall(r"^\| `([\w.\[\]]+)` \|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {path: plain(re.split(r" *(?<!\\)\| *", rest)[1].strip()) for path, rest in rows}


def plain(text: str) -> str:
    """Markdown without its marks."""
    return re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", text).replace("`", "").replace("\\|", "|")


if __name__ == "__main__":
    TARGET.write_text(json.dumps(described(), indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
