"""Which of a client's headers a provider gets. All others stay here: credentials, cookies, addresses, hop-by-hop ones.

What begins with ``anthropic-`` is an open list, for Anthropic's clients and API know words that we do not
(https://code.claude.com/docs/en/llm-gateway-protocol): a body whose fields pass and whose betas do not is refused. So
the list is bounded in number and size, and a provider's configuration may hold single headers and betas back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate

from edge import config
from edge._fast import select_fields
from edge.errors import Headers, HeaderTooLarge
from edge.head import Head
from edge.inquiry import Inquiry
from edge.memo import keep
from edge.upstreams.request import lines_of

__all__ = ["DEFAULT_VERSION", "ClientHeaders", "pinned_version"]

DEFAULT_VERSION = "2023-06-01"
"""Sent where the client names no version: Anthropic's API demands one."""
VERSION, BETA = b"anthropic-version", b"anthropic-beta"
OPEN = (b"anthropic-",)
MAX_OPEN = 64
MOST_KNOWN = 256
MAX_OPEN_BYTES = 16384
"""Names and values of all that passes of one request. Claude Code sends less than 1 KiB."""
PASSED = frozenset({b"content-type", b"accept", b"openai-beta"})
"""What passes beside the open list, where client and provider speak one dialect."""
SPOKEN = {"openai": frozenset({b"content-type", b"openai-beta"}), "anthropic": frozenset({b"content-type"})}
"""What means something to a provider when the client speaks the other dialect."""
SAFE_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


class ClientHeaders:
    """The rules of one provider, decided once per configuration."""

    def __init__(self, settings: config.Provider) -> None:
        configured = {name.lower().encode("ascii"): value.encode("ascii") for name, value in settings.headers.items()}
        self._own = frozenset(configured) - {BETA}
        self._dropped = _pattern(settings.drop_headers)
        self._betas = _words(configured.get(BETA, b""))
        self._dropped_betas = _pattern(settings.drop_betas)
        self._merges = bool(self._betas) or self._dropped_betas is not None
        self._pinned = pinned_version(settings)
        self._versioned = settings.dialect == "anthropic" and VERSION not in configured
        self._spoken = SPOKEN[settings.dialect], OPEN if settings.dialect == "anthropic" else ()
        self._translated: dict[Head, bytes] = {}
        self._passed: dict[Head, bytes] = {}

    def lines(self, head: Head, translated: bool) -> bytes:
        """What of the client's headers goes to this provider, with its configured betas, as lines. Raises
        HeaderTooLarge.
        """
        known = self._translated if translated else self._passed
        lines = known.get(head)
        if lines is None:
            names, prefixes = self._spoken if translated else (PASSED, OPEN)
            lines = lines_of(self._chosen(select_fields(head.headers, names, prefixes)))
            if head.form is not None:  # it comes again
                keep(known, head, lines, MOST_KNOWN)
        return lines

    def _chosen(self, selected: Headers) -> Headers:
        headers: Headers = []
        size = 0
        for pair in selected:
            if SAFE_VALUE.fullmatch(pair[1]):
                headers.append(pair)
                size += len(pair[0]) + len(pair[1])
        if size > MAX_OPEN_BYTES or len(headers) > MAX_OPEN:
            raise HeaderTooLarge(
                f"At most {MAX_OPEN} headers of {MAX_OPEN_BYTES} bytes together may go to a provider of this model."
            )
        if self._own or self._dropped is not None:
            headers = [pair for pair in headers if not self.holds_back(pair[0])]
        if self._merges:
            headers = self._with_betas(headers)
        if self._versioned and (self._pinned or all(name != VERSION for name, _ in headers)):
            headers.append((VERSION, DEFAULT_VERSION.encode()))
        return headers

    def holds_back(self, name: bytes) -> bool:
        """Whether a header of this name is not taken from the client. What says that the body is JSON always is."""
        if name in self._own:
            return True
        dropped = self._dropped
        return dropped is not None and name != b"content-type" and dropped.match(name.decode("latin-1")) is not None

    def version(self, inquiry: Inquiry) -> str:
        """The version of Anthropic's API that a request to this provider goes by."""
        given = inquiry.head.index.get(VERSION)
        if self._pinned or given is None:
            return self._pinned or DEFAULT_VERSION
        return given.decode("latin-1")

    def _with_betas(self, headers: Headers) -> Headers:
        """The client's betas, of however many lines, that are not held back, then the configured ones; each once."""
        dropped = self._dropped_betas
        betas = [word for name, value in headers if name == BETA for word in _words(value)]
        if dropped is not None:
            betas = [word for word in betas if not dropped.match(word.decode("latin-1"))]
        headers = [pair for pair in headers if pair[0] != BETA]
        if merged := dict.fromkeys([*betas, *self._betas]):
            headers.append((BETA, b",".join(merged)))
        return headers


def pinned_version(settings: config.Provider) -> str:
    """The version that all requests to a provider go by, "" where it is the client's."""
    for name, value in settings.headers.items():
        if name.lower() == VERSION.decode():
            return value.strip()
    dropped = _pattern(settings.drop_headers)
    return DEFAULT_VERSION if dropped is not None and dropped.match(VERSION.decode()) else ""


def _pattern(globs: Iterable[str]) -> re.Pattern[str] | None:
    """What one of the globs matches whole, None where there are none. Capitals and small letters are one."""
    joined = "|".join(map(translate, globs))
    return re.compile(joined, re.IGNORECASE) if joined else None


def _words(value: bytes) -> list[bytes]:
    """The members of a list (RFC 9110, section 5.6.1)."""
    return [word for part in value.split(b",") if (word := part.strip(b" \t"))]
