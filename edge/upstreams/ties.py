"""Requests that are tied to an account: what they make, or what they name, is kept by one account of one provider.

A stored response, a conversation, an encrypted piece of reasoning, a container, a file: the account that made it knows
it, and no other. Nothing is remembered here. A request that makes such a thing goes to that key of a provider which
its tenant always has there (rendezvous hashing, so any worker and any machine picks the same, and another key in the
configuration moves few tenants). One that names such a thing is asked there first, and elsewhere only where the answer
is that this is not known: then nothing was done. Any other failure is the answer: another account could not do better.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge._fast import Words
from edge.dialects.foreign_thoughts import NEEDLE
from edge.inquiry import Inquiry
from edge.upstreams.refusal import read

if TYPE_CHECKING:
    from edge.routes import Route
    from edge.upstreams.provider import Account
    from edge.upstreams.router import Upstream

__all__ = ["ALWAYS", "FREE", "MAKES", "NAMES", "NEVER", "WITH_TOOLS", "Target", "is_unknown_thing", "keeps_nothing"]
__all__ += ["leans", "targets_of", "tie_of"]

FREE, MAKES, NAMES = range(3)
NEVER, WITH_TOOLS, ALWAYS = range(3)
"""When an upstream may be asked by Responses for a client of another API: ``Upstream.seals``."""
Target = tuple["Upstream", "Account"]
"""Whom to ask, and with which of the provider's credentials."""
MAX_TARGETS = 8
"""Accounts that are asked for one thing."""

FIELDS: dict[str, tuple[bytes, ...]] = {
    "responses": (b"previous_response_id", b"conversation", b"prompt"),
    "messages": (b"container",),
}
"""Fields at the top of a body that name a thing where they are given."""
VALUE, ITEM = re.compile(rb'\s*:\s*(?:"[^"]|\[\s*"|\{\s*"id")'), re.compile(rb"\s*[^\s:]")
MAKING = re.compile(b"")
"""The form of what names nothing: the word says that something is made."""
WORDS: dict[str, tuple[tuple[bytes, re.Pattern[bytes]], ...]] = {
    "responses": (
        (b'"encrypted_content"', VALUE),
        (b'"file_id"', VALUE),
        (b'"file_ids"', VALUE),
        (b'"container"', VALUE),
        (b'"container_id"', VALUE),
        (b'"vector_store_ids"', VALUE),
        (b'"item_reference"', ITEM),
        (b'"reasoning"', ITEM),
        (b'"compaction"', ITEM),
    ),
    "chat": ((b'"file_id"', VALUE), (b'"audio"', VALUE), (b'"modalities"', MAKING)),
    "messages": ((b'"file_id"', VALUE), (b'"code_execution_', MAKING)),
}
"""Anywhere in a body: a key and the form of a value that names something, or the type of an item that does; and words
of a body that has something made. Of the Responses API every answer is, or has, something to come back to.
"""
THING = (
    r"(previous[_ ]response|response|conversation|container|file|vector[_ ]store|item|audio|prompt"
    r"|encrypted[_ ]content)"
)
UNKNOWN_THING = re.compile(
    rf"(?i)\b{THING}\b.{{0,300}}\b(not[_ ]found|does not exist|(could|can)\s?not be (found|verified|decrypted))\b"
    rf"|{THING}_not_found\b|invalid_encrypted_content|\bno such {THING}\b|\bno {THING} (was )?found\b"
)


REASONING = b'"edge1r.'
"""How an envelope with a thought of OpenAI's begins (`edge.dialects.sealed`)."""
SIGNATURE = re.compile(rb'"signature"\s*:\s*"(?!edge1r\.)[^"]')
"""A thought of Anthropic's own."""
ENCRYPTED = re.compile(rb'"encrypted_content"\s*:\s*"(?!edge1t\.)[^"]')
"""One of OpenAI's own."""


class Signs:
    """What ties a request of one API to an account: ``fields`` of `FIELDS`, and the ``words`` of `WORDS` with their
    ``forms``.
    """

    def __init__(self, api: str, otherwise: int = FREE) -> None:
        """`otherwise` is what a request is that has none of these."""
        self.fields = FIELDS.get(api, ())
        words = WORDS[api]
        self.words = Words([word for word, _ in words])
        self.forms = tuple([form for _, form in words])
        self.otherwise = otherwise


