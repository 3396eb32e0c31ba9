"""What the head of a request says: found out once, and shared by all requests that have the same head."""

from __future__ import annotations

import re

from edge._fast import KnownBodies, KnownHead
from edge._fast.head_tables import ASKED, HOLES
from edge.codings import CODINGS
from edge.errors import (
    EdgeError,
    Headers,
    InvalidRequest,
    MethodNotAllowed,
    UnsupportedMediaType,
    UnsupportedRoute,
    UpgradeRequired,
)
from edge.routes import ENDS_ELSEWHERE, EXISTING, NOWHERE, Dialect, Match, no_route

__all__ = ["COMPRESSED", "Head", "Varying", "varying_of"]

# Errors that are never raised: one of each answers all who make it.
NO_ROUTE = {why: UnsupportedRoute(why).for_all() for why in (NOWHERE, *ENDS_ELSEWHERE.values())}
MULTIPART = UnsupportedRoute(f"This route takes no multipart bodies. There are: {EXISTING}.").for_all()
NO_BOUNDARY = InvalidRequest(
    "A multipart body is one of 'content-type: multipart/form-data; boundary=...', and of nothing else."
).for_all()
BOUNDARY = re.compile(
    rb"(?i)multipart/form-data *; *boundary="
    rb"(?:\"([0-9a-z'()+_,./:=? -]{0,69}[0-9a-z'()+_,./:=?-])\"|([0-9a-z'()+_./:=?-]{1,70}))"
)
"""RFC 2046, section 5.1.1."""
NO_UPGRADE = UpgradeRequired().for_all()
UNKNOWN_CODING = UnsupportedMediaType(
    f"The body's content-encoding is not known here. There are: {', '.join(sorted(map(bytes.decode, CODINGS)))}.",
    details={"error_code": "request_body_encoding_unsupported"},
).for_all()
COMPRESSED = UnsupportedMediaType(
    "Compressed bodies are not taken here: send it without content-encoding.",
    details={"error_code": "request_body_encoding_unsupported"},
).for_all()
"""For who does not take them, whatever their coding."""
ATTRIBUTES = (
    (b"x-claude-code-session-id", "session"),
    (b"session-id", "session"),
    (b"session_id", "session"),
    (b"thread-id", "thread"),
    (b"conversation_id", "thread"),
    (b"x-claude-code-agent-id", "agent"),
    (b"x-openai-subagent", "agent"),
    (b"x-claude-code-parent-agent-id", "parent_agent"),
    (b"x-codex-parent-thread-id", "parent_thread"),
)
"""Headers by which Claude Code and Codex say what a request is a part of, and the fields of a request's line in the
log that tell it. Of several for one field the first counts."""
ATTRIBUTE = re.compile(rb"[A-Za-z0-9_.:/@-]{1,128}")
"""What is told of them: nothing that has to be escaped, and nothing long."""
Varying = dict[bytes, bytes]
"""Of the names in `ASKED`, the first value of each that a request has, if that is not empty."""


def varying_of(headers: Headers) -> Varying:
    """What of a request's own it has in its head; `headers` are lower-case byte pairs in their order."""
    found: Varying = {}
    for name, value in headers:
        if name in ASKED and value and name not in found:
            found[name] = value
    return found


def attributes_of(index: dict[bytes, bytes]) -> bytes:
    """The fields of `ATTRIBUTES` that a head has."""
    found: dict[str, bytes] = {}
    for name, field in ATTRIBUTES:
        value = index.get(name)
        if value is not None and field not in found and ATTRIBUTE.fullmatch(value):
            found[field] = value
    return b"".join([b',"%b":"%b"' % (field.encode(), value) for field, value in found.items()])


class Head:
    """Immutable, but for what ``bodies`` remember. What changes from request to request
    (`edge._fast.head_tables.HOLES`) is not in it: a call has that beside it.

    ``headers`` are lower-case byte pairs in their order, ``index`` the first value of each name, ``repeated`` the names
    that are given more than once, those of `HOLES` too; ``query`` has the bytes after ``?``. ``argument`` and
    ``provider`` are those of `edge.routes.Match`. ``dialect`` is that of the reply: where the route has none, or is
    none for the method, a client that names a version of Anthropic's API gets Anthropic's. ``form`` knows the bytes of
    the head when they come again, and ``bodies`` those that came with it; None where they are not kept. ``objection``
    is what there is against every request with this head, whosever it is; ``asks_methods``: it only asks which methods
    there are. ``coding`` is that of the body, b"" where it is not compressed; ``attributes`` are the fields of
    `ATTRIBUTES`, as they stand in a line of JSON behind others; ``boundary`` is that of a form, b"" for any other body;
    ``timeout`` is what it says of the client's own deadline, None for nothing.
    """

    def __init__(
        self, match: Match, method: str, target: bytes, query: bytes, headers: Headers, form: KnownHead | None = None
    ) -> None:
        self.route = match.route
        self.argument = match.argument
        self.provider = match.provider
        self.method = method
        self.target = target
        self.query = query
        self.form = form
        self.bodies = KnownBodies() if form is not None else None
        steady: Headers = []
        index: dict[bytes, bytes] = {}
        names: set[bytes] = set()
        repeated: set[bytes] = set()
        for pair in headers:
            name = pair[0]
            if name in names:
                repeated.add(name)
            names.add(name)
            if name not in HOLES:
                steady.append(pair)
                index.setdefault(name, pair[1])
        self.headers = steady
        self.index = index
        self.repeated = frozenset(repeated)
        self.dialect: Dialect = match.dialect
        if b"anthropic-version" in index and (match.route.dialect is None or match.route.is_none_for(method)):
            self.dialect = "anthropic"
        self.asks_methods = method == "OPTIONS" and not match.route.is_none_for(method)
        coding = index.get(b"content-encoding", b"").strip().lower()
        self.coding = coding if coding != b"identity" else b""
        self.attributes = attributes_of(index)
        self.timeout = index.get(b"x-edge-timeout-ms")
        self.boundary = b""
        if (
            match.route.forms
            and b"content-type" not in repeated
            and (form_of := BOUNDARY.fullmatch(index.get(b"content-type", b"")))
        ):
            self.boundary = form_of[1] or form_of[2]
        self.objection = self._objection()

    def only(self, name: bytes) -> bytes | None:
        """The value of a header that is given once, else None."""
        return None if name in self.repeated else self.index.get(name)

    def _objection(self) -> EdgeError | None:
        route = self.route
        if route.is_none_for(self.method):
            return NO_ROUTE[no_route(self.target, self.dialect)]
        if self.asks_methods:
            return None
        if self.method not in route.methods:
            return MethodNotAllowed(", ".join(route.methods)).for_all()
        if route.api == "upgrade":
            return NO_UPGRADE
        media_type = self.index.get(b"content-type")
        if media_type is not None and media_type.lower().startswith(b"multipart/"):
            if not route.forms:
                return MULTIPART
            if not self.boundary:
                return NO_BOUNDARY
        if self.coding and (self.coding not in CODINGS or b"content-encoding" in self.repeated):
            return UNKNOWN_CODING
        return None
