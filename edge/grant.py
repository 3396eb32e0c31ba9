"""What a key gets for a model's name at an endpoint: decided once under one configuration, and looked up after."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.config import CacheMode
from edge.upstreams.router import Choice, Upstream

__all__ = ["Grant"]


@dataclass(frozen=True, slots=True)
class Grant:
    """``alias`` is the configured name that was asked for, "" where it was none; ``label`` the model's in metrics, of
    which there are only so many. ``own`` has the upstreams of the name and ``fallbacks`` those to try after them, with
    the bits of those that the key may use and that serve the endpoint.

    ``cache`` says how the answers are cached, with ``identity`` as the part of their cache key that is not the request.
    """

    alias: str
    label: str
    own: Choice
    fallbacks: tuple[Choice, ...]
    cache: CacheMode = "off"
    identity: bytes = b""
    upstreams: tuple[Upstream, ...] = field(init=False)
    """All of them, in the order in which to try them."""

    def __post_init__(self) -> None:
        found = tuple(upstream for choice in (self.own, *self.fallbacks) for upstream in choice.upstreams)
        object.__setattr__(self, "upstreams", found)
