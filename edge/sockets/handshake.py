"""A client's wish for a WebSocket: whether it is a sound one (RFC 6455, section 4.2.1), and whose.

A browser cannot set headers, so its key may come as a sub-protocol, ``openai-insecure-api-key.KEY``, and OpenAI's betas
as others (https://platform.openai.com/docs/guides/realtime-websocket). They are taken out of what anybody sees.
"""

from __future__ import annotations

from typing import NamedTuple

from websockets.datastructures import Headers as Fields
from websockets.exceptions import InvalidHandshake, InvalidUpgrade
from websockets.http11 import Request
from websockets.server import ServerProtocol

from edge.errors import Headers, InvalidHTTP, UpgradeRequired
from edge.sockets.peer import SILENT

__all__ = ["SPOKEN", "Handshake", "handshake", "without_secrets"]

SPOKEN = "realtime"
"""The one sub-protocol that is spoken."""
KEY = "openai-insecure-api-key."
BETAS = {"openai-beta.realtime-v1": b"realtime=v1"}
OWN = (b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions", b"sec-websocket-protocol")


class Handshake(NamedTuple):
    """``accept`` answers the client's challenge, ``protocol`` is the sub-protocol that is agreed on, "" for none."""

    accept: bytes
    protocol: str


def handshake(headers: Headers) -> Handshake:
    """What a head says that asks for a WebSocket. Raises UpgradeRequired, InvalidHTTP."""
    fields = Fields()
    for name, value in headers:
        fields[name.decode("latin-1")] = value.decode("latin-1")
    versions = fields.get_all("sec-websocket-version")
    if versions and versions != ["13"]:
        # RFC 6455, section 4.4
        told = [*UpgradeRequired.fixed, (b"sec-websocket-version", b"13")]
        raise UpgradeRequired("WebSocket is spoken here in version 13 (RFC 6455).", headers=told)
    if fields.get_all("transfer-encoding") or fields.get_all("content-length") not in ([], ["0"]):
        raise InvalidHTTP("A request for a WebSocket has no body.")
    protocol = ServerProtocol(logger=SILENT)
    try:
        accept, _, _ = protocol.process_request(Request("/", fields))
        offered = offers(headers)
    except InvalidUpgrade:
        raise UpgradeRequired from None
    except (InvalidHandshake, ValueError):
        raise InvalidHTTP("This is no valid request for a WebSocket (RFC 6455, section 4.2.1).") from None
    return Handshake(accept.encode("ascii"), SPOKEN if SPOKEN in offered else "")


def offers(headers: Headers) -> list[str]:
    """The sub-protocols that a client offers."""
    lines = [value for name, value in headers if name == b"sec-websocket-protocol"]
    return [word.strip() for line in lines for word in line.decode("latin-1").split(",")]


def without_secrets(headers: Headers) -> Headers:
    """The head without what is the handshake's own. A key among the sub-protocols stands where keys do, unless one
    stands there already, and a beta where betas do.
    """
    names = {name for name, _ in headers}
    found = [pair for pair in headers if pair[0] not in OWN]
    for word in offers(headers):
        if word.startswith(KEY):
            place = next((name for name in (b"authorization", b"x-api-key") if name not in names), None)
            key = word[len(KEY) :].encode("latin-1")
            if place is not None:
                names.add(place)
                found.append((place, b"Bearer " + key if place == b"authorization" else key))
        elif word in BETAS:
            found.append((b"openai-beta", BETAS[word]))
    return found
