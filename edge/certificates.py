"""Names in clients' certificates, by which keys are found as by what is said in a request.

Who is asked for names here has been verified before: TLS lets in no certificate but those of ``server.tls.client_ca``.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from ipaddress import ip_address
from typing import Any

__all__ = ["SCOPE", "credentials_of", "digest_of_name", "names_in", "normal"]

SCOPE = "edge.certificate"
"""Where `credentials_of` a connection are in the scope of its requests."""
KINDS = {"DNS": "DNS", "URI": "URI", "email": "email", "IP Address": "IP"}
"""What Python calls the kinds of alternative names, and what openssl and the settings do."""
SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
"""RFC 4514, section 3."""
MAX_NAMES = 64
"""Of one certificate: an authority that signs more does not expect each to be looked up."""


def names_in(certificate: Mapping[str, Any]) -> list[str]:
    """``subject:CN=a,O=b`` and ``DNS:a``, ``URI:a``, ``email:a``, ``IP:a``, the subject first; `certificate` is as
    `ssl.SSLObject.getpeercert` describes it.
    """
    names: list[str] = []
    parts = certificate.get("subject", ())
    if parts:
        said = ["+".join(f"{SHORT.get(kind, kind)}={escaped(value)}" for kind, value in part) for part in parts]
        names.append(f"subject:{','.join(reversed(said))}")
    for kind, value in certificate.get("subjectAltName", ()):
        if kind in KINDS:
            names.append(normal(f"{KINDS[kind]}:{value.strip()}"))
    return names[:MAX_NAMES]


def escaped(value: str) -> str:
    """A value as it stands in a subject (RFC 4514, section 2.4)."""
    text = "".join(f"\\{c}" if c in ',+"\\<>;' else c for c in value)
    if text[:1] in ("#", " "):
        text = f"\\{text}"
    return f"{text[:-1]}\\ " if text.endswith(" ") and len(value) > 1 else text


def normal(name: str) -> str:
    """The one spelling of a name: hosts in lower case, addresses in their shortest form."""
    kind, _, value = name.partition(":")
    if kind == "DNS":
        value = value.lower()
    elif kind == "IP":
        try:
            value = str(ip_address(value))
        except ValueError:
            return name
    return f"{kind}:{value}"


def digest_of_name(name: str) -> bytes:
    """By what a name is found among the digests of keys: 32 bytes that no key has, whatever is sent as one."""
    return blake2b(normal(name).encode(), digest_size=32, person=b"edge certificate").digest()


def credentials_of(certificate: Mapping[str, Any] | None) -> tuple[bytes, ...]:
    """The digests of its names; none where a client has shown no certificate."""
    return tuple([digest_of_name(name) for name in names_in(certificate)]) if certificate else ()
