"""Answers that no provider gives: lists of models, and the number of tokens where nobody counts them."""

from __future__ import annotations

from edge.dialects.crossing import MAX_TRANSLATED
from edge.dialects.estimate import estimate_input
from edge.dialects.tokens import count_answer, estimate_tokens
from edge.exchange import Exchange
from edge.replies import JSON_TYPE, reply
from edge.routes import MODEL
from edge.slices import Done, Job, in_thread
from edge.upstreams.large import is_short
from edge.upstreams.listing import Asked, answer_models

__all__ = ["estimate_count", "list_models"]


async def list_models(exchange: Exchange) -> None:
    """The list of models, or one of them."""
    state = exchange.state
    exchange.upstream_begins()
    wanted = exchange.argument if exchange.route is MODEL else ""
    asked = Asked(exchange.dialect, wanted, exchange.query, exchange.key.grants)
    body, headers = await answer_models(state.router, state.catalog, state.settings.models, asked)
    exchange.upstream_ends()
    reply(exchange, 200, [JSON_TYPE, *headers], body)


def estimate_count(exchange: Exchange, done: Done) -> Job | None:
    """The number of tokens, where no provider has counted them. It is as soon estimated again as kept. `done` is
    called once it is answered, unless the job that is returned is cancelled before.
    """
    exchange.makeshift = True
    scanner = exchange.scanner
    tokens = 0

    def estimate() -> None:
        nonlocal tokens
        tokens = estimate_tokens(exchange.body)

    def estimated(error: Exception | None) -> None:
        if error is None:
            reply(exchange, 200, [JSON_TYPE, (b"x-edge-estimated", b"true")], count_answer(tokens))
        done(error)

    if not is_short(exchange) and (scanner is None or scanner.values <= MAX_TRANSLATED):
        return in_thread(estimate, estimated)
    if is_short(exchange):
        estimate()
    else:
        tokens = estimate_input(exchange.route.upstream, exchange.body)
    estimated(None)
    return None
