"""What would become of a request, without sending it: who asks, what that gets, whom it would go to and why not to
others, whether its answer is stored, what it would cost.

It goes by the rules that serve, in their order. Nothing is counted, taken or begun: no limit, no turn of a balancer.
"""

from __future__ import annotations

from time import perf_counter
from typing import Literal

import msgspec

from edge._fast import Member, usd
from edge.cache.answers import Answers
from edge.cache.key import Keys, decode_body
from edge.cache.policy import caches_for, plan_for
from edge.call import Call
from edge.dialects.crossing import asked_by
from edge.dialects.estimate import estimate_input
from edge.dialects.models import API_DIALECTS
from edge.errors import UNREADABLE, EdgeError, Headers, InvalidRequest, RequestTooLarge, UnsupportedRoute
from edge.grant import Grant
from edge.guard.auth import Key, refuse_model
from edge.guard.counts import Counts
from edge.guard.expected import check_known, most_output
from edge.guard.left import Left, left_of
from edge.guard.limits import KeyLimits
from edge.guard.pii import redact_now
from edge.guard.quotas import quotas_of
from edge.guard.validate import Reading, check_body
from edge.head import Head, varying_of
from edge.hooks import Usage
from edge.money.pricing import PICO
from edge.routes import ROUTES, match
from edge.slices import LARGE
from edge.state import State, granted_of
from edge.upstreams.choice import Choice
from edge.upstreams.likeness import prefix_of, size_of
from edge.upstreams.retry import may_hedge
from edge.upstreams.router import Upstream
from edge.upstreams.ties import FREE, NAMES, leans, targets_of, tie_of

__all__ = ["MAX_BYTES", "Explanation", "explain", "path_for", "table"]

MAX_BYTES = 1 << 20
"""Of a body that is explained: it is read at once."""

