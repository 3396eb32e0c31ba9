"""What a WebSocket is asked for, and on which terms."""

from __future__ import annotations

from urllib.parse import parse_qsl

from edge.call import Call
from edge.errors import InvalidValue, MissingParameter, UnsupportedRoute
from edge.guard.validate import check_name
from edge.sockets.realtime import RealtimeTalk
from edge.sockets.responses import ResponsesTalk
from edge.sockets.talk import Floor, Talk

__all__ = ["model_of", "talk_of"]

BY_CALL = "A call is joined by its 'call_id' at its provider alone: name a 'model' here."


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


def talk_of(floor: Floor) -> Talk:
    """By the API that is spoken."""
    return RealtimeTalk(floor) if floor.call.head.route.api == "realtime" else ResponsesTalk(floor)
