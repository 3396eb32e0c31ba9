"""What the outside sees of the gateway's work. Implements the hooks; wired by the command line and the server."""

from __future__ import annotations

from edge.hooks import FailedAttempt, Hooks, RequestRecord

__all__ = ["Fanout"]


class Fanout:
    """Tells several hooks."""

    def __init__(self, *hooks: Hooks) -> None:
        self._hooks = hooks
        self._tell = tuple(hook.request_done for hook in hooks)

    def request_done(self, record: RequestRecord) -> None:
        for tell in self._tell:
            tell(record)

    def attempt_failed(self, attempt: FailedAttempt) -> None:
        for hook in self._hooks:
            hook.attempt_failed(attempt)
