"""Whose WebSocket is spoken, before anybody is asked for it."""

from __future__ import annotations

import pytest

from edge import config
from edge.certificates import digest_of_name
from edge.config import Config
from edge.guard.auth import new_key
from edge.head import Head, varying_of
from edge.relaying import relay
from edge.routes import SOCKET_PATHS
from edge.server.compose import compose
from edge.sockets.handshake import without_secrets
from tests.unit.calls import Asked

KEY, DIGEST = new_key("a")
CERTIFICATE = (digest_of_name("DNS:laptop"),)
SAME, FOREIGN = (b"origin", b"https://edge.example"), (b"origin", b"https://page.example")
OWN = (b"sec-websocket-protocol", b"realtime, openai-insecure-api-key." + KEY.encode())
WRONG = (b"sec-websocket-protocol", b"realtime, openai-insecure-api-key.nobody")


@pytest.mark.parametrize(
    ("certificate", "fields", "code"),
    [
        (CERTIFICATE, [], "model_not_found"),
        (CERTIFICATE, [SAME], "model_not_found"),
        (CERTIFICATE, [FOREIGN], "origin_not_allowed"),
        (CERTIFICATE, [FOREIGN, WRONG], "origin_not_allowed"),
        (CERTIFICATE, [FOREIGN, OWN], "model_not_found"),
        ((), [FOREIGN, OWN], "model_not_found"),
    ],
)
def test_a_page_of_another_origin_needs_a_key_of_its_own_beside_its_browsers_certificate(certificate, fields, code):
    keys = [config.Key(id="a", digests=[DIGEST], certificates=["DNS:laptop"])]
    gateway = compose(Config(auth=config.Auth(keys=keys))).gateway
    target, found = b"/v1/realtime?model=gpt-realtime", SOCKET_PATHS[b"/v1/realtime"]
    own = without_secrets([(b"host", b"edge.example"), *fields])
    call = Asked(Head(found, "GET", target, b"model=gpt-realtime", own), varying_of(own), "", 0.0, gateway.state)
    call.certificate = certificate
    gateway.open(call)
    assert not call.reply.over()
    assert relay(gateway, call, None, "") is None
    assert call.ledger.error.code == code
