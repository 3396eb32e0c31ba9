"""A request's place in a trace (W3C Trace Context): read from its head, and told to the providers that it asks.

https://www.w3.org/TR/trace-context-2/: a trace has an id of 16 bytes, each span of it one of 8; both are lower-case hex
here.
"""

from __future__ import annotations

import re
from random import getrandbits

__all__ = ["Sampling", "TraceContext", "fresh", "given"]

TRACEPARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-[\x21-\x7e]*)?"
)
"""Section 3.2. What stands behind the flags is of a later version, of which the beginning is read."""
TRACESTATE = re.compile(rb"[\t\x20-\x7e]{1,512}")
"""Section 3.3.1.5: at least 512 bytes go on. Longer ones, which nobody has to pass on, are left out."""
SAMPLED, RANDOM = 1, 2
"""The flags that there are (section 3.2.2.3); others are 0 in what goes on."""
FLAGS = ("00", "01", "02", "03")
ALL = "g"
"""Beyond any text of hexadecimal digits."""


class Sampling:
    """Which of the traces that begin here are sampled: a `share` of them, from 0 to 1, and the same ones wherever that
    is asked, since it is the id that decides, as OpenTelemetry's sampler by ratio has it.
    """

    def __init__(self, share: float) -> None:
        bound = round(share * (1 << 64))
        self._bound = ALL if bound >> 64 else format(bound, "016x")

    def takes(self, trace_id: str) -> bool:
        # Numbers of as many digits are in the order of their texts.
        return trace_id[16:] < self._bound


class TraceContext:
    """``trace_id`` is the trace's; ``parent_id`` the span of who has asked, "" where the trace begins here; ``flags``
    are two digits, ``sampled`` the one of them that says that the spans of this trace are kept. ``state`` is the
    caller's tracestate, b"" for none.
    """

    def __init__(self, trace_id: str, parent_id: str, flags: str, sampled: bool, state: bytes) -> None:
        self.trace_id = trace_id
        self.parent_id = parent_id
        self.flags = flags
        self.sampled = sampled
        self.state = state
        self._span_id = ""

    def span_id(self) -> str:
        """That of the request's own span: few are ever asked for it."""
        if not self._span_id:
            self._span_id = span_id()
        return self._span_id

    def line(self, span: str) -> bytes:
        """The line of a request's head by which the receiver's span is a child of `span`."""
        return f"traceparent: 00-{self.trace_id}-{span}-{self.flags}\r\n".encode()


def span_id() -> str:
    """A new one."""
    return (getrandbits(64) or 1).to_bytes(8, "big").hex()


def given(traceparent: bytes, tracestate: bytes | None) -> TraceContext | None:
    """The place that a caller gives a request; None where that is none (section 4.3: the trace begins anew, and its
    state is not looked at).
    """
    found = TRACEPARENT.fullmatch(traceparent)
    if found is None or (found[1] == b"00" and found.end(4) != len(traceparent)):
        return None
    flags = int(found[4], 16) & (SAMPLED | RANDOM)
    state = b"" if tracestate is None or not TRACESTATE.fullmatch(tracestate) else tracestate
    sampled = flags & SAMPLED != 0
    return TraceContext(found[2].decode(), found[3].decode(), FLAGS[flags], sampled, state)


def fresh(trace_id: str, sampling: Sampling) -> TraceContext:
    """The beginning of a trace, whose id was drawn at random."""
    sampled = sampling.takes(trace_id)
    return TraceContext(trace_id, "", FLAGS[SAMPLED | RANDOM] if sampled else FLAGS[RANDOM], sampled, b"")
