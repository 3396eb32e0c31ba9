"""An upstream as this process sees it: how it does, what is in flight there, and its breaker.

`Member.begin` gives an :class:`Attempt` for each request sent, and the attempt takes one outcome. `now` is a monotonic
clock's seconds, 0 to 1e12; at what is no such time nothing is let through, and an outcome counts as of the latest time
seen. Use from one thread, as an event loop does.

The breaker (Nygard, Release It!, 2007) opens after `failures` failures in a row. What was begun before it opened says
nothing of the upstream now and is not heard, hence the generation. Half open, it lets `probes` requests at a time
through. An answer's first content closes it, since a stream may take minutes to end; but the open time, doubled each
time it opens up to `max_open_s`, falls back only when a whole answer has come. What is let through in panic, while it
is open, closes it too, or says nothing new: it opens once in its time, however often it is asked before.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from edge._fast import _cython as cython

if cython.compiled:
    from cython.cimports.edge._fast._quantile_c import Quantile
    from cython.cimports.libc.math import exp
else:
    from math import exp

    from edge._fast._quantile import Quantile

__all__ = ["EVENTS", "STATES", "TRANSITIONS", "Attempt", "Member"]

STATES = ("closed", "open", "half_open")
EVENTS = ("begin", "content", "success", "failure", "trip", "neutral", "cancel")

TRANSITIONS = {
    ("closed", "begin"): "closed",
    ("closed", "content"): "closed",
    ("closed", "success"): "closed",
    ("closed", "failure"): "closed",
    ("closed", "trip"): "open",
    ("closed", "neutral"): "closed",
    ("closed", "cancel"): "closed",
    ("open", "begin"): "half_open",
    ("open", "content"): "closed",
    ("open", "success"): "closed",
    ("open", "failure"): "open",
    ("open", "trip"): "open",
    ("open", "neutral"): "open",
    ("open", "cancel"): "open",
    ("half_open", "begin"): "half_open",
    ("half_open", "content"): "closed",
    ("half_open", "success"): "closed",
    ("half_open", "failure"): "open",
    ("half_open", "trip"): "open",
    ("half_open", "neutral"): "half_open",
    ("half_open", "cancel"): "half_open",
}
"""The breaker. `begin` is a request that was let through (in the open state: once its time is over), `content` an
answer's first content (in the open state: of what was let through in panic), `trip` the failure in a row that is one
too many; a 429 and a client's own 4xx are `neutral`."""

# Declared, so that it is no name of the module: an attempt that is dropped as the interpreter ends would not find it.
_NEXT = cython.declare(tuple, tuple([STATES.index(TRANSITIONS[state, event]) for state in STATES for event in EVENTS]))

_EVENTS = cython.declare(cython.Py_ssize_t, 7)
_CLOSED = cython.declare(cython.Py_ssize_t, 0)
_OPEN = cython.declare(cython.Py_ssize_t, 1)
_BEGIN = cython.declare(cython.Py_ssize_t, 0)
_CONTENT = cython.declare(cython.Py_ssize_t, 1)
_SUCCESS = cython.declare(cython.Py_ssize_t, 2)
_FAILURE = cython.declare(cython.Py_ssize_t, 3)
_TRIP = cython.declare(cython.Py_ssize_t, 4)
_NEUTRAL = cython.declare(cython.Py_ssize_t, 5)
_CANCEL = cython.declare(cython.Py_ssize_t, 6)

LATE = 0.95
"""Later than this share of an upstream's answers is late."""

_MAX_TIME = cython.declare(cython.double, 1e12)
_MAX_SAMPLE_S = cython.declare(cython.double, 86400.0)
# How long a client waits where all probes are in flight: their outcome may come at any time.
_PROBE_WAIT_S = cython.declare(cython.double, 1.0)
# One part in ten of the error rate is the latest outcome.
_ERROR_SHARE = cython.declare(cython.double, 0.1)
# Of a shorter answer the seconds per token would be the wait for its first one.
_MIN_TOKENS = cython.declare(cython.double, 16.0)
_MAX_TOKENS = cython.declare(cython.double, 1e9)


