"""TLS towards clients: a context that another takes the place of when its files have changed."""

from __future__ import annotations

import ssl

from edge.config import Tls

__all__ = ["HANDSHAKE_S", "Meeting", "make_context"]

HANDSHAKE_S = 10.0
"""A client that has connected and does not shake hands holds its place no longer; asyncio would wait a minute."""


class Meeting:
    """How clients are met from now on: by ``context``. Connections that are open keep theirs. Another context, not the
    same one with other files, since one forgets no authority and no session.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context

    def renew(self, settings: Tls) -> None:
        """Read the files again. Raises OSError; then the context stays."""
        self.context = make_context(settings)


def make_context(settings: Tls) -> ssl.SSLContext:
    """TLS 1.2 and later, HTTP/1.1 alone; with ``client_ca``, clients must or may show a certificate of that authority.

    Raises OSError (ssl.SSLError is one) for files that cannot be read or do not fit each other.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(settings.cert, settings.key, password=_no_password)
    if settings.client_ca is not None:
        context.load_verify_locations(settings.client_ca)
        optional = settings.client_certificates == "optional"
        context.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED
    return context


def _no_password() -> str:
    """In place of OpenSSL's own question, which waits at the terminal."""
    raise OSError("the key is encrypted, and nobody is there to be asked for its password: give it without one")
