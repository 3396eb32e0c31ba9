"""A WebSocket, from the client's handshake on: the gateway's way for what is no request and its answer."""

from __future__ import annotations

from functools import partial

from edge.call import Call
from edge.errors import EdgeError, OriginNotAllowed
from edge.gateway import Gateway
from edge.guard.auth import is_foreign
from edge.sockets.ends import End
from edge.sockets.granting import granted, payload_of
from edge.sockets.relay import Relay
from edge.sockets.terms import model_of, talk_of

__all__ = ["relay"]


def relay(gateway: Gateway, call: Call, client: End, protocol: str) -> Relay | None:
    """Speak with the client of a call, after `Gateway.open`; None where it is refused. `protocol` is the sub-protocol
    that was agreed on, "" for none. The call is told that it is ``over`` as by `Gateway.fetch`; what its end hears
    goes to the relay.
    """
    try:
        check_origin(gateway, call)
        model = model_of(call)
        if model:
            call.payload = payload_of(model)
            call.grant = granted(gateway.state, call.key, model, call.head.route)
    except EdgeError as error:
        gateway.refuse(call, error)
        return None
    gateway.under_way.add(call)
    made = call.errand = Relay(gateway.office, call, client, protocol, gateway, partial(check_key, gateway, call))
    made.start(talk_of(made), model)
    return made


def check_origin(gateway: Gateway, call: Call) -> None:
    """A browser opens a WebSocket for a page of any origin, which reads what comes, and shows its certificate for it
    (RFC 6455, section 10.2). A page that has a key of its own may. Raises OriginNotAllowed.
    """
    if not call.certificate or not is_foreign(call.head):
        return
    if gateway.state.auth.identify(call.head, call.varying, ()) is None:
        raise OriginNotAllowed("The page is of another origin, and has no key but the certificate of its browser.")


def check_key(gateway: Gateway, call: Call) -> None:
    """A connection outlives configurations, and perhaps its key. Raises InvalidApiKey where that holds no more."""
    state, key = gateway.state, call.key
    if state is not call.state or key.timed:
        state.auth.identify_anew(call.head, call.varying, call.certificate, key)