@cython.cclass
class Member:
    """One upstream; several balancers may share it. The types of its fields are in ``_member_c.pxd``.

    `key` tells it from others for affinity: 64 bits that stay the same over restarts, say a hash of its name. `decay_s`
    is the time constant of the averages (Finagle's default is 10 s, for answers that take milliseconds). A member whose
    breaker changes, or that is drained or restored, appends itself to `changes`, and not again before `heard` is
    called: who tells of members need not look at all of them. Raises ValueError for settings that make no sense.
    """

    def __init__(
        self,
        key: int = 0,
        failures: int = 5,
        open_s: float = 30.0,
        max_open_s: float = 300.0,
        probes: int = 1,
        decay_s: float = 60.0,
        changes: list[Member] | None = None,
    ) -> None:
        self._key = key & 0xFFFFFFFFFFFFFFFF
        self._changes = changes
        self._changed = False
        self._state = _CLOSED
        self._drained = False
        self._generation = self._failures = self._probing = self._in_flight = self._measured = 0
        self._ready = self._cool = self._latest = self._open_s = self._next_open_s = 0.0
        self._firsts = Quantile(LATE)
        self._wholes = Quantile(LATE)
        self._ttfc = self._ttfc_at = self._pace = self._pace_at = self._error_rate = 0.0
        self.configure(failures, open_s, max_open_s, probes, decay_s)

    def configure(
        self, failures: int, open_s: float, max_open_s: float, probes: int = 1, decay_s: float = 60.0
    ) -> None:
        """Change the settings and keep the rest: an open breaker stays open as long as it was to. Raises ValueError."""
        if not (1 <= failures <= 1_000_000 and 1 <= probes <= 1_000_000):
            raise ValueError("failures and probes are at least 1")
        if not (0.0 < open_s <= max_open_s <= 1e9 and 0.001 <= decay_s <= 1e9):
            raise ValueError("open_s is above 0, max_open_s at least as much, decay_s at least 0.001")
        grown: cython.double = self._next_open_s if self._next_open_s > self._open_s else 0.0
        self._limit = failures
        self._probes = probes
        self._open_s = open_s
        self._max_open_s = max_open_s
        self._decay_s = decay_s
        self._next_open_s = min(max(grown, self._open_s), self._max_open_s)

    def allows(self, now: cython.double) -> bool:
        """Whether `begin` would let a request through; changes nothing."""
        return self._allows(now)

    def begin(self, now: cython.double, panic: cython.bint = False) -> Attempt | None:
        """A request is sent; None where the breaker, or a Retry-After, does not let it through. In `panic`, which is
        where no upstream lets one through, an open breaker does before its time, for as many as it has probes.
        """
        if not (self._allows(now) or (panic and self._may_try(now))):
            return None
        attempt: Attempt = Attempt.__new__(Attempt)
        attempt._member = self
        attempt._open = True
        attempt._content = False
        attempt._probe = self._state != _CLOSED
        attempt._at = _tick(self, now)
        if attempt._probe:
            self._probing += 1
            if self._ready <= now:
                _move(self, _BEGIN, now)
        attempt._generation = self._generation
        self._in_flight += 1
        return attempt

    def cool_down(self, until: cython.double) -> None:
        """Let nothing through before `until`, which a Retry-After asked for. The later of two times stands; one that is
        not a time is not heard, and how long is too long is the caller's to say.
        """
        if self._cool < until <= _MAX_TIME:
            self._cool = until

    def retry_after(self, now: cython.double) -> float:
        """Seconds after which it may let a request through, 0.0 if it does now."""
        ready: cython.double = self._cool if self._state == _CLOSED else max(self._ready, self._cool)
        if ready > now:
            return ready - now
        return 0.0 if self._allows(now) else _PROBE_WAIT_S

    def hold(self, until: cython.double) -> None:
        """Another process has opened its breaker for this upstream until then, and so does this one."""
        if self._state != _OPEN:
            self._state = _OPEN
            self._generation += 1
            self._failures = 0
            _change(self)
        if self._ready < until <= _MAX_TIME:
            self._ready = until

    def ripen(self, now: cython.double) -> None:
        """It has been seen to answer otherwise: an open breaker lets its probes through from now on."""
        if self._state == _OPEN and self._ready > now:
            self._ready = now

    def drain(self) -> None:
        """Let nothing through until `restore`; what is in flight ends as it would."""
        self._drained = True
        _change(self)

    def restore(self) -> None:
        """Let requests through, as if it had never failed; not before a Retry-After is over."""
        self._drained = False
        self._state = _CLOSED
        self._failures = 0
        self._next_open_s = self._open_s
        self._ready = 0.0
        _change(self)

    def heard(self) -> None:
        """What has changed is known."""
        self._changed = False

    @property
    def key(self) -> int:
        return self._key

    @property
    def drained(self) -> bool:
        return self._drained

    @property
    def ready(self) -> float:
        """The time to which the breaker was opened last."""
        return self._ready

    @property
    def state(self) -> str:
        """One of `STATES`. It is open until the first request that is let through makes it half open."""
        return STATES[self._state]

    @property
    def opened(self) -> int:
        """How many times the breaker has opened."""
        return self._generation

    @property
    def probing(self) -> int:
        """How many probes are in flight that have shown nothing yet."""
        return self._probing

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @property
    def ttfc(self) -> float | None:
        """Average seconds to first content, drawn to its peaks; None before it is known."""
        return self._ttfc if self._measured & 1 else None

    @property
    def seconds_per_token(self) -> float | None:
        """Average seconds per token after first content, drawn to its peaks; None before it is known."""
        return self._pace if self._measured & 2 else None

    def took(self, stream: cython.bint, seconds: cython.double) -> None:
        """An answer took so long: to the first content of a `stream`, or to the end of one that is none."""
        if stream:
            self._firsts.add(seconds)
        else:
            self._wholes.add(seconds)

    def late_s(self, stream: cython.bint) -> float:
        """Seconds that all but one in twenty of its latest answers took; -1.0 before that is known."""
        return self._firsts.value() if stream else self._wholes.value()

    @property
    def error_rate(self) -> float:
        """Between 0 and 1, of the latest outcomes that were successes or failures."""
        return self._error_rate

    @cython.cfunc
    @cython.exceptval(check=False)
    def _allows(self, now: cython.double) -> cython.bint:
        return (self._state == _CLOSED or self._ready <= now) and self._may_try(now)

    @cython.cfunc
    @cython.exceptval(check=False)
    def _may_try(self, now: cython.double) -> cython.bint:
        if self._drained or not self._cool <= now <= _MAX_TIME:
            return False
        return self._state == _CLOSED or self._probing < self._probes


