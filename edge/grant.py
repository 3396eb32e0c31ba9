"""What a key gets for a model's name at an endpoint: decided once under one configuration, and looked up after."""

from __future__ import annotations

from edge.config import CacheMode
from edge.guard.answers import Watch
from edge.guard.policy import Policy
from edge.guard.quotas import Quotas
from edge.upstreams.choice import Choice
from edge.upstreams.router import Upstream

__all__ = ["Grant"]


class Grant:
    """``alias`` is the configured name that was asked for, "" where it was none; ``label`` the model's in metrics, of
    which there are only so many. ``choices`` are the upstreams of the name, and those to fall back to in turn, each
    with the bits of those that the key may use and that serve the endpoint; ``upstreams`` are all of them, in the order
    in which they stand, ``alone`` where it is one, by the one key of its provider. ``context_length`` and
    ``content_policy`` are the choices to go on with where a provider refuses a request for its length, or for what it
    says.

    ``pii`` is what is done about personal data in the request, ``answers`` in what is answered, None for nothing;
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
        self.alias = alias
        self.label = label
        self.choices = choices
        self.context_length = context_length
        self.content_policy = content_policy
        self.cache: CacheMode = cache
        self.identity = identity
        self.pii = pii
        self.answers = answers
        self.quotas = quotas
        self.content = content
        self.upstreams: tuple[Upstream, ...] = tuple([each for choice in choices for each in choice.upstreams])
        self.alone = len(self.upstreams) == 1 and not self.upstreams[0].provider.takes_turns

    def watch(self) -> Watch | None:
        """Over one answer."""
        return None if self.answers is None else Watch(self.answers)
