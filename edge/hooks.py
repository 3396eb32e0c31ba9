"""What the gateway tells telemetry about each request: one record, once.

``edge/telemetry`` implements `Hooks`; the command line and the server wire it up; nothing below them imports it.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from edge._fast import Series

Counts = tuple[int, int, int, int, int, int, int, int, int, int, int]

NO_WARNINGS: frozenset[str] = frozenset()
MAX_COUNT = 1 << 53
"""Tokens: beyond it a float, which metrics are, cannot tell one from the next."""


COUNTS = (
    *("input", "output", "cache_read", "cache_write", "reasoning", "cache_write_long"),
    *("audio_input", "audio_output", "image_input", "image_output", "web_searches"),
)
"""The names of the bare counts of a `Usage`, in the order of `Usage.counts`."""


class Usage:
    """What one answer used, as its provider counted it. -1 marks a count of the first five that the provider did not
    give.

    ``input`` excludes what was read from or written to the provider's prompt cache; ``output`` includes reasoning. Of
    ``cache_write``, ``cache_write_long`` is what is kept for the longer time (an hour at Anthropic, twelve at OpenAI,
    where the shorter ones are five and thirty minutes). ``audio_*`` and ``image_*`` are parts of input (cached or not)
    and output. ``web_searches`` are charged one by one.

    ``service_tier``, ``speed`` and ``geo`` are the provider's words for how it answered, "" where it says nothing.
    ``parts`` are the samplings that made the answer, where it tells of several. It never changes;
    counts are below 2**63.
    """

    def __init__(
        self,
        input: int = -1,  # noqa: A002 - as providers call it
        output: int = -1,
        cache_read: int = -1,
        cache_write: int = -1,
        reasoning: int = -1,
        cache_write_long: int = 0,
        audio_input: int = 0,
        audio_output: int = 0,
        image_input: int = 0,
        image_output: int = 0,
        web_searches: int = 0,
        service_tier: str = "",
        speed: str = "",
        geo: str = "",
        parts: tuple[Part, ...] = (),
    ) -> None:
        self.input = input
        self.output = output
        self.cache_read = cache_read
        self.cache_write = cache_write
        self.reasoning = reasoning
        self.cache_write_long = cache_write_long
        self.audio_input = audio_input
        self.audio_output = audio_output
        self.image_input = image_input
        self.image_output = image_output
        self.web_searches = web_searches
        self.service_tier = service_tier
        self.speed = speed
        self.geo = geo
        self.parts = parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Usage) and self._all() == other._all()

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return f"Usage{self._all()}"

    def _all(self) -> tuple[object, ...]:
        return (*self.counts(), self.service_tier, self.speed, self.geo, self.parts)

    def counts(self) -> Counts:
        """The bare counts, in their order."""
        return (
            *(self.input, self.output, self.cache_read, self.cache_write, self.reasoning, self.cache_write_long),
            *(self.audio_input, self.audio_output, self.image_input, self.image_output, self.web_searches),
        )

    def bare(self) -> Usage:
        """The bare counts alone."""
        bare = Usage.__new__(Usage)
        bare.input = self.input
        bare.output = self.output
        bare.cache_read = self.cache_read
        bare.cache_write = self.cache_write
        bare.reasoning = self.reasoning
        bare.cache_write_long = self.cache_write_long
        bare.audio_input = self.audio_input
        bare.audio_output = self.audio_output
        bare.image_input = self.image_input
        bare.image_output = self.image_output
        bare.web_searches = self.web_searches
        bare.service_tier = bare.speed = bare.geo = ""
        bare.parts = ()
        return bare

    def told(self, input: int, output: int) -> Usage:  # noqa: A002
        """The same with another input and output."""
        return Usage(
            input,
            output,
            self.cache_read,
            self.cache_write,
            self.reasoning,
            self.cache_write_long,
            self.audio_input,
            self.audio_output,
            self.image_input,
            self.image_output,
            self.web_searches,
            self.service_tier,
            self.speed,
            self.geo,
            self.parts,
        )

    def merged(self, newer: Usage) -> Usage:
        """Counts in streams are cumulative: a newer count replaces an older one. One that is missing does not, nor does
        a zero, which some servers send for what they do not repeat.
        """
        return Usage(
            latest(self.input, newer.input),
            latest(self.output, newer.output),
            latest(self.cache_read, newer.cache_read),
            latest(self.cache_write, newer.cache_write),
            latest(self.reasoning, newer.reasoning),
            latest(self.cache_write_long, newer.cache_write_long),
            latest(self.audio_input, newer.audio_input),
            latest(self.audio_output, newer.audio_output),
            latest(self.image_input, newer.image_input),
            latest(self.image_output, newer.image_output),
            latest(self.web_searches, newer.web_searches),
            newer.service_tier or self.service_tier,
            newer.speed or self.speed,
            newer.geo or self.geo,
            newer.parts or self.parts,
        )

    def plus(self, other: Usage) -> Usage:
        """The sum of both. A count that one of them lacks is the other's."""
        return Usage(
            total(self.input, other.input),
            total(self.output, other.output),
            total(self.cache_read, other.cache_read),
            total(self.cache_write, other.cache_write),
            total(self.reasoning, other.reasoning),
            total(self.cache_write_long, other.cache_write_long),
            total(self.audio_input, other.audio_input),
            total(self.audio_output, other.audio_output),
            total(self.image_input, other.image_input),
            total(self.image_output, other.image_output),
            total(self.web_searches, other.web_searches),
        )

    def settled(self) -> Usage:
        """The bare counts, with those of the parts that the sums leave out: what was charged for."""
        if not (self.parts or self.service_tier or self.speed or self.geo):
            return self
        whole = self.bare()
        for part in self.parts:
            if not part.inside:
                whole = whole.plus(part.counts)
        return whole

    @property
    def sound(self) -> bool:
        """Whether these are bare counts, and such as a provider can have given."""
        first, more = self.counts()[:5], self.counts()[5:]
        words = self.service_tier or self.speed or self.geo or self.parts
        return min(first) >= -1 and min(more) >= 0 and max(*first, *more) <= MAX_COUNT and not words