@cython.cfunc
@cython.exceptval(check=False)
def _tick(member: Member, now: cython.double) -> cython.double:
    """The latest time seen: `now`, unless that is before it or not a time."""
    if member._latest < now <= _MAX_TIME:
        member._latest = now
    return member._latest


@cython.cfunc
def _change(member: Member) -> object:
    """Something of it is to be told."""
    if member._changes is not None and not member._changed:
        member._changed = True
        member._changes.append(member)
    return None


@cython.cfunc
def _move(member: Member, event: cython.Py_ssize_t, now: cython.double) -> object:
    """What an event does to the breaker."""
    table: tuple = _NEXT
    if event == _FAILURE:
        member._failures += 1
        if member._failures >= member._limit:
            event = _TRIP
    elif event == _SUCCESS:
        member._failures = 0
        member._next_open_s = member._open_s
    state: cython.Py_ssize_t = table[member._state * _EVENTS + event]
    if state != member._state:
        member._state = state
        member._failures = 0
        _change(member)
        if event in (_TRIP, _FAILURE):
            member._generation += 1
            member._ready = max(member._ready, now + member._next_open_s)
            member._next_open_s = min(member._next_open_s * 2.0, member._max_open_s)
    return None


@cython.cfunc
def _measure(member: Member, ttfc: cython.bint, seconds: cython.double) -> object:
    """Take a sample of the time to first content, or of the seconds per token.

    Finagle's peak EWMA (loadbalancer/PeakEwma.scala): a peak counts at once and in full, all else by the time since the
    sample before. One that is not a duration is not taken.
    """
    if not 0.0 <= seconds <= _MAX_SAMPLE_S:
        return None
    what: cython.Py_ssize_t = 1 if ttfc else 2
    value: cython.double = member._ttfc if ttfc else member._pace
    at: cython.double = member._ttfc_at if ttfc else member._pace_at
    if not member._measured & what or seconds > value:
        value = seconds
    else:
        kept: cython.double = exp((at - member._latest) / member._decay_s)
        value = value * kept + seconds * (1.0 - kept)
    member._measured |= what
    if ttfc:
        member._ttfc = value
        member._ttfc_at = member._latest
    else:
        member._pace = value
        member._pace_at = member._latest
    return None


