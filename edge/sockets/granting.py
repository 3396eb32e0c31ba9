"""On which terms a key may speak over a WebSocket."""

from __future__ import annotations

from edge._fast import JSONScanner
from edge.errors import PiiBlocked
from edge.grant import Grant
from edge.guard.auth import Key, refuse_model
from edge.payload import Payload
from edge.routes import Route
from edge.state import State
from edge.upstreams.router import Upstream
from edge.upstreams.tried import Tried

__all__ = ["granted", "payload_of", "reached"]

UNREAD = "A WebSocket is not looked through for personal data, as 'pii' demands for this key: it may not have one."


def payload_of(model: str) -> Payload:
    """What a handshake says of itself: it has no body, and what it begins is a stream."""
    return Payload(b"", JSONScanner(b""), model, True, False, 0)


def granted(state: State, key: Key, model: str, route: Route) -> Grant:
    """What a key gets for a model. Raises ModelNotFound, UnsupportedRoute, ModelNotAllowed, and PiiBlocked where
    something is to be done about what a request, or an answer, would be found to say.
    """
    grant = state.grant(key, model, route)
    if not grant.upstreams:
        raise refuse_model(model)
    for policy in (grant.pii, grant.answers):
        if policy is not None and policy.mode != "detect":
            raise PiiBlocked(UNREAD)
    return grant


def reached(grant: Grant, tried: Tried, model: str = "") -> Upstream | None:
    """The first upstream of a grant that is at the provider which an attempt has reached, perhaps by an earlier
    configuration; of that `model`, if one is named.
    """
    provider = tried.provider
    for upstream in grant.upstreams:
        other = upstream.provider
        same = other is provider or (other.name == provider.name and other.base_url == provider.base_url)
        if same and model in ("", upstream.model):
            return upstream
    return None
