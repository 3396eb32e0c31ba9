"""Hooks of MkDocs (mkdocs.yml): pages may link to any file of the repository, as they do where its files are shown.

README.md is the first page. Whatever else is outside docs/ and linked to is in the site at ``repository/``, pages as
pages and other files as they are; links are rewritten to that. A link to what does not exist stops the build.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(\]\(|\bsrc=\"|\bsrcset=\")([^)#:\s\"]+)(#[^)\s\"]*)?([)\"])")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def target_of(page: PurePosixPath, link: str) -> PurePosixPath:
    """The file of the repository that a link on `page`, one too, leads to; of a folder its README."""
    path = PurePosixPath(os.path.normpath(page.parent / link))
    if (ROOT / path).is_dir():
        path = next((path / name for name in ("README.md", "index.md") if (ROOT / path / name).exists()), path)
    if not (ROOT / path).is_file():
        raise PluginError(f"{page} links to {link}, which is no file")
    return path


def place_of(path: PurePosixPath) -> PurePosixPath:
    """Where a file of the repository is in the site's source."""
    if path == PurePosixPath("README.md"):
        return PurePosixPath("index.md")
    if path.parts[0] == "docs":
        return path.relative_to("docs")
    return PurePosixPath("repository") / path


def links(page: PurePosixPath) -> Iterator[PurePosixPath]:
    text = CODE.sub("", (ROOT / page).read_text())
    for match in LINK.finditer(text):
        yield target_of(page, match[2])


def on_files(files: Any, config: Any) -> Any:
    asked = [
        PurePosixPath("README.md"),
        *(PurePosixPath("docs") / file.src_uri for file in files.documentation_pages()),
    ]
    seen = set(asked)
    while asked:
        page = asked.pop()
        if page.parts[0] != "docs":
            made = File.generated(config, str(place_of(page)), abs_src_path=str(ROOT / page))
            files.append(made)
        if page.suffix != ".md":
            continue
        for target in links(page):
            if target not in seen:
                seen.add(target)
                asked.append(target)
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    place = PurePosixPath(page.file.src_uri)
    if place == PurePosixPath("index.md"):
        source = PurePosixPath("README.md")
    elif place.parts[0] == "repository":
        source = place.relative_to("repository")
    else:
        source = PurePosixPath("docs") / place

    def rewritten(match: re.Match[str]) -> str:
        # MkDocs makes links of Markdown fit the address of the page, and leaves those of HTML as they are.
        base = place.parent if match[1] == "](" else PurePosixPath(page.url or ".")
        to = os.path.relpath(place_of(target_of(source, match[2])), base)
        return f"{match[1]}{to}{match[3] or ''}{match[4]}"

    parts, end = [], 0
    for code in CODE.finditer(markdown):
        parts += [LINK.sub(rewritten, markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, LINK.sub(rewritten, markdown[end:])])