For = Literal["", "any", "context_length", "content_policy"]
Reason = Literal["", "endpoint", "key", "drained", "resting", "breaker", "full", "translation"]
Verdict = Literal["off", "bypass", "cacheable", "miss", "memory"]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An upstream of the name that was asked for, or of one that it falls back to. ``alias`` is "" for a name of its
    own.

    ``first``: it would be asked first. ``api`` is by which it would be asked (``Route.api``), another than the
    client's where the request is translated, "" where it cannot be asked. ``excluded`` is why it would not be asked at
    all now: it cannot serve the ``endpoint``, the ``key`` may not use it, an operator has ``drained`` it, its provider
    has asked for a wait (``resting``), its ``breaker`` lets nothing through, it has as many requests in flight as it
    may (``full``), or the request cannot be said in its dialect (``translation``); ``detail`` says more. ``ready_s``
    are the seconds until then. ``avoided``: all of its keys are at a limit, so it is asked where no other can be.
    ``late_s``: after so many seconds without an answer another one is asked beside it, None where that is not done, or
    not known yet. ``fallback`` is the failure that it is for, "" for an upstream of the name itself. ``score`` is what
    the ``strategy`` of the alias compares, the lowest is taken. Costs in USD, None where the price or the bound is not
    known.
    """

    upstream: str
    alias: str
    fallback: For
    strategy: str
    weight: float
    first: bool
    api: str
    excluded: Reason
    detail: str
    avoided: bool
    score: float
    breaker: str
    ready_s: float
    in_flight: int
    error_rate: float
    first_content_s: float | None
    seconds_per_token: float | None
    late_s: float | None
    input_usd: float | None
    at_most_usd: float | None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """None: no such limit; ``requests_left`` is None too where no running edge was asked. ``quotas`` are of tokens and
    money.
    """

    requests_per_minute: int | None
    requests_left: int | None
    concurrency: int | None
    quotas: list[Left]


class Cached(msgspec.Struct, frozen=True, kw_only=True):
    """``verdict``: the cache is ``off`` for it; it has no part in it (``bypass``); its answer may be stored
    (``cacheable``, where no running edge was asked), is not in this worker's memory (``miss``), or is (``memory``).
    ``key`` is the cache key, in hexadecimal, "" for none.
    """

    mode: str
    verdict: Verdict
    key: str = ""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    code: str
    message: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """``tokens`` of the input are estimated (`edge.dialects.estimate`); ``output_tokens`` is the most that the request
    lets be written, None where it says nothing. ``pii`` says what was found of personal data (``email=2,card=1``).
    ``refused`` is what the client would get instead of an answer; what is not known by then is empty.
    """

    endpoint: str
    model: str
    alias: str
    stream: bool
    key: str
    tenant: str
    limits: Limits
    input_tokens: int
    output_tokens: int | None
    candidates: list[Candidate]
    cache: Cached
    pii: str
    refused: Refusal | None


def path_for(body: bytes) -> str:
    """The path that a body is most likely for, by the fields at its top: one with ``system`` is for messages, as one of
    chat completions says that in a message.
    """
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except UNREADABLE:
        return "/v1/chat/completions"
    if "messages" in fields:
        return "/v1/messages" if "system" in fields else "/v1/chat/completions"
    return "/v1/responses" if "input" in fields else "/v1/completions" if "prompt" in fields else "/v1/chat/completions"


def explain(
    state: State,
    key: Key,
    path: str,
    body: bytes,
    headers: Headers = (),  # type: ignore[assignment] # nobody changes it
    *,
    answers: Answers | None = None,
    limits: KeyLimits | None = None,
    counts: Counts | None = None,
) -> Explanation:
    """What would become of a POST of `body` to `path` by `key`. `answers`, `limits` and `counts` are a running edge's.

    Raises UnsupportedRoute for a path to which nothing is posted, RequestTooLarge for a body of more than 1 MiB.
    """
    found = match(path.encode())
    if found is None or found.route.is_none_for("POST") or found.route.method != "POST":
        raise UnsupportedRoute(f"Nothing is posted to the path {path!a}.")
    if len(body) > MAX_BYTES:
        raise RequestTooLarge(f"A body of more than {MAX_BYTES} bytes is not explained.")
    fields = [*headers]
    call = Call(Head(found, "POST", path.encode(), b"", fields), varying_of(fields), "", perf_counter(), state)
    call.key, call.body = key, body
    refused: EdgeError | None = None
    cached = Cached(mode="off", verdict="off")
    candidates: list[Candidate] = []
    try:
        if call.head.objection is not None:
            raise call.head.objection
        if len(body) > state.max_body_bytes:
            raise RequestTooLarge(f"The body is larger than {state.max_body_bytes} bytes.")
        check_body(call, Reading(body))
        candidates = _candidates(call)
        grant = call.grant = state.grant(key, call.payload.model, found.route)
        if not grant.upstreams:
            raise refuse_model(call.payload.model)
        _redact(call, grant)
        check_known(call)
        cached = _cached(call, grant, answers)
        candidates = _marked(call, candidates)
    except EdgeError as error:
        refused = error
    return Explanation(
        endpoint=found.route.endpoint,
        model=call.payload.model,
        alias=call.grant.alias,
        stream=call.payload.stream,
        key=key.id,
        tenant=key.tenant,
        limits=Limits(
            requests_per_minute=key.requests_per_minute,
            requests_left=None if limits is None else limits.lease(key).left(),
            concurrency=key.concurrency,
            quotas=[left_of(quota, counts) for quota in quotas_of(state.settings, key, call.grant.alias)],
        ),
        input_tokens=estimate_input(found.route.upstream, body),
        output_tokens=most_output(call.payload) or None,
        candidates=candidates,
        cache=cached,
        pii=call.pii,
        refused=None if refused is None else Refusal(status=refused.status, code=refused.code, message=refused.message),
    )


def _redact(call: Call, grant: Grant) -> None:
    """What is done about personal data in it. Raises PiiBlocked."""
    if grant.pii is None:
        return
    redacted = redact_now(grant.pii, call.payload.body, call.key.tenant)
    call.pii = redacted.told
    refusal = redacted.refusal()
    if refusal is not None:
        raise refusal
    if redacted.body is not call.payload.body:
        check_body(call, Reading(redacted.body))


def _cached(call: Call, grant: Grant, answers: Answers | None) -> Cached:
    """Raises InvalidRequest, NotCached."""
    if grant.cache == "off" or not caches_for(call):
        return Cached(mode=grant.cache, verdict="off")
    body = decode_body(call.payload)
    plan = plan_for(call, grant.cache, body)
    if plan is None or body is None:
        return Cached(mode=grant.cache, verdict="bypass")
    try:
        plan.digest = Keys().key(call, grant.identity, body)
    except ValueError:
        return Cached(mode=grant.cache, verdict="bypass")  # a number of thousands of digits
    verdict: Verdict = "cacheable"
    if answers is not None:
        verdict = "memory" if plan.look and answers.recall(plan, call.payload) is not None else "miss"
    return Cached(mode=grant.cache, verdict=verdict, key=plan.digest.hex())


def _candidates(call: Call) -> list[Candidate]:
    """Every upstream of the name and its fallbacks, those that would not be asked too. Raises ModelNotFound,
    UnsupportedRoute.
    """
    resolution = call.state.router.resolve(call.payload.model, call.head.route)
    all_of: list[tuple[For, tuple[Choice, ...]]] = [
        ("", (resolution.own,)),
        ("any", resolution.fallbacks),
        ("context_length", resolution.context_length),
        ("content_policy", resolution.content_policy),
    ]
    return [each for purpose, choices in all_of for choice in choices for each in _of_choice(call, choice, purpose)]


def _of_choice(call: Call, choice: Choice, purpose: For) -> list[Candidate]:
    group, now = choice.group, perf_counter()
    if group.strategy == "cost":
        group.reprice(size_of(call))
    scores = group.balancer.scores(now, prefix_of(call) if group.strategy == "affinity" else 0)
    granted, full, limited = granted_of(call.key, Choice(group)), choice.full(), choice.limited(now)
    tokens, most = estimate_input(call.head.route.upstream, call.payload.body), most_output(call.payload) or None
    hedges = call.state.settings.resilience.hedge.enabled and len(group.upstreams) > 1 and may_hedge(call)
    found = []
    for place, upstream in enumerate(group.upstreams):
        member, price = group.members[place], upstream.price
        rests = upstream.provider.resting(upstream.model, now)[0]
        excluded, detail = _excluded(call, upstream, granted.mask >> place & 1, member, full >> place & 1)
        found.append(
            Candidate(
                upstream=upstream.names[0],
                alias=group.alias,
                fallback=purpose,
                strategy=group.strategy,
                weight=group.weights[place],
                first=False,
                api=_api(call, upstream),
                excluded=excluded,
                detail=detail,
                avoided=bool(limited >> place & 1),
                score=scores[place],
                breaker=member.state,
                ready_s=max(rests, member.retry_after(now)),
                in_flight=member.in_flight,
                error_rate=member.error_rate,
                first_content_s=member.ttfc,
                seconds_per_token=member.seconds_per_token,
                late_s=late_s if hedges and (late_s := member.late_s(call.payload.stream)) >= 0.0 else None,
                input_usd=None if price is None else price.cost(Usage(tokens, 0)) / PICO,
                at_most_usd=None if price is None or most is None else price.cost(Usage(tokens, most)) / PICO,
            )
        )
    return found


def _excluded(call: Call, upstream: Upstream, granted: int, member: Member, full: int) -> tuple[Reason, str]:
    """Why an upstream would not be asked, and more of it."""
    provider = upstream.provider
    rests, status = provider.resting(upstream.model, perf_counter())
    if not provider.serves(call.head.route):
        return "endpoint", f"a provider of the {provider.dialect} dialect does not serve it"
    if not granted:
        return "key", f"the key '{call.key.id}' may not use it"
    if member.drained:
        return "drained", "an operator has taken it out"
    if rests:
        return "resting", f"the provider answered {status} and asked for a wait"
    if not member.allows(perf_counter()):
        return "breaker", "it lets nothing through now"
    if full:
        return "full", "it has as many requests in flight as it may"
    unsaid = _unsaid(call, upstream)
    return ("translation", unsaid) if unsaid else ("", "")


def _api(call: Call, upstream: Upstream) -> str:
    provider, route = upstream.provider, call.head.route
    return asked_by(route, provider.dialect, upstream.facts, call.payload) if provider.serves(route) else ""


def _unsaid(call: Call, upstream: Upstream) -> str:
    """Why the request cannot be said in the provider's dialect; "" where it can. A large one is not tried."""
    if len(call.body) > LARGE:
        return ""
    try:
        upstream.provider.crossing(call, upstream.model, upstream.facts)
    except InvalidRequest as error:
        return error.message
    return ""


