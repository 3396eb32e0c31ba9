"""A file with a line for each request: its shape, its time and what became of it, and nothing that it says.

What stands for a prompt is a digest, its size and its tokens. Lines are written by a thread of their own
(`edge.telemetry.writer`): a slow or full disk costs lines, which are counted, and no request waits. All workers append
to one file; at its bound it is renamed to ``FILE.1``, in place of the one before.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from time import perf_counter, time

import msgspec
from xxhash import xxh3_128_digest

from edge import config
from edge.call import Call
from edge.dialects.estimate import tokens_allowed
from edge.errors import PiiBlocked
from edge.hooks import RequestRecord
from edge.telemetry.lines import readable
from edge.telemetry.writer import LineWriter, write_all
from edge.upstreams.likeness import prefix_of
from edge.upstreams.ties import tie_of
from edge.upstreams.tried import Tried

__all__ = ["FORMAT", "SECOND_NS", "Began", "RotatedFile", "TraceFile", "Traced", "Try", "nanoseconds", "reading_of"]

FORMAT = 2
"""Of the lines. Those of 1 had their times in seconds of the wall clock, which are not as exact as decisions are."""
SECOND_NS = 1_000_000_000
_encode = msgspec.json.Encoder().encode


class Began(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="began"):
    """A worker began at ``at``, in seconds of the wall clock, when its machine's clock (``perf_counter``) stood at
    ``clock_ns``. ``seed`` is that of the dice that pick upstreams; ``format`` is `FORMAT`.
    """

    format: int
    at: float
    clock_ns: int
    worker: int
    seed: int


class Try(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request to a provider. In nanoseconds from the request's ``at_ns``: ``begun_ns``, when the upstream was
    picked, ``content_ns``, a stream's first content, ``refused_ns``, the head of an answer of 400 or above,
    ``ended_ns``, and ``rested_ns``, when the time had come to ask the same upstream again; 0 for never.
    ``health``, ``after_s`` (its ``seconds``), ``asked_s`` and ``turned`` are as in `edge.upstreams.tried.Tried`.
    """

    provider: str
    model: str
    status: int = 0
    error: str = ""
    kind: str = ""
    health: str = ""
    begun_ns: int = 0
    content_ns: int = 0
    refused_ns: int = 0
    ended_ns: int = 0
    rested_ns: int = 0
    after_s: float = -1.0
    asked_s: float = 0.0
    turned: int = 0


