"""What an inquiry is served by, as those know it who serve it: what of the settings every one asks for, and what its
key gets. `edge.state.State` and `edge.grant.Grant` are these, and more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.trace_context import Sampling

if TYPE_CHECKING:
    from edge import config
    from edge.grant import Grant
    from edge.guard.answers import Watch
    from edge.guard.auth import Key
    from edge.upstreams.choice import Choice
    from edge.upstreams.router import Upstream

__all__ = ["Granted", "Terms"]


class Granted:
    """``alias`` is the configured name that was asked for, "" where it was none; ``label`` the model's in metrics, of
    which there are only so many. ``choices`` are the upstreams of the name, and those to fall back to in turn, each
    with the bits of those that the key may use and that serve the endpoint; ``upstreams`` are all of them, in the order
    in which they stand, ``alone`` where it is one, by the one key of its provider; ``seals`` is the most that one of
    them does of that (`edge.upstreams.router.Upstream`). ``context_length`` and
    ``content_policy`` are the choices to go on with where a provider refuses a request for its length, or for what it
    says.
    """

    def __init__(
        self,
        alias: str,
        label: str,
        choices: tuple[Choice, ...],
        context_length: tuple[Choice, ...] = (),
        content_policy: tuple[Choice, ...] = (),
    ) -> None:
        self.alias = alias
        self.label = label
        self.choices = choices
        self.context_length = context_length
        self.content_policy = content_policy
        self.upstreams: tuple[Upstream, ...] = tuple([each for choice in choices for each in choice.upstreams])
        self.alone = len(self.upstreams) == 1 and not self.upstreams[0].provider.takes_turns
        self.seals = max([each.seals for each in self.upstreams], default=0)

    def watch(self) -> Watch | None:
        """Over one answer."""
        raise NotImplementedError


class Terms:
    """``nobody`` is the key of a request that has not told any, and ``nothing`` what that gets. ``few``: a
    request with no more values has too many of nothing. ``sampling`` says which traces that begin here are kept, None
    where none is; ``caches``: some key or model has answers that may be cached. The rest is what every request asks for
    of the ``settings``.
    """

    def __init__(self, settings: config.Config, nobody: Key, nothing: Grant, few: int, caches: bool) -> None:
        self.settings = settings
        self.nobody = nobody
        self.nothing = nothing
        self.few = few
        self.caches = caches
        self.max_in_flight = settings.server.max_in_flight
        self.max_body_bytes = settings.server.max_body_bytes
        self.max_form_bytes = settings.server.max_form_bytes
        self.max_buffered_bytes = settings.server.max_buffered_bytes
        self.resilience = settings.resilience
        self.hedges = settings.resilience.hedge.enabled
        self.rescues = settings.resilience.rescue == "text"
        self.replay = settings.cache.replay
        self.keeps = settings.responses.store == "redis"
        self.models = settings.models
        self.route_sample = settings.telemetry.log.route_sample
        tracing = settings.telemetry.tracing
        self.sampling = Sampling(tracing.sample) if tracing.otlp_endpoint is not None else None
