"""What a WebSocket is asked for, and on which terms."""

from __future__ import annotations

from urllib.parse import parse_qsl

from edge._fast import JSONScanner
from edge.call import Call
from edge.errors import InvalidValue, MissingParameter, PiiBlocked, UnsupportedRoute
from edge.grant import Grant
from edge.guard.auth import Key, refuse_model
from edge.guard.validate import check_name
from edge.payload import Payload
from edge.routes import Route
from edge.sockets.realtime import RealtimeTalk
from edge.sockets.talk import Floor, Talk
from edge.state import State

__all__ = ["granted", "model_of", "payload_of", "talk_of"]

BY_CALL = "A call is joined by its 'call_id' at its provider alone: name a 'model' here."
UNREAD = "A WebSocket is not looked through for personal data, as 'pii' demands for this key: it may not have one."


def model_of(call: Call) -> str:
    """The model that the handshake names, "" where each response names its own. Raises MissingParameter,
    UnsupportedRoute, InvalidValue.
    """
    if call.head.route.api != "realtime":
        return ""
    asked = parse_qsl(call.head.query.decode("latin-1"), keep_blank_values=True)
    names = [value for name, value in asked if name == "model"]
    if not names:
        if any(name == "call_id" for name, _ in asked):
            raise UnsupportedRoute(BY_CALL, status=400, param="call_id")
        raise MissingParameter("The parameter 'model' is missing: ?model=NAME.", param="model")
    if len(names) > 1:
        raise InvalidValue("The parameter 'model' is given more than once.", param="model")
    check_name(names[0], "parameter")
    return names[0]


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


def talk_of(floor: Floor) -> Talk:
    """By the API that is spoken."""
    return RealtimeTalk(floor)