def _marked(call: Call, candidates: list[Candidate]) -> list[Candidate]:
    """The same, with the one that would be asked first."""
    place = _first(call, candidates)
    return [msgspec.structs.replace(each, first=n == place) for n, each in enumerate(candidates)]


def _first(call: Call, candidates: list[Candidate]) -> int:
    """Its place, -1 for none: as `edge.upstreams.choice.Candidates` has it, and past those that refuse to translate."""
    grant, tie = call.grant, tie_of(call)
    if tie == NAMES:
        names = [candidate.upstream for candidate in candidates]
        targets = targets_of(call, call.key.tenant or call.key.id)
        return names.index(targets[0][0].names[0]) if targets else -1
    if tie != FREE and leans(call):
        own = grant.choices[0]
        found = _place(call, own, candidates, own.unsealing(), panic=False)
        if found >= 0:
            return found
    for limited, panic in ((True, False), (False, False), (False, True)):
        before = 0
        for choice in grant.choices:
            barred = choice.limited(perf_counter()) if limited else 0
            found = _place(call, choice, candidates[before:], barred, panic=panic)
            if found >= 0:
                return before + found
            before += len(choice.group.upstreams)
    return -1


def _place(call: Call, choice: Choice, candidates: list[Candidate], barred: int, *, panic: bool) -> int:
    """Whom a choice, of whose upstreams the `candidates` are the first, would pick: its place, -1 for nobody."""
    now, balancer = perf_counter(), choice.group.balancer
    barred |= choice.full()
    for place in range(len(choice.group.upstreams)):
        if not choice.mask >> place & 1 or candidates[place].excluded == "translation":
            barred |= 1 << place
    if panic:
        return int(balancer.least_bad(now, barred))
    return int(balancer.peek(now, prefix_of(call) if choice.strategy == "affinity" else 0, barred))


