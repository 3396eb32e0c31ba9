"""A running edge is asked what would become of a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

from edge.errors import Headers, InvalidApiKey, InvalidRequest, RequestTooLarge
from edge.explain import MAX_BYTES, Explanation, explain, path_for
from edge.gateway import Gateway
from edge.head import Head, varying_of
from edge.routes import UNKNOWN, Match

__all__ = ["received", "what_if_sent"]


async def what_if_sent(
    gateway: Gateway,
    query: bytes | None,
    headers: Headers,
    body: AsyncIterator[bytes],
    certificate: tuple[bytes, ...],
) -> Explanation:
    """The explanation of the request that has these headers and this body, at ``path``, by the key with the id ``key``,
    both of the query; else at the path that its fields are those of, by the key in the headers or of the
    connection's `certificate`. Raises EdgeError.
    """
    state, asked = gateway.state, dict(parse_qsl((query or b"").decode("latin-1")))
    headers = [(name.lower(), value) for name, value in headers]
    if "key" in asked:
        key = await asyncio.to_thread(state.auth.named, asked["key"])
        if key is None:
            raise InvalidRequest("There is no key with this id.", param="key")
    else:
        head = Head(Match(UNKNOWN, "openai"), "POST", b"/", b"", headers)
        key = state.auth.identify(head, varying_of(headers), certificate)
        if key is None:
            raise InvalidApiKey
    whole = await received(body, MAX_BYTES)
    path = asked.get("path") or path_for(whole)
    return explain(
        state, key, path, whole, headers, answers=gateway.answers, limits=gateway.limits, counts=gateway.counts
    )


async def received(body: AsyncIterator[bytes], most: int) -> bytes:
    """A whole body, of at most so many bytes. Raises RequestTooLarge."""
    read = bytearray()
    async for data in body:
        read += data
        if len(read) > most:
            raise RequestTooLarge(f"The body is larger than {most} bytes.")
    return bytes(read)
