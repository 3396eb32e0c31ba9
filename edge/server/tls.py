"""TLS towards clients: one context for the life of a worker, whose certificate can be exchanged."""

from __future__ import annotations

import ssl

from edge.config import Tls

__all__ = ["HANDSHAKE_S", "load", "make_context"]

HANDSHAKE_S = 10.0
"""A client that has connected and does not shake hands holds its place no longer; asyncio would wait a minute."""


def make_context(settings: Tls) -> ssl.SSLContext:
    """TLS 1.2 and later, HTTP/1.1 alone; with ``client_ca``, clients must show a certificate of that authority.

    Raises OSError (ssl.SSLError is one) for files that cannot be read or do not fit each other.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    load(context, settings)
    if settings.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def load(context: ssl.SSLContext, settings: Tls) -> None:
    """Take the certificate, its key and the clients' authority from their files; handshakes from now on use them.

    Raises OSError; then what was loaded before stays.
    """
    context.load_cert_chain(settings.cert, settings.key)
    if settings.client_ca is not None:
        context.load_verify_locations(settings.client_ca)