class Part(Struct, frozen=True, gc=False, omit_defaults=True):
    """One of the samplings behind an answer, such as a turn with a provider's own tool, or the compaction of a
    conversation: a request of its own to the model that ``counts`` are priced by. ``model`` is "" where that is the
    answer's. ``inside`` says that the answer's sums have it in them.
    """

    counts: Usage
    model: str = ""
    inside: bool = False


def latest(older: int, newer: int) -> int:
    return newer if newer > 0 or older < 0 else older


def total(one: int, other: int) -> int:
    return max(one, other) if one < 0 or other < 0 else min(one + other, MAX_COUNT)


class Attempted(Struct, frozen=True, gc=False, omit_defaults=True):
    """One attempt at a finished request, at ``upstream``, "provider/model". Times are in milliseconds, ``after_ms``
    from the end of the request's headers. ``outcome`` is ok, failed, or given_up: another's answer was taken, or the
    client left. ``status`` is that of its answer, 0 where none came; ``error`` and ``kind`` are those of a failure.
    """

    upstream: str
    outcome: str
    after_ms: float
    took_ms: float
    status: int = 0
    error: str = ""
    kind: str = ""


class RequestRecord:
    """One finished request. Times in seconds. Nobody changes it.

    ``endpoint``, ``provider`` and ``model`` are fit for metric labels: they come from the configuration, never from the
    client. ``upstream_model`` is the name the provider was asked for, ``attempts`` how many upstreams were tried.

    ``outcome`` is ok, error or cancelled; ``error_code`` and ``error_kind`` are "" when ok. ``time_to_first_content_s``
    is counted from the end of the request's headers, 0.0 where nothing was relayed. ``warnings`` names what of the
    provider's answer a translation could not make sense of.

    ``usage`` is what providers charge for, ``cost`` the price of it in 1e-12 USD, -1 where that is not known; with
    ``estimated`` both are estimates. ``cache`` says where the answer came from: memory, redis or joined (another
    request's upstream call); miss or bypass for a provider's answer; "" where there is no cache. Of a stored answer,
    ``stored_provider`` and ``stored_model`` are who gave it.

    ``asked`` is the model as the client named it, ``alias`` the same where the configuration has such an alias, and
    ``peer`` the client's address: fit for a log, and for no label. ``pii`` is what was found in its body, as kinds and
    counts; ``hedge`` what became of a second attempt beside another, ``rescued`` whether a stream
    that broke off was continued, ``route`` how the upstreams stood when the first was picked, as JSON, b"" but for the
    few of which that is told (`edge.ledger.Ledger`); ``trace_id`` is that of the trace that it is in, "" for none.
    ``tried`` are the attempts where there were several, or one failed; ``attributes`` are those of `edge.head.Head`,
    and what `edge.ledger.Ledger` has of particulars.
    """

    def __init__(
        self,
        request_id: str,
        endpoint: str,
        dialect: str,
        provider: str,
        model: str,
        upstream_model: str,
        attempts: int,
        key_id: str,
        tenant: str,
        status: int,
        stream: bool,
        outcome: str,
        error_code: str,
        error_kind: str,
        duration_s: float,
        upstream_s: float,
        overhead_s: float,
        time_to_first_content_s: float,
        usage: Usage | None,
        warnings: frozenset[str] = NO_WARNINGS,
        cost: int = -1,
        estimated: bool = False,
        cache: str = "",
        stored_provider: str = "",
        stored_model: str = "",
        asked: str = "",
        alias: str = "",
        peer: str = "",
        pii: str = "",
        request_bytes: int = 0,
        response_bytes: int = 0,
        hedge: str = "",
        rescued: bool = False,
        route: bytes = b"",
        trace_id: str = "",
        tried: tuple[Attempted, ...] = (),
        attributes: bytes = b"",
    ) -> None:
        self.request_id = request_id
        self.endpoint = endpoint
        self.dialect = dialect
        self.provider = provider
        self.model = model
        self.upstream_model = upstream_model
        self.attempts = attempts
        self.key_id = key_id
        self.tenant = tenant
        self.status = status
        self.stream = stream
        self.outcome = outcome
        self.error_code = error_code
        self.error_kind = error_kind
        self.duration_s = duration_s
        self.upstream_s = upstream_s
        self.overhead_s = overhead_s
        self.time_to_first_content_s = time_to_first_content_s
        self.usage = usage
        self.warnings = warnings
        self.cost = cost
        self.estimated = estimated
        self.cache = cache
        self.stored_provider = stored_provider
        self.stored_model = stored_model
        self.asked = asked
        self.alias = alias
        self.peer = peer
        self.pii = pii
        self.request_bytes = request_bytes
        self.response_bytes = response_bytes
        self.hedge = hedge
        self.rescued = rescued
        self.route = route
        self.trace_id = trace_id
        self.tried = tried
        self.attributes = attributes

    def kind(self) -> tuple[object, ...]:
        """What it has in common with others, for which the same is to be counted and logged but for the numbers."""
        return (
            *(self.endpoint, self.model, self.provider, self.status, self.stream, self.error_kind, self.tenant),
            *(self.key_id, self.asked, self.alias, self.upstream_model, self.stored_provider, self.stored_model),
            *(self.attempts, self.error_code, self.cache, self.outcome, self.hedge, self.rescued),
        )

    def alike(self, other: RequestRecord) -> bool:
        """Whether both are of one kind."""
        # Mostly the words are the same objects, which is seen without a call.
        return (
            self.status == other.status
            and self.stream == other.stream
            and self.attempts == other.attempts
            and self.rescued == other.rescued
            and (self.endpoint is other.endpoint or self.endpoint == other.endpoint)
            and (self.model is other.model or self.model == other.model)
            and (self.provider is other.provider or self.provider == other.provider)
            and (self.error_kind is other.error_kind or self.error_kind == other.error_kind)
            and (self.tenant is other.tenant or self.tenant == other.tenant)
            and (self.key_id is other.key_id or self.key_id == other.key_id)
            and (self.asked is other.asked or self.asked == other.asked)
            and (self.alias is other.alias or self.alias == other.alias)
            and (self.upstream_model is other.upstream_model or self.upstream_model == other.upstream_model)
            and (self.stored_provider is other.stored_provider or self.stored_provider == other.stored_provider)
            and (self.stored_model is other.stored_model or self.stored_model == other.stored_model)
            and (self.error_code is other.error_code or self.error_code == other.error_code)
            and (self.cache is other.cache or self.cache == other.cache)
            and (self.outcome is other.outcome or self.outcome == other.outcome)
            and (self.hedge is other.hedge or self.hedge == other.hedge)
        )


