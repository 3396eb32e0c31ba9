"""Answers that no provider gives: lists of models, and the number of tokens where nobody counts them."""

from __future__ import annotations

import asyncio
from time import perf_counter

from edge.call import Call
from edge.dialects.abridged import abridged
from edge.dialects.crossing import is_short
from edge.dialects.estimate import estimate_input
from edge.dialects.provider_state import refuse_state_in
from edge.dialects.tokens import count_answer, estimate_steps, estimate_tokens
from edge.errors import UNREADABLE, EdgeError, Headers, InvalidRequest
from edge.inquiry import Asker, Inquiry
from edge.reply_fields import JSON_TYPE
from edge.routes import MODEL
from edge.slices import Done, Job, Steps, Work
from edge.upstreams.desk import Desk
from edge.upstreams.listing import Asked, answer_models

__all__ = ["Listing", "estimate_count", "refusal_of_count"]


class Listing:
    """The list of models, or one of them: a task, since the providers' lists are. Who asks is told, unless it
    is cancelled before.
    """

    def __init__(self, call: Call, asker: Asker) -> None:
        self._call = call
        self._asker: Asker | None = asker
        self._task: asyncio.Task[tuple[bytes, Headers]] | None = None
        self._since = 0.0

    def start(self) -> None:
        call, state = self._call, self._call.state
        self._since = perf_counter()
        wanted = call.head.argument if call.head.route is MODEL else ""
        asked = Asked(call.head.dialect, wanted, call.head.query, call.key.grants)
        answer = answer_models(state.router, state.catalog, state.settings.models, asked)
        self._task = asyncio.get_running_loop().create_task(answer)
        self._task.add_done_callback(self._ended)

    def cancel(self) -> None:
        self._asker = None
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[tuple[bytes, Headers]]) -> None:
        asker, self._asker, self._task = self._asker, None, None
        failure = None if task.cancelled() else task.exception()
        if asker is None or task.cancelled():
            return
        self._call.ledger.waited(self._since)
        if failure is None:
            body, headers = task.result()
            self._call.answer(200, [JSON_TYPE, *headers], body)
        asker.fetched(self._call, failure if isinstance(failure, Exception) else None)


def refusal_of_count(inquiry: Inquiry) -> EdgeError | None:
    """Why tokens are not to be estimated here: a part of the conversation is one that a provider keeps, so what is here
    says little about the whole.
    """
    try:
        refuse_state_in(inquiry.payload.body, inquiry.payload.spans)
    except EdgeError as error:
        return error
    return None


def estimate_count(inquiry: Inquiry, desk: Desk, done: Done) -> Job | None:
    """The number of tokens, where no provider has counted them. `done` is called once it is answered, unless the job
    that is returned is cancelled before.
    """
    if inquiry.head.route.api == "input_tokens":
        _reply_tokens(inquiry, estimate_input(inquiry.head.route.upstream, inquiry.payload.body))
        done(None)
        return None
    if is_short(inquiry):
        _reply_tokens(inquiry, estimate_tokens(inquiry.payload.body))
        done(None)
        return None
    work = Work(_large_estimate(inquiry))

    def estimated(error: Exception | None) -> None:
        if error is None:
            _reply_tokens(inquiry, work.result)
        done(error)

    return desk.slices.add(work.step, estimated)


def _large_estimate(inquiry: Inquiry) -> Steps[int]:
    """By its size, where it has more in it than is looked at."""
    try:
        request, texts = yield from abridged(inquiry.payload.body)
        tokens = yield from estimate_steps(request, texts.size)
    except (*UNREADABLE, InvalidRequest):
        tokens = estimate_input(inquiry.head.route.upstream, inquiry.payload.body)
    return tokens


def _reply_tokens(inquiry: Inquiry, tokens: int) -> None:
    inquiry.answer(200, [JSON_TYPE, (b"x-edge-estimated", b"true")], count_answer(tokens, inquiry.head.route.api))
