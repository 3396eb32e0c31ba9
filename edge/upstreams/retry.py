"""What to make of a provider's answer: is another upstream worth a try, and which of its headers are for the client?

Nothing has gone to the client before the first content, so until then a failure can be somebody else's success. After
that never: whoever asks twice is billed twice, and the client has half an answer already. Nor is work that a provider
keeps (a stored response, a background job) asked for elsewhere, unless that provider has said that it did not take it.
"""

from __future__ import annotations

import re
from math import ceil
from typing import Annotated

import msgspec

from edge._fast import Fields
from edge.clock import perf_counter
from edge.dialects.error_translation import is_blocked, is_spent, is_too_long
from edge.dialects.failures import is_json
from edge.dialects.hosted_tools import has_hosted_tools
from edge.errors import (
    UNREADABLE,
    ClientClosedRequest,
    EdgeError,
    Headers,
    InvalidRequest,
    NothingAvailable,
    ProviderError,
    Superseded,
    UpstreamBadResponse,
    UpstreamCredentials,
    UpstreamStreamBroken,
    UpstreamTimeout,
    wait_headers,
)
from edge.hooks import FailedAttempt
from edge.inquiry import Inquiry
from edge.ledger import kind_of_status
from edge.routes import Route
from edge.upstreams.provider import resting
from edge.upstreams.refusal import is_unknown_path, read, words_of
from edge.upstreams.router import Upstream
from edge.upstreams.rules import RULES, UNSERVED
from edge.upstreams.ties import is_unknown_thing, keeps_nothing
from edge.upstreams.tried import Tried

__all__ = [
    "AttemptFailed",
    "check_count",
    "check_end",
    "check_status",
    "code_of_attempt",
    "conclude",
    "failed_attempt",
    "failure_of",
    "is_for_nobody",
    "is_kept",
    "is_stream",
    "may_follow",
    "may_go_on",
    "may_hedge",
    "refusal",
    "refusing",
    "returned_headers",
    "said_of",
    "told",
    "unavailable",
]

CREDENTIALS = frozenset([status for status, rule in RULES.items() if rule.key and not rule.again])
RETRYABLE = frozenset([status for status, rule in RULES.items() if rule.again])
NOT_TAKEN = frozenset([status for status, rule in RULES.items() if not rule.taken])
LENGTH, POLICY = 1, 2
"""What a refusal may be for that another upstream need not make: bits of ``Tried.turns``."""
NOT_THERE = frozenset({404, 405, 501})
"""Statuses of who does not know what was asked for by its id, or knows no such things."""
TOO_MANY = frozenset({429, 503, 529})
"""Statuses by which a provider says that it has more requests in flight than it can serve."""
NO_SUCH_PATH = "The provider does not know the path that this route stands for: its 'base_url' may be wrong."

RETURNED = (b"content-type", b"openai-processing-ms", b"x-should-retry")
WAIT = re.compile(rb"\d{1,9}(\.\d{1,9})?|[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")
"""What may be said of a time to wait: seconds, or the date of RFC 9110, section 5.6.7. NaN is for no client to compute
with.
"""
SOONER_S = 1.0
"""What a provider says of when to ask it next is left as it is, unless another one may be asked so much sooner."""
RETURNED_PREFIXES = (b"retry-after", b"x-ratelimit-", b"anthropic-ratelimit-")
UPSTREAM_IDS = (b"x-request-id", b"request-id")
THEIR_ID = b"x-edge-upstream-request-id"
MOST_KNOWN = 8
"""So many sets of headers' names are remembered. A provider chooses them."""


UNSAID = (b"", b"text/plain", b"application/octet-stream")
"""Media types that say nothing about what it is."""


class _Count(msgspec.Struct):
    input_tokens: Annotated[int, msgspec.Meta(ge=0)]


class AttemptFailed(Exception):
    """A provider answered with an error that is its own failure, or, where ``turn`` is not 0, with a refusal for which
    there are upstreams to turn to: `LENGTH` or `POLICY`. ``said`` is what is known of its body.
    """

    def __init__(self, status: int, said: bytes, turn: int = 0) -> None:
        super().__init__(status)
        self.turn = turn
        self.status = status
        self.said = said
        self.kind = kind_of_status(status)


def is_for_nobody(tried: Tried, status: int) -> bool:
    """Whether the body of an answer is for the log alone: it is a failure that the client gets no word of."""
    if 200 <= status < 300:
        return False
    follows = tried.others_left() and status in RETRYABLE and may_follow(tried, status not in NOT_TAKEN)
    return 300 <= status < 400 or status in CREDENTIALS or follows