class Traced(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event", tag="request"):
    """A finished request. ``at_ns`` is when the end of its head had come, in nanoseconds of the machine's clock, as the
    worker read it: so whoever decides the same again does so at the very same moments. ``asked_ns`` counts from there
    to when an upstream was to be picked, 0 for never, ``duration_s`` and the like to the end; ``first_content_s`` is
    0.0 where nothing was relayed.

    ``body`` is a digest of the body, ``prefix`` of what a conversation has in common, both keyed with `State.salt` and
    "" where personal data was not put out of them, ``size`` the body's bytes; ``cache_key``, keyed as well, is "" where
    the cache had no part in it. ``most_tokens`` is what the request lets be written, 0 where it says nothing;
    ``tells_usage`` of a stream, that it asks for its tokens. ``cost`` is in 1e-12 USD, -1 where it is not known. The
    others are as in `edge.hooks.RequestRecord`.
    """

    at_ns: int
    id: str
    worker: int
    endpoint: str
    status: int
    outcome: str
    key: str = ""
    tenant: str = ""
    model: str = ""
    alias: str = ""
    stream: bool = False
    tells_usage: bool = False
    size: int = 0
    body: str = ""
    prefix: str = ""
    most_tokens: int = 0
    cache: str = ""
    cache_key: str = ""
    provider: str = ""
    upstream_model: str = ""
    attempts: int = 0
    error: str = ""
    kind: str = ""
    input_tokens: int = -1
    output_tokens: int = -1
    cached_tokens: int = -1
    cost: int = -1
    estimated: bool = False
    duration_s: float = 0.0
    upstream_s: float = 0.0
    first_content_s: float = 0.0
    asked_ns: int = 0
    tie: int = 0
    tries: list[Try] = []


class RotatedFile:
    """Appends to the file at `path`, of at most `most` bytes, and renames it to ``path.1`` before it would have more.
    Several processes may do so at a time: each looks, under a lock, whether the file is still the one at that path.
    """

    def __init__(self, path: str, most: int) -> None:
        self._path = Path(path)
        self._most = most

    def write(self, text: str) -> None:
        """Append whole lines. Raises OSError."""
        data = text.encode()
        while not self._append(data):
            pass

    def flush(self) -> None:
        """Nothing is kept back."""

    def _append(self, data: bytes) -> bool:
        """False where the file was renamed meanwhile, or had to be."""
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            found = os.fstat(file)
            try:
                there = self._path.stat()
            except FileNotFoundError:
                return False
            if (there.st_ino, there.st_dev) != (found.st_ino, found.st_dev):
                return False
            if found.st_size and found.st_size + len(data) > self._most:
                self._path.replace(f"{self._path}.1")
                return False
            write_all(file, data)
            return True
        finally:
            os.close(file)


class TraceFile:
    """Is told of each finished call. `tell` gets the number of lost lines."""

    def __init__(self, settings: config.Telemetry, worker: int, seed: int, tell: Callable[[int], object]) -> None:
        """`settings` name a file; `seed` is that of `edge.state.build_state`."""
        self._began = worker, seed
        self._writer = LineWriter(RotatedFile(settings.trace_file or "", settings.trace_max_bytes), tell)

    def start(self) -> None:
        """From here on, lines are written by a thread."""
        self._writer.start()
        worker, seed = self._began
        clock_ns = nanoseconds(perf_counter())
        self._writer.put(_encode(Began(format=FORMAT, at=time(), clock_ns=clock_ns, worker=worker, seed=seed)))

    def stop(self) -> None:
        """Write what is queued."""
        self._writer.stop()

    def call_done(self, call: Call, record: RequestRecord) -> None:
        """A call is finished. Called on the event loop: does not wait."""
        usage, payload, lookup, salt = record.usage, call.payload, call.lookup, call.state.salt
        # A body is told of as it was sent on: not one that has not been looked through, or that was blocked for what is
        # in it.
        at_ns = nanoseconds(call.received_at)
        sent = bool(payload.body) and call.unseen is None and record.error_code != PiiBlocked.code
        traced = Traced(
            at_ns=at_ns,
            id=record.request_id,
            worker=self._began[0],
            endpoint=record.endpoint,
            status=record.status,
            outcome=record.outcome,
            key=record.key_id,
            tenant=record.tenant,
            model=readable(record.asked),
            alias=record.alias,
            stream=record.stream,
            tells_usage=payload.include_usage,
            size=len(payload.body),
            body=keyed(xxh3_128_digest(payload.body), salt) if sent else "",
            prefix=f"{prefix_of(call):016x}" if sent else "",
            most_tokens=tokens_allowed(payload),
            cache=record.cache,
            cache_key=keyed(lookup.plan.digest, salt) if lookup is not None else "",
            provider=record.provider or record.stored_provider,
            upstream_model=record.upstream_model or record.stored_model,
            attempts=record.attempts,
            error=record.error_code,
            kind=record.error_kind,
            input_tokens=usage.input if usage is not None else -1,
            output_tokens=usage.output if usage is not None else -1,
            cached_tokens=usage.cache_read if usage is not None else -1,
            cost=record.cost,
            estimated=record.estimated,
            duration_s=round(record.duration_s, 6),
            upstream_s=round(record.upstream_s, 6),
            first_content_s=round(record.time_to_first_content_s, 6),
            asked_ns=since(call.ledger.asked_at, at_ns),
            tie=tie_of(call) if sent else 0,
            tries=[told(tried, at_ns) for tried in call.ledger.tries],
        )
        self._writer.put(_encode(traced))


def keyed(digest: bytes, salt: bytes) -> str:
    """A digest by which the same is found to be the same, and nobody can try what it is of."""
    return blake2b(digest, digest_size=16, key=salt).hexdigest()


def nanoseconds(reading: float) -> int:
    """A reading of ``perf_counter`` in nanoseconds: `reading_of` gives it back, bit for bit."""
    above, below = reading.as_integer_ratio()
    return (2 * above * SECOND_NS + below) // (2 * below)


def reading_of(nanoseconds: int) -> float:
    """As ``perf_counter`` makes it of the machine's nanoseconds."""
    return nanoseconds / SECOND_NS


def since(reading: float, at_ns: int) -> int:
    """The nanoseconds to a reading; 0 for one that is none."""
    return nanoseconds(reading) - at_ns if reading else 0


def told(tried: Tried, at_ns: int) -> Try:
    """An attempt of a request that came at `at_ns`."""
    return Try(
        provider=tried.provider.name,
        model=readable(tried.upstream.model),
        status=tried.status,
        error=tried.code,
        kind=tried.kind,
        health=tried.health,
        begun_ns=since(tried.begun, at_ns),
        content_ns=since(tried.content_at, at_ns),
        refused_ns=since(tried.refused_at, at_ns),
        ended_ns=since(tried.ended, at_ns),
        rested_ns=since(tried.rested_at, at_ns),
        after_s=tried.seconds,
        asked_s=tried.asked_s,
        turned=tried.turned,
    )