def table(found: Explanation) -> list[str]:
    """The lines that tell it to people."""
    limits = found.limits
    said = [
        f"{limits.requests_per_minute} requests a minute" if limits.requests_per_minute is not None else "",
        f"{limits.requests_left} left" if limits.requests_left is not None else "",
        f"{limits.concurrency} at a time" if limits.concurrency is not None else "",
        *[quota_said(each) for each in limits.quotas],
    ]
    out = "" if found.output_tokens is None else f", at most {found.output_tokens} out"
    lines = [
        f"request    POST {found.endpoint}{', a stream' if found.stream else ''}",
        f"key        {f'{found.key}, of tenant {found.tenant}' if found.key else 'none: whoever may use everything'}",
        f"limits     {', '.join(each for each in said if each) or 'none'}",
        f"model      {found.model}{', an alias' if found.alias else ''}",
        f"tokens     about {found.input_tokens} in{out}",
        f"cache      {found.cache.mode}: {found.cache.verdict}{f', key {found.cache.key}' if found.cache.key else ''}",
    ]
    own = next((route.api for route in ROUTES.values() if route.endpoint == found.endpoint), "")
    for each in found.candidates:
        verdict = "not asked" if each.excluded else "asked first" if each.first else "asked next"
        if each.api in API_DIALECTS and each.api != own:
            verdict += f", by {each.api}"
        what = {"": "upstream", "any": "fallback"}.get(each.fallback, each.fallback)
        lines.append(f"{what:10} {each.upstream}: {verdict}, {_standing(each)}")
    if found.pii:
        lines.insert(6, f"pii        {found.pii}")
    if found.refused is not None:
        lines.append(f"refused    {found.refused.status} {found.refused.code}: {found.refused.message}")
    return lines


def _standing(each: Candidate) -> str:
    parts = [f"{each.excluded} ({each.detail})"] if each.excluded else ["avoided"] if each.avoided else []
    parts.append(f"{each.strategy} {each.score:.6g}, breaker {each.breaker}, {each.in_flight} in flight")
    if each.ready_s:
        parts.append(f"ready in {each.ready_s:.1f} s")
    if each.first_content_s is not None:
        parts.append(f"first content after {each.first_content_s * 1000:.0f} ms, {each.error_rate:.0%} failures")
    if each.input_usd is not None:
        most = "" if each.at_most_usd is None else f", at most {dollars(each.at_most_usd)}"
        parts.append(f"{dollars(each.input_usd)} for the input{most}")
    return ", ".join(parts)


def dollars(amount: float) -> str:
    return f"${usd(round(amount * PICO)).decode()}"


def quota_said(quota: Left) -> str:
    """A limit on tokens or money in a few words."""
    said = []
    if quota.tokens_per_minute is not None:
        left = f" ({quota.tokens_left} left)" if quota.tokens_left is not None else ""
        said.append(f"{quota.tokens_per_minute} tokens a minute{left}")
    if quota.budget_usd is not None:
        left = f" ({quota.left_usd:.6f} left)" if quota.left_usd is not None else ""
        said.append(f"{quota.budget_usd:g} USD a {quota.per}{left}")
    return f"{' and '.join(said)} of the {quota.scope} '{quota.name}'"