def check_status(tried: Tried, route: Route, status: int, body: bytes) -> None:
    """Raises for an answer that is not for the client: UpstreamCredentials, UpstreamBadResponse, and, while there are
    other upstreams, AttemptFailed.
    """
    if 200 <= status < 300:
        return
    if tried.turns and 400 <= status <= 500:
        words, message = read(body)
        if tried.turns & LENGTH and is_too_long(status, words, message):
            raise AttemptFailed(status, body, LENGTH)
        if tried.turns & POLICY and is_blocked(status, words, message):
            raise AttemptFailed(status, body, POLICY)
    if status in CREDENTIALS or is_spent(status, *read(body)):
        raise noted(UpstreamCredentials(), body)
    if 300 <= status < 400:
        raise noted(UpstreamBadResponse("The provider answered with a redirect, which is never followed."), body)
    if not 200 <= status < 600:
        raise UpstreamBadResponse("The provider's answer has a status that does not exist.")
    if status in (404, 405) and not (route.passes or route.kept) and is_unknown_path(status, body):
        error = UpstreamBadResponse(NO_SUCH_PATH, headers=[(b"x-should-retry", b"false")])
        error.refused = error.absent = True
        raise noted(error, body)
    if tried.quiet:
        raise AttemptFailed(status, body)  # what another one is asked meanwhile may have a better answer
    if tried.others_left() and tried.names and (status in NOT_THERE if route.kept else is_unknown_thing(status, body)):
        raise AttemptFailed(status, body)
    if tried.others_left() and status in RETRYABLE and may_follow(tried, status not in NOT_TAKEN):
        raise AttemptFailed(status, body)


def check_count(status: int, body: bytes) -> None:
    """Raises for an answer that neither counts the tokens of a request nor has anything against it: AttemptFailed,
    UpstreamBadResponse.
    """
    if status >= 500:
        raise AttemptFailed(status, body)
    if status == 200:
        try:
            msgspec.json.decode(body, type=_Count)
        except UNREADABLE:
            raise noted(UpstreamBadResponse("The provider's answer is no number of tokens."), body) from None


def check_end(body: bytes) -> None:
    """Raises UpstreamStreamBroken for a part of an answer whose end is that of the connection, however that came about:
    JSON at least says itself whether it is whole.
    """
    if body[:1024].lstrip().startswith((b"{", b"[")) and not is_json(body):
        raise UpstreamStreamBroken


def failure_of(status: int, body: bytes) -> AttemptFailed | None:
    """The failure that an answer tells of which goes to the client, None where that is not the provider's."""
    return AttemptFailed(status, body) if status >= 400 and (status in RETRYABLE or status >= 500) else None


def may_follow(tried: Tried, taken: bool = True) -> bool:
    """Whether another upstream may be asked after a failure of this one. `taken`: it may have begun with the request,
    if it has got it.
    """
    if tried.names:
        return False
    request = tried.request
    if request is None or not request.sent or not request.once:
        return True
    crossing = tried.crossing
    stream = crossing.stream if crossing is not None else None
    return not taken and (stream is None or not stream.accepted)


def may_go_on(inquiry: Inquiry, tried: Tried, error: Exception, over: bool) -> bool:
    """Whether anybody may be asked for an answer after an attempt that failed with this: nobody where the client has
    the beginning of one, or where a part of the request is gone. `over`: there is no time left.
    """
    upload = inquiry.upload
    if inquiry.reply.has_answer() or (upload is not None and not upload.repeatable):
        return False
    if isinstance(error, ProviderError) and not inquiry.head.route.counts:
        return not over and (error.absent or may_follow(tried, not error.refused))
    if isinstance(error, (AttemptFailed, ProviderError)):
        return not over
    # What cannot be said in that provider's dialect another may be told, who speaks the client's.
    return isinstance(error, InvalidRequest)


def may_hedge(inquiry: Inquiry) -> bool:
    """Whether a request may be asked of two upstreams at a time: not where an answer is kept, or a provider runs tools
    for it, since that is then done twice; nor while it still comes.
    """
    route = inquiry.head.route
    if inquiry.upload is not None:
        return False
    return not (route.counts or is_kept(inquiry) or has_hosted_tools(route.api, inquiry.payload))


