"""What a provider says when it refuses or fails: in words that a log may have, and whether it is about the path.

The words are the provider's, so they may hold anything: its keys, what the client sent, pages of HTML. What leaves here
is short, one line, without whatever is or looks like a secret or an address of a person, and without what is quoted
from the request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from edge._fast import scan_text
from edge.errors import UNREADABLE

__all__ = ["is_unknown_path", "words_of"]

MAX_READ = 4096
MAX_DECODED = 65536
MAX_WORDS = 300
MAX_COMPARED = 262144
"""Of a longer request nothing can be recognised in time: then only the error's type and code are told."""
LONG = 12
WINDOW = 3
HIDDEN = "***"

TAGS = re.compile(r"(?is)<(script|style)\b.*?</\1\s*>|<[^>]*>")
TITLE = re.compile(r"(?is)<title[^>]*>(.*?)</title")
UNPRINTABLE = re.compile(r"[^\x21-\x7e\xa1-\ufffd]+")
MASKED = re.compile(
    r"\S*\*{3,}\S*|\b(?:sk|pk|rk)-[A-Za-z0-9_-]{8,}|\b(?i:bearer|basic) \S{8,}"
    r"|(?<![A-Za-z])(?i:key|token|secret|password)[\"']?[=:](\s(?=\S*\d))?\S{8,}"
)
"""Keys as providers quote them (``sk-ab***yz``), and whatever else begins like one."""
EDGES = ".,:;!?()[]{}<>'\"`"

GENERIC = frozenset(
    "404 405 a allowed does endpoint error exist file for found is method not on page path requested resource "
    "route server such that the there this uri url was no".split()
)
NOTHING_THERE = frozenset({"404", "405", "allowed", "exist", "found"})
NO_PATH = re.compile(
    r"(?i)invalid url|(unknown|unrecognized)[_ ](request[_ ])?(url|path|route|endpoint)|no static resource|no route\b"
    r"|cannot post\b|missing authentication token|(path|url|route) .{0,200}(not found|not exist)|method not allowed"
)
"""How servers say that there is nothing at a path: OpenAI (``Invalid URL (POST /v2/...)``), Kong (``no Route
matched``), Express, Spring. Others have general words alone: Anthropic (``Not Found``), vLLM (``{"detail": "Not
Found"}``), llama.cpp (``File Not Found``), Azure (``Resource not found``). Whoever names a model says more."""


def is_unknown_path(status: int, body: bytes) -> bool:
    """Whether a 404 or 405 is about the path that was asked for, and not about something that the request names."""
    text = body[:MAX_READ].decode("utf-8", "replace").strip()
    try:
        data = decoded(body)
    except UNREADABLE:
        return status == 405 or not text.startswith(("{", "["))
    if not isinstance(data, dict):
        return False
    kinds, message = parts_of(data)
    words = {word.strip(EDGES).lower() for word in message.split(" ")} - {""}
    if words <= GENERIC and (not words or words & NOTHING_THERE):
        return True
    return any(NO_PATH.search(said) is not None for said in (message, *kinds))


def words_of(body: bytes, request: bytes, secrets: Iterable[str]) -> str:
    """What the body of an error says, for a log: "" where it says nothing.

    `request` is what the client sent, `secrets` are the credentials that the provider knows.
    """
    kinds, message = read(body)
    if len(request) > MAX_COMPARED:
        message = ""
    parts = (*(hide(kind, secrets) for kind in kinds), without_quotes(hide(message, secrets), request))
    told = ": ".join(part for part in parts if part)
    return told if len(told) <= MAX_WORDS else told[: MAX_WORDS - 3] + "..."


def read(body: bytes) -> tuple[tuple[str, ...], str]:
    """The type and code of an error, and its message."""
    try:
        data = decoded(body)
    except UNREADABLE:
        text = body[:MAX_READ].decode("utf-8", "replace")
        title = TITLE.search(text)
        return (), line(title[1] if title else TAGS.sub(" ", text))
    if isinstance(data, list) and data:
        data = data[0]
    if not isinstance(data, dict):
        return (), line(data if isinstance(data, str) else "")
    return parts_of(data)


def decoded(body: bytes) -> Any:
    """What a body says that is short enough to be asked, on the loop. Raises UNREADABLE."""
    if len(body) > MAX_DECODED:
        raise ValueError
    return msgspec.json.decode(body)


def parts_of(data: dict[str, Any]) -> tuple[tuple[str, ...], str]:
    error = data.get("error")
    if isinstance(data.get("response"), dict) and not error:
        error = data["response"].get("error")
    if not isinstance(error, dict):
        error = {"message": error, **data} if isinstance(error, str) else data
    kinds = (error.get("type"), error.get("code"))
    named = dict.fromkeys(line(str(kind)) for kind in kinds if isinstance(kind, str | int) and kind != "error")
    message = next((error[key] for key in ("message", "detail", "error") if isinstance(error.get(key), str)), "")
    return tuple(kind[:64] for kind in named if kind), line(message)


def line(text: str) -> str:
    return UNPRINTABLE.sub(" ", text[:MAX_READ]).strip()


def hide(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets it has or seems to have."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    data = text.encode("utf-8", "replace")
    for start, end, _ in reversed(scan_text(data)):
        data = data[:start] + HIDDEN.encode() + data[end:]
    return MASKED.sub(HIDDEN, data.decode("utf-8", "replace"))


def without_quotes(text: str, request: bytes) -> str:
    """The text without long words, and without sequences of words, that the request has too."""
    words = text.split(" ")
    quoted = {index for index, word in enumerate(words) if len(word.strip(EDGES)) >= LONG and has(request, word)}
    for index in range(len(words) - WINDOW + 1):
        if has(request, " ".join(words[index : index + WINDOW])):
            quoted.update(range(index, index + WINDOW))
    return " ".join(HIDDEN if index in quoted else word for index, word in enumerate(words[:MAX_WORDS]))


def has(request: bytes, text: str) -> bool:
    return text.strip(EDGES).encode("utf-8", "replace") in request