@cython.freelist(0)  # of one that is used again, CPython would not call `__del__` again
@cython.final
@cython.cclass
class Attempt:
    """One request to a member, made by `Member.begin`.

    It takes one outcome: `finished`, `failed`, `neutral` or `cancelled`. Each frees what the attempt holds and returns
    True; a second one changes nothing and returns False. One that is dropped without an outcome counts as cancelled, so
    that no mistake of a caller keeps a probe's place. The types of its fields are in ``_member_c.pxd``.
    """

    def __init__(self) -> None:
        self._open = self._probe = self._content = False
        self._at = 0.0

    @property
    def member(self) -> Member:
        return self._member

    def took(self, stream: cython.bint, seconds: cython.double) -> None:
        """As `Member.took`, of its member."""
        member: Member = self._member
        member.took(stream, seconds)

    def first_content(self, now: cython.double) -> bool:
        """The answer's first content is here; False for a second time, and after the outcome."""
        if not self._open or self._content:
            return False
        now = float(now)
        member: Member = self._member
        begun: cython.double = self._at
        self._content = True
        self._at = _tick(member, now)
        _measure(member, True, self._at - begun)
        self._tell(_CONTENT, self._at)
        return True

    def finished(self, now: cython.double, tokens: cython.double = 0.0, seconds: cython.double = -1.0) -> bool:
        """The whole answer is here, with so many output tokens (0: not known).

        `seconds` is how long the upstream took for it, from the first content on, or from the beginning where
        `first_content` was not called: an answer that came whole. Below 0: as the clock says. A caller whose client
        held up the stream knows better.
        """
        tokens = float(tokens)
        seconds = float(seconds)
        if not self._settle(_SUCCESS, now):
            return False
        member: Member = self._member
        if seconds < 0.0:
            seconds = member._latest - self._at
        if _MIN_TOKENS <= tokens <= _MAX_TOKENS:
            _measure(member, False, seconds / tokens)
        elif tokens < _MIN_TOKENS and not self._content:
            _measure(member, True, seconds)
        return True

    def failed(self, now: cython.double) -> bool:
        """No answer, half an answer, or one that says the upstream is at fault (5xx)."""
        return self._settle(_FAILURE, now)

    def neutral(self, now: cython.double) -> bool:
        """An answer that says nothing of the upstream's health: a 429, a client's own 4xx."""
        return self._settle(_NEUTRAL, now)

    def cancelled(self, now: cython.double) -> bool:
        """The client left, or another attempt was faster."""
        return self._settle(_CANCEL, now)

    def __del__(self) -> None:
        if self._open:
            self._settle(_CANCEL, 0.0)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _settle(self, outcome: cython.Py_ssize_t, now: cython.double) -> cython.bint:
        if not self._open:
            return False
        # What is no number is refused before anything changes, in the pure build too.
        now = float(now)
        self._open = False
        member: Member = self._member
        member._in_flight -= 1
        if outcome in (_SUCCESS, _FAILURE):
            error: cython.double = 1.0 if outcome == _FAILURE else 0.0
            member._error_rate += (error - member._error_rate) * _ERROR_SHARE
        self._tell(outcome, _tick(member, now))
        return True

    @cython.cfunc
    def _tell(self, event: cython.Py_ssize_t, now: cython.double) -> object:
        """Free the probe's place; move the breaker, unless it has opened since the attempt began."""
        member: Member = self._member
        if self._probe:
            self._probe = False
            member._probing -= 1
        if self._generation == member._generation:
            _move(member, event, now)
        return None