def conclude(inquiry: Inquiry, tried: Tried, error: Exception | None, over: bool) -> None:
    """Tell the upstream's breaker and averages what came of an attempt: an answer, what it failed with, or nothing that
    says anything of the upstream. Its place is given back.

    The provider is at fault where it cannot be reached, answers with a status of 500 or above, says so inside a stream,
    or gives what is no answer; not where all our connections to it are busy. A 429, a refused key, and a client's own
    4xx say nothing of its health, nor does a status by which it says that it does no such thing, or whatever it answers
    on a path that a client has chosen: anybody could open a model's breaker by asking for what is not there. Nor does
    a time that is `over`, where the client has set it or drawn it out, or the short one of a count.
    """
    trial, now, status = tried.trial, perf_counter(), tried.status
    ledger, route = inquiry.ledger, inquiry.head.route
    if error is not None and isinstance(error, UpstreamTimeout):
        theirs = inquiry.payload.deadline_ms or tried.content_s >= 0.0
        if route.counts or (theirs and over):
            error = ClientClosedRequest()
    gate, tried.gate = tried.gate, None
    if gate is not None:
        content_at, counts = ledger.content_at, route.counts
        refused = status in TOO_MANY or isinstance(error, UpstreamTimeout)
        answered = error is None and 200 <= status < 300 and not counts
        seconds = (content_at or now) - tried.begun if answered else 0.0
        gate.leave(now, seconds, content_at > 0.0, refused)
    if error is not None:
        if isinstance(error, AttemptFailed):
            status = error.status
        elif isinstance(error, ProviderError):
            status = 0 if error.ours else status if 400 <= status < 500 else 500
        else:
            status = 0
    chosen = tried.status != 0 and route.passes
    if not status or tried.request is None:
        if isinstance(error, Superseded) and trial is not None and tried.request is not None:
            # How long it would have taken is not known; that it was late is.
            late_s, seconds = trial.member.late_s(inquiry.payload.stream), now - tried.begun
            if seconds >= late_s >= 0.0:
                trial.took(inquiry.payload.stream, seconds)
        tried.conclude("none", now)
    elif status >= 400 and (status < 500 or chosen or tried.status in UNSERVED):
        tried.conclude("neutral", now)
    elif status >= 400:
        tried.conclude("failed", now)
    else:
        if trial is not None and not (inquiry.payload.stream or route.counts):
            trial.took(False, now - tried.begun)
        usage = ledger.usage
        tokens = max(usage.output, 0) if usage is not None else 0
        tried.conclude("ok", now, tokens, ledger.upstream_s - tried.content_s if tried.content_s >= 0.0 else -1.0)


def said_of(tried: Tried, error: AttemptFailed | ProviderError) -> int:
    """The status of what an attempt failed with, 0 where it is no answer."""
    if isinstance(error, AttemptFailed):
        return error.status
    return 0 if 200 <= tried.status < 300 else tried.status


def unavailable(upstreams: tuple[Upstream, ...], now: float) -> ProviderError:
    """What to tell where nobody may be asked: the soonest time at which one may, where providers have said that."""
    waits = [upstream.provider.resting(upstream.model, now) for upstream in upstreams]
    known = [wait for wait in waits if wait[0]]
    return resting(*min(known)) if known else NothingAvailable()


def refusal(error: Exception, failed: bool) -> Exception:
    """What to tell where the last one could not be asked. If one that could have answered has `failed` before, it is
    worth asking again. Where there are details, an SDK knows by them how to ask so that this one can answer.
    """
    return NothingAvailable() if isinstance(error, InvalidRequest) and failed and error.details is None else error


def told(inquiry: Inquiry, tried: Tried, error: Exception, failed: bool, over: bool) -> Exception:
    """What the client is told of a failure after which nobody is asked. `over`: there is no time left; `failed` as in
    `refusal`.
    """
    if isinstance(error, AttemptFailed):
        return UpstreamTimeout() if over else unavailable(inquiry.grant.upstreams, perf_counter())
    if tried.spent and isinstance(error, ProviderError):
        error.headers = without_retry(error.headers)
    return refusal(error, failed)


def is_kept(inquiry: Inquiry) -> bool:
    """Whether the provider keeps what it makes of this request, or may: then asking twice makes it twice.

    A response is stored unless ``store`` is false (https://platform.openai.com/docs/api-reference/responses/create);
    what passes through to paths that are not known here may be a job. What is translated is never kept.
    """
    route, payload = inquiry.head.route, inquiry.payload
    if route.passes or (route.kept and inquiry.head.method == "POST"):
        return True
    unsaid = route.stores and not payload.says(b"store", b"false")
    if unsaid or payload.says(b"store", b"true") or (route.stores and payload.says(b"background", b"true")):
        return not keeps_nothing(inquiry)
    return False


def noted(error: ProviderError, body: bytes) -> ProviderError:
    error.said = body
    return error


