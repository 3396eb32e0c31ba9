"""The files of the page `/admin`, read once, and the policy that lets it load nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

__all__ = ["FILES", "PAGE", "POLICY", "File"]

FOLDER = Path(__file__).parent / "page"
KINDS = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
    ".txt": b"text/plain; charset=utf-8",
}
PAGE = "admin.html"
MAY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
POLICY = (b"content-security-policy", MAY.encode())
"""Of the page itself."""


class File(NamedTuple):
    kind: bytes
    data: bytes


FILES = {path.name: File(KINDS[path.suffix], path.read_bytes()) for path in FOLDER.iterdir() if path.suffix in KINDS}