class Recorder:
    """What tells of requests of one kind. A compiled class has no abstract methods."""

    def done(self, record: RequestRecord) -> None:
        """A request of that kind is finished. Called on the event loop: must not wait and must not raise."""
        raise NotImplementedError


class FailedAttempt(Struct, frozen=True, gc=False):
    """One request to a provider that failed. ``provider``, ``model`` and ``upstream_model`` are as in `RequestRecord`.

    ``status`` is that of its answer, 0 where none came; ``error_code`` the gateway's own error, "" where the answer was
    one itself; ``error_kind`` the kind of either. ``waited_s`` is the time from its beginning to its end, ``said``
    what the provider said, fit for a log. ``next_provider`` and ``next_model`` are asked next, "" where nobody is.
    ``final``: the request fails with it, and is told of as such. ``trace_id`` as in `RequestRecord`.
    """

    request_id: str
    provider: str
    model: str
    upstream_model: str
    status: int
    error_code: str
    error_kind: str
    waited_s: float
    said: str
    next_provider: str
    next_model: str
    final: bool
    trace_id: str = ""


class Hooks:
    """Called on the event loop: must not wait and must not raise."""

    def request_done(self, record: RequestRecord) -> None:
        """Called once for each request."""
        raise NotImplementedError

    def attempt_failed(self, attempt: FailedAttempt) -> None:
        """Called for each attempt that failed, before the request's own end."""
        raise NotImplementedError


class Observer(Protocol):
    """One of those whom `edge.telemetry.Fanout`, which is the hooks, tells."""

    def recorder(self, record: RequestRecord) -> Recorder | None:
        """What tells of requests of the kind of `record`; None where nothing is to be told of them."""
        ...

    def attempt_failed(self, attempt: FailedAttempt) -> None:
        """Must not wait and must not raise."""
        ...


class Meter(Protocol):
    """What is counted beside requests. As hooks, these must not wait and must not raise.

    `metric` is a name that `edge/telemetry/families.py` lists, `labels` are the values of its labels in their order;
    they come from a closed set, never from a client.
    """

    def count(self, metric: str, *labels: str, amount: float = 1.0) -> None:
        """Add to a counter."""

    def bind(self, metric: str, *labels: str) -> Series:
        """One series, for who tells it something again and again."""
        ...

    def observe(self, metric: str, value: float, *labels: str) -> None:
        """Add one value to a histogram."""

    def level(self, metric: str, value: float, *labels: str) -> None:
        """Set a gauge, of which the values of all workers are added up."""