def failed_attempt(
    inquiry: Inquiry,
    tried: Tried,
    failure: AttemptFailed | ProviderError,
    following: Upstream | None = None,
) -> FailedAttempt:
    """The record of an attempt that is over, and after which `following` is asked."""
    upstream = tried.upstream
    answered = isinstance(failure, AttemptFailed)
    tried.code, tried.kind = "" if isinstance(failure, AttemptFailed) else failure.code, failure.kind
    tried.turned = failure.turn if isinstance(failure, AttemptFailed) else 0
    return FailedAttempt(
        inquiry.request_id,
        upstream.name,
        inquiry.grant.label,
        upstream.model,
        failure.status if answered else tried.status,
        tried.code,
        tried.kind,
        tried.ended - tried.begun,
        words_of(failure.said, inquiry.payload.body, upstream.provider.secrets) if failure.said else "",
        following.provider.name if following is not None else "",
        following.model if following is not None else "",
        following is None and not inquiry.head.route.counts,
        inquiry.trace.trace_id if inquiry.trace is not None else "",
    )


def code_of_attempt(status: int, error: BaseException | None) -> str:
    """What a request to a provider is counted by: the `status` of its answer or, where none came (0), the code of
    `error`.
    """
    if status:
        return str(status)
    return error.code if isinstance(error, EdgeError) else ClientClosedRequest.code


class Returned:
    """What of an answer's headers is for the client, by their names: the answers of a provider have mostly the same."""

    def __init__(self, headers: Headers) -> None:
        names = [name for name, _ in headers]
        self._names = names
        self._places = [
            place for place, name in enumerate(names) if name in RETURNED or name.startswith(RETURNED_PREFIXES)
        ]
        self._waits = b"retry-after" in names or b"retry-after-ms" in names
        self._ids = [names.index(name) for name in UPSTREAM_IDS if name in names]

    def fits(self, headers: Headers) -> bool:
        """Whether these are headers of the same names, in the same order."""
        names = self._names
        if len(names) != len(headers):
            return False
        for i in range(len(headers)):
            pair = headers[i]
            name, other = names[i], pair[0]
            if name is not other and name != other:
                return False
        return True

    def of(self, headers: Headers) -> Headers:
        returned = [headers[place] for place in self._places]
        if self._waits:
            returned = [pair for pair in returned if not pair[0].startswith(b"retry-after") or WAIT.fullmatch(pair[1])]
        for place in self._ids:
            pair = headers[place]
            upstream_id = pair[1]
            if upstream_id:
                returned.append((THEIR_ID, upstream_id if len(upstream_id) <= 256 else upstream_id[:256]))
                break
        return returned


KNOWN: list[Returned] = []
"""The latest `MOST_KNOWN`, that which was met last first."""


def returned_headers(fields: Fields) -> Headers:
    """The provider's headers that the client gets, in their order."""
    headers, known = fields.pairs, KNOWN
    for i in range(len(known)):
        found = known[i]
        if found.fits(headers):
            if i:
                del known[i]
                known.insert(0, found)
            return found.of(headers)
    del known[MOST_KNOWN - 1 :]
    made = Returned(headers)
    known.insert(0, made)
    return made.of(headers)


def refusing(inquiry: Inquiry, tried: Tried, headers: Headers) -> Headers:
    """The headers of a failure that a provider has answered with, as a client gets them: when to ask next, which is
    when the first upstream may be asked again, and whether it is to try again by itself.
    """
    headers = without_retry(headers) if tried.spent else headers
    if not tried.asked_s:
        return headers
    now = perf_counter()
    soonest = min([upstream.provider.resting(upstream.model, now)[0] for upstream in inquiry.grant.upstreams])
    says = any(name.startswith(b"retry-after") for name, _ in headers)
    if not soonest or (says and soonest > tried.asked_s - SOONER_S):
        return headers
    rest = [pair for pair in headers if not pair[0].startswith(b"retry-after")]
    return [*rest, *wait_headers(ceil(soonest * 1000))]


def without_retry(headers: Headers) -> Headers:
    """The same, but that a client is told to make no retries of its own."""
    return [*(pair for pair in headers if pair[0] != b"x-should-retry"), (b"x-should-retry", b"false")]


def is_stream(status: int, fields: Fields, asked: bool) -> bool:
    """Whether an answer is one of events. Where these were `asked` for, it need not say so."""
    if not 200 <= status < 300:
        return False
    media_type = fields.get(b"content-type") or b""
    if media_type == b"application/json":
        return False
    kind = media_type.partition(b";")[0].strip().lower()
    return kind == b"text/event-stream" or (asked and kind in UNSAID)
