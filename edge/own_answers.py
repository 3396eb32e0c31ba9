"""Answers that no provider gives: lists of models, and the number of tokens where nobody counts them."""

from __future__ import annotations

import asyncio

from edge.dialects.crossing import MAX_TRANSLATED
from edge.dialects.estimate import estimate_input
from edge.dialects.provider_state import refuse_state_in
from edge.dialects.tokens import count_answer, estimate_tokens
from edge.exchange import Exchange
from edge.replies import JSON_TYPE, reply
from edge.routes import MODEL
from edge.upstreams.large import is_short
from edge.upstreams.listing import Asked, answer_models

__all__ = ["estimate_count", "estimate_uncounted", "list_models"]


async def list_models(exchange: Exchange) -> None:
    """The list of models, or one of them."""
    state = exchange.state
    exchange.upstream_begins()
    wanted = exchange.argument if exchange.route is MODEL else ""
    asked = Asked(exchange.dialect, wanted, exchange.query, exchange.key.grants)
    body, headers = await answer_models(state.router, state.catalog, state.settings.models, asked)
    exchange.upstream_ends()
    reply(exchange, 200, [JSON_TYPE, *headers], body)


async def estimate_count(exchange: Exchange) -> None:
    """The number of tokens, where no provider has counted them. It is as soon estimated again as kept."""
    exchange.makeshift = True
    scanner = exchange.scanner
    if is_short(exchange):
        tokens = estimate_tokens(exchange.body)
    elif scanner is not None and scanner.values > MAX_TRANSLATED:
        tokens = estimate_input(exchange.route.upstream, exchange.body)
    else:
        tokens = await asyncio.to_thread(estimate_tokens, exchange.body)
    reply(exchange, 200, [JSON_TYPE, (b"x-edge-estimated", b"true")], count_answer(tokens))


async def estimate_uncounted(exchange: Exchange) -> None:
    """The same before a provider that counts no tokens. Raises UnsupportedParameter for a part of a conversation that
    another one keeps: what is here says little about the whole.
    """
    refuse_state_in(exchange.body, exchange.spans)
    await estimate_count(exchange)
