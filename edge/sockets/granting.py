"""On which terms a key may speak over a WebSocket."""

from __future__ import annotations

from edge._fast import JSONScanner
from edge.errors import PiiBlocked
from edge.grant import Grant
from edge.guard.auth import Key, refuse_model
from edge.payload import Payload
from edge.routes import Route
from edge.state import State

__all__ = ["granted", "payload_of"]

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
