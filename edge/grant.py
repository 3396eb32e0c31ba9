"""What a key gets for a model's name at an endpoint: decided once under one configuration, and looked up after."""

from __future__ import annotations

from edge.config import CacheMode
from edge.guard.answers import Watch
from edge.guard.policy import Policy
from edge.guard.quotas import Quotas
from edge.terms import Granted
from edge.upstreams.choice import Choice

__all__ = ["Grant"]


class Grant(Granted):
    """``pii`` is what is done about personal data in the request, ``answers`` in what is answered, None for nothing;
    ``quotas`` are the tokens and the money that its requests count against, None where they do not; ``content`` masks
    what a trace tells of what a request says, None where it tells nothing. ``cache`` says how the answers are cached,
    with ``identity`` as the part of their cache key that is not the request. It never changes.
    """

    def __init__(
        self,
        alias: str,
        label: str,
        choices: tuple[Choice, ...],
        cache: CacheMode = "off",
        identity: bytes = b"",
        context_length: tuple[Choice, ...] = (),
        content_policy: tuple[Choice, ...] = (),
        pii: Policy | None = None,
        answers: Policy | None = None,
        quotas: Quotas | None = None,
        content: Policy | None = None,
    ) -> None:
        Granted.__init__(self, alias, label, choices, context_length, content_policy)
        self.cache: CacheMode = cache
        self.identity = identity
        self.pii = pii
        self.answers = answers
        self.quotas = quotas
        self.content = content

    def watch(self) -> Watch | None:
        return None if self.answers is None else Watch(self.answers)
