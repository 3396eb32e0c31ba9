"""A provider that takes the handshake is looked for: one upstream after the other, until one does.

Before that, nothing was said to anybody, so any failure may be somebody else's success. So may what is refused by the
first word behind a 101 (`edge.sockets.word`): of a session that nobody has spoken in, or of the one response that was
asked for, which can be asked for again. Afterwards never: what was said over a WebSocket is known to that provider
alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from edge._fast import Fields
from edge.call import Call
from edge.clock import perf_counter
from edge.dialects.error_translation import is_spent
from edge.errors import (
    ClientClosedRequest,
    EdgeError,
    Headers,
    InternalError,
    Overloaded,
    ProviderError,
    UpstreamBadResponse,
    UpstreamCredentials,
    UpstreamStreamBroken,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from edge.reply_fields import JSON_TYPE
from edge.sockets.link import Answer, Link
from edge.sockets.peer import ABNORMAL, AWAY, Closed, Message
from edge.sockets.word import FIRST_WORD_S, refusal_in
from edge.upstreams.choice import Candidates
from edge.upstreams.desk import Desk
from edge.upstreams.gate import Gate
from edge.upstreams.refusal import read
from edge.upstreams.retry import AttemptFailed, conclude, failed_attempt, returned_headers, unavailable
from edge.upstreams.rules import RULES
from edge.upstreams.standing import begun
from edge.upstreams.tried import Tried
from edge.upstreams.waiting import FULL

__all__ = ["Opened", "Refused", "Wanted", "open_link"]

MAX_KEYS = 8
"""As `edge.dispatch`: so often another key of the same provider is asked."""
ABSENT = frozenset({200, 204, 404, 405, 426, 501})
"""By which a provider says that it knows no WebSocket at that path."""
NO_SOCKET = "The provider speaks no WebSocket at the path that this route stands for."


class Wanted(NamedTuple):
    """``names_model``: the query names the model. ``protocol`` is the sub-protocol to offer, "" for none. ``first``
    gives what is said at once to who takes the handshake, by its name for the model; None for nothing. ``once``: who
    has heard that may keep what it makes of it.
    """

    names_model: bool
    protocol: str
    max_bytes: int
    first: Callable[[str], bytes] | None = None
    once: bool = False


class Opened(NamedTuple):
    """``gate`` has given the connection its place, None where there is no bound; ``headers`` are for the client."""

    link: Link
    tried: Tried
    gate: Gate | None
    headers: Headers


class Refused(Exception):
    """The provider's own answer, which is the client's."""

    def __init__(self, answer: Answer, headers: Headers) -> None:
        super().__init__(answer.status)
        self.status, self.body, self.headers = answer.status, answer.body, headers


async def open_link(desk: Desk, call: Call, wanted: Wanted) -> Opened:
    """Raises Refused, and what the last one failed with: an EdgeError; anything else is a defect of ours."""
    settings, candidates = call.state.resilience, Candidates(call)
    error: Exception = unavailable(call.grant.upstreams, perf_counter())
    keys, found = 0, candidates.next(begun(call), True)
    try:
        async with asyncio.timeout(settings.total_s):
            while found:
                call.ledger.attempts += 1
                opened, tried, error, taken = await ask(desk, call, candidates, wanted)
                if opened is not None:
                    return opened
                found, now = False, tried.ended
                if isinstance(error, UpstreamCredentials):
                    tried.refuse(now)
                if tried.following is not None and keys < MAX_KEYS:
                    keys += 1
                    found = candidates.again(tried.upstream, tried.following, now)
                if not found and may_be_followed(error, taken):
                    found = candidates.next(now, False)
                tell(desk, call, tried, error, candidates if found else None)
    except TimeoutError:
        raise UpstreamTimeout from None
    if call.ledger.attempts == 0 and candidates.full is not None:
        raise Overloaded(FULL)
    raise error


async def ask(
    desk: Desk, call: Call, candidates: Candidates, wanted: Wanted
) -> tuple[Opened | None, Tried, Exception, bool]:
    """Ask the one that was named: what came of it, and whether it has heard what it may keep. Raises a defect of ours:
    another would meet it too.
    """
    upstream, now = candidates.upstream, perf_counter()
    assert upstream is not None  # noqa: S101 - it was named
    ledger = call.ledger
    tried = Tried(upstream, candidates.account, candidates.trial, candidates.names, candidates.left(now), now)
    tried.gate = candidates.gate
    ledger.upstream, ledger.attempt = upstream, tried
    ledger.tries.append(tried)
    gate, opened, taken = tried.gate, None, False
    error: Refused | EdgeError | None = None
    try:
        link, answer = await shake(call, tried, wanted)
        if answer.status == 101:
            taken = wanted.once
            answer = await hear(tried, link, answer, wanted)
        fields = Fields(answer.headers)
        tried.status = answer.status
        tried.heed(fields)
        if answer.status == 101:
            headers = [pair for pair in returned_headers(fields) if pair[0] != b"content-type"]
            tried.gate = None  # its place is held as long as the connection is
            opened = Opened(link, tried, gate, headers)
        else:
            error = judged(tried, answer, returned_headers(fields))
    except EdgeError as failed:
        error = failed.bare()
    except BaseException as ended:
        left = isinstance(ended, asyncio.CancelledError)
        conclude(call, tried, ClientClosedRequest() if left else InternalError(), over=False)
        raise
    ledger.waited(now)
    told = error if isinstance(error, EdgeError) else AttemptFailed(error.status, b"") if error else None
    conclude(call, tried, told, over=False)
    desk.asked(tried, call.grant.label, told)
    return opened, tried, error or UpstreamBadResponse(), taken


async def shake(call: Call, tried: Tried, wanted: Wanted) -> tuple[Link, Answer]:
    """The handshake. Raises UpstreamUnreachable, UpstreamTimeout, UpstreamBadResponse, UpstreamStreamBroken,
    UpstreamRateLimited, UpstreamOverloaded, Overloaded.
    """
    provider, model = tried.provider, tried.upstream.model
    account = tried.ready()
    request = provider.socket_request(call, model if wanted.names_model else "", account, tried.span_id)
    tried.request = request
    origin = provider.site.origin
    if origin is None:
        raise UpstreamUnreachable
    link: Link | None = None
    try:
        link = await origin.connect(lambda: Link(request, origin.authority, wanted.protocol, wanted.max_bytes))
        async with asyncio.timeout(call.state.resilience.first_content_s):
            return link, await link.answer
    except TimeoutError:
        if link is not None:
            link.drop()
        raise UpstreamTimeout from None
    except BaseException:
        if link is not None:
            link.drop()
        raise


async def hear(tried: Tried, link: Link, answer: Answer, wanted: Wanted) -> Answer:
    """Say what is to be said first, and hear what is: the answer to the handshake that makes. Raises
    UpstreamStreamBroken.
    """
    try:
        if wanted.first is not None:
            link.say(Message(wanted.first(tried.upstream.model)))
        word = await link.word(FIRST_WORD_S)
    except BaseException:
        link.drop()
        raise
    if isinstance(word, Closed) and word.code == ABNORMAL:
        link.drop()
        raise UpstreamStreamBroken
    refusal = refusal_in(word)
    if refusal is None:
        return answer
    link.close(AWAY, "")
    kept = [pair for pair in answer.headers if pair[0] != b"content-type"]
    return Answer(refusal.status, [*kept, JSON_TYPE], refusal.body)


def judged(tried: Tried, answer: Answer, headers: Headers) -> Refused | ProviderError:
    """What a refusal comes to."""
    status, rule = answer.status, RULES.get(answer.status)
    if (rule is not None and rule.key and not rule.again) or is_spent(status, *read(answer.body)):
        error: ProviderError = UpstreamCredentials()
    elif 300 <= status < 400:
        error = UpstreamBadResponse("The provider answered with a redirect, which is never followed.")
    elif status in ABSENT and not tried.names:
        error = UpstreamBadResponse(NO_SOCKET, headers=[(b"x-should-retry", b"false")])
        error.refused = error.absent = True
    elif 400 <= status < 600:
        return Refused(answer, headers)
    else:
        error = UpstreamBadResponse("The provider's answer has a status that is none for a handshake.")
    error.said = answer.body
    return error


def may_be_followed(error: Exception, taken: bool) -> bool:
    """Whether another upstream may do better, and nothing is made twice by that. `taken`: this one has heard what it
    may keep.
    """
    if isinstance(error, Refused):
        rule = RULES.get(error.status)
        return rule is not None and rule.other and not (taken and rule.taken)
    return isinstance(error, ProviderError) and not (taken and not error.refused)


def tell(desk: Desk, call: Call, tried: Tried, error: Exception, following: Candidates | None) -> None:
    """Whoever observes, of an attempt that failed."""
    if isinstance(error, Refused):
        error = AttemptFailed(error.status, error.body)
    if isinstance(error, (AttemptFailed, ProviderError)):
        upstream = following.upstream if following is not None else None
        desk.hooks.attempt_failed(failed_attempt(call, tried, error, upstream))