SIGNS = {
    "responses": Signs("responses", MAKES),
    "compact": Signs("responses", MAKES),
    "input_tokens": Signs("responses"),
    "chat": Signs("chat"),
    "messages": Signs("messages"),
}
"""By ``Route.api``."""


def tie_of(inquiry: Inquiry) -> int:
    """Whether a request makes (MAKES) or names (NAMES) what an account keeps."""
    if inquiry.head.route.api == "socket":
        return MAKES  # of the connection, whatever its responses name
    signs = SIGNS.get(inquiry.head.route.api)
    if signs is None:
        return FREE if not inquiry.head.route.kept else NAMES if inquiry.head.argument else MAKES
    if signs.otherwise == MAKES and keeps_nothing(inquiry):
        return FREE
    payload, tie, at = inquiry.payload, signs.otherwise, 0
    body = payload.body
    for field in signs.fields:
        span = payload.span(field)
        if span is not None and body[span[0] : span[1]] not in (b"null", b'""', b"{}"):
            return NAMES
    while (at := signs.words.find(body, at)) >= 0:
        form = signs.forms[signs.words.which]
        if form is MAKING:
            tie = MAKES
        elif form.match(body, at):
            return NAMES
    if tie == FREE and inquiry.grant.seals and may_seal(inquiry):
        return MAKES
    return tie


def may_seal(inquiry: Inquiry) -> bool:
    """Whether a request of messages or of chat completions may be answered with thoughts of OpenAI's, sealed, which the
    account that had them has to be given with the next one.
    """
    with_tools = inquiry.grant.seals == ALWAYS or inquiry.payload.span(b"tools") is not None
    return with_tools and inquiry.head.route.api in ("chat", "messages")


def leans(inquiry: Inquiry) -> bool:
    """Whether the latest thought of such a conversation is one of OpenAI's, which nobody else can make anything of: who
    can be given it is asked first, and others, for whom it is left out, where that is not to be.
    """
    if not inquiry.grant.seals or inquiry.head.route.api not in ("chat", "messages"):
        return False
    body = inquiry.payload.body
    at = body.rfind(REASONING)
    return at >= 0 and SIGNATURE.search(body, at) is None


def keeps_nothing(inquiry: Inquiry) -> bool:
    """Whether all that may be asked are asked by another API than the client's, and so keep nothing that it could come
    back to: their thoughts go by any account, and what a client names of others is refused in translation.
    """
    route, upstreams = inquiry.head.route, inquiry.grant.upstreams
    for upstream in upstreams:
        if keeps(upstream, route):
            return False
    return bool(upstreams)


def keeps(upstream: Upstream, route: Route) -> bool:
    """Whether a request of this route goes to an upstream as it is, which so can keep what it makes of it."""
    if not upstream.provider.speaks(route):
        return False
    api = "responses" if route.api in ("compact", "input_tokens") else route.api
    return route.kept or not upstream.facts.apis or api in upstream.facts.apis


def targets_of(inquiry: Inquiry, tenant: str) -> list[Target]:
    """Whom to ask for what an account keeps, in this order: those who are asked as the client asks, for a translation
    leaves out what is not known there, and its answer would go on without. What was sealed here of another API's
    thoughts is theirs who had them: where the latest is such, they come first.
    """
    targets: list[Target] = []
    route, upstreams = inquiry.head.route, inquiry.grant.upstreams
    keepers = [upstream for upstream in upstreams if keeps(upstream, route)]
    at = inquiry.payload.body.rfind(NEEDLE)
    if at >= 0 and ENCRYPTED.search(inquiry.payload.body, at) is None:
        keepers = [upstream for upstream in upstreams if not keeps(upstream, route)] + keepers
    for upstream in keepers or upstreams:
        targets += [(upstream, account) for account in upstream.provider.accounts_of(tenant)]
    return targets[:MAX_TARGETS]


def is_unknown_thing(status: int, body: bytes) -> bool:
    """Whether an error says that what the request names is not known to that account."""
    if status not in (400, 404):
        return False
    kinds, message = read(body)
    return any(UNKNOWN_THING.search(said) is not None for said in (message, *kinds))
