"""A WebSocket, from the client's handshake on: the gateway's way for what is no request and its answer."""

from __future__ import annotations

from edge.call import Call
from edge.errors import EdgeError, OriginNotAllowed, RouteNotAllowed
from edge.gateway import Gateway
from edge.guard.auth import is_foreign
from edge.sockets.ends import End
from edge.sockets.granting import granted, payload_of
from edge.sockets.relay import Relay
from edge.sockets.terms import model_of, talk_of

__all__ = ["relay"]

NO_MORE = "WebSockets are spoken here no more."


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
    made = call.errand = Relay(gateway.office, call, client, protocol, gateway, Standing(gateway, call))
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


class Standing:
    """The `edge.sockets.rights.Rights` of a call."""

    def __init__(self, gateway: Gateway, call: Call) -> None:
        self._gateway = gateway
        self._call = call
        # It keeps the place that it has taken; another configuration's key may have other requests per minute.
        self.lease = call.lease

    def heed(self) -> bool:
        state, call = self._gateway.state, self._call
        if state is call.state and not call.key.timed:
            return False
        key = state.auth.identify_anew(call.head, call.varying, call.certificate, call.key)
        if state is call.state:
            return False
        if not state.settings.websockets.enabled:
            raise RouteNotAllowed(NO_MORE)
        if key.routes is not None and call.head.route.endpoint not in key.routes:
            raise RouteNotAllowed
        call.state, call.key = state, key
        self.lease = self._gateway.limits.lease(key) if key.limited else None
        return True
