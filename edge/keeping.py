"""Who keeps what a request is about that names no model: stored responses, conversations, files, batches.

Which account made a thing is not remembered here (`edge.upstreams.ties`): its id is asked for at the account that its
tenant has, then at the others. So whoever knows an id may ask for it, as with the provider itself. What has no id yet,
lists and what is to be made, is a matter of the whole account: of a provider that is named, or the only one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from edge.errors import UNREADABLE, InvalidRequest, RouteNotAllowed, UnsupportedRoute
from edge.guard.auth import Key, refuse_model
from edge.head import Head
from edge.payload import Payload

if TYPE_CHECKING:
    from edge.upstreams.provider import Provider

__all__ = ["CONVERSATIONS", "PROVIDER", "check_whole", "keepers_of"]

PROVIDER = b"x-edge-provider"
CONVERSATIONS = "/v1/conversations"
"""Where conversations are made."""
BATCHES = ("/v1/batches", "/v1/messages/batches")
"""Where requests are made of what is sent."""
MAX_LOOKED_AT = 4 << 20
"""Bytes of a batch in which models are looked for, on the loop."""
SEVERAL = (
    "Several providers could be meant: name one in the header 'x-edge-provider', "
    "or put its name before /v1 in the path."
)
OF_ALL_TENANTS = (
    "The list has what all tenants of the account have made: a key sees it that is an admin's, "
    "or whose 'allowed_routes' name the route."
)
OF_ALL_MODELS = "This key may use some models alone, and here is no telling which ones are meant."
UNCOUNTED = "Nobody counts here what a batch uses, and this key's tokens or money are limited."


class _Params(msgspec.Struct):
    model: str = ""


class _Request(msgspec.Struct):
    params: _Params


class _Batch(msgspec.Struct):
    requests: list[_Request]


_decode = msgspec.json.Decoder(_Batch).decode


def keepers_of(providers: Mapping[str, Provider], head: Head) -> list[Provider]:
    """Whom a request may be about. Raises UnsupportedRoute where there is nobody, InvalidRequest where it had to say
    which one is meant.
    """
    named = head.provider or head.index.get(PROVIDER, b"").decode("latin-1")
    if named:
        provider = providers.get(named)
        if provider is None or provider.dialect != head.dialect:
            raise UnsupportedRoute(
                f"There is no provider {named[:64]!a} here that speaks the {head.dialect} dialect.", status=400
            )
        return [provider]
    found = [provider for provider in providers.values() if provider.dialect == head.dialect]
    if not found:
        raise UnsupportedRoute(f"No provider here speaks the {head.dialect} dialect.", status=400)
    if len(found) > 1 and not head.argument:
        raise InvalidRequest(SEVERAL)
    return found


def check_whole(key: Key, head: Head, payload: Payload, provider: Provider, *, limited: bool, several: bool) -> None:
    """May this key ask for what is a matter of a whole account? `limited`: its tokens or its money are; `several`: it
    may not be of the only tenant. Raises RouteNotAllowed, ModelNotAllowed, InvalidRequest.
    """
    route, makes = head.route, head.method == "POST"
    if makes and route.endpoint not in BATCHES:
        return  # a file, or a conversation, is no request yet
    if makes and limited:
        raise RouteNotAllowed(UNCOUNTED)
    if not key.grants(f"{provider.name}/*"):
        if not makes or route.dialect != "anthropic":
            raise RouteNotAllowed(OF_ALL_MODELS)
        for model in models_in(payload.body):
            if not key.grants(f"{provider.name}/{model}", model):
                raise refuse_model(model)
    named: Any = key.routes
    if not makes and several and not key.admin and (named is None or route.endpoint not in named):
        raise RouteNotAllowed(OF_ALL_TENANTS)


def models_in(body: bytes) -> list[str]:
    """The models that a batch of messages names. Raises InvalidRequest, RouteNotAllowed for one that is too large."""
    if len(body) > MAX_LOOKED_AT:
        raise RouteNotAllowed(f"{OF_ALL_MODELS} Of a batch, {MAX_LOOKED_AT >> 20} MiB are looked at.")
    try:
        return [request.params.model for request in _decode(body).requests]
    except UNREADABLE:
        raise InvalidRequest("'requests' must be an array of objects, each with 'params'.", param="requests") from None
