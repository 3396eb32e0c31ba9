"""Which requests are about what a provider keeps, and so mean nothing to another, nor to a cache.

A conversation held by the provider (``thread``, ``conversation``, ``previous_response_id``) is more than its request
says: without the field, a model would see the last message alone. So such a field is never left out in translation, and
an answer that depends on it, or whose id another request may go on from, is not given to anybody else.

Fields: anthropic-sdk-python ``types/beta/message_create_params.py`` (2.14), openai-python
``types/responses/response_create_params.py`` (3.57); the names that compatible servers give the same things.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from edge.errors import UnsupportedParameter

__all__ = ["depends_on_state", "refuse_state", "refuse_state_in"]

STATE = re.compile(r"(thread|container|conversation)(_id)?|(context|assistant|interaction)_id|previous_\w+_ids?")
"""Top-level fields that say which conversation, or which machine with its files, a request goes on with."""
ONCE = ("background", "fallback_credit_token", "diagnostics")
"""Fields that belong to one request: an answer that comes later, a credit that is redeemed once, a comparison with the
answer before.
"""
MACHINES = ("code_execution", "code_interpreter", "shell", "local_shell")
"""Beginnings of the ``type`` of tools that run in a container, whose id comes with the answer."""
NOTHING = (b"null", b"false", b'""')
THREAD = "thread_unsupported_request"
"""By this ``error_code`` Anthropic's SDKs know that they have to send the whole conversation (types/
thread_unsupported_request_error_details.py); they do so by themselves."""


def state_fields(request: dict[str, Any]) -> list[str]:
    """The fields of a request's body by which it goes on with something its provider keeps, in their order."""
    return [name for name in _telling(tuple(request))[0] if request[name] not in (None, False, "")]


@lru_cache(maxsize=1024)
def _telling(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of the names of a body's fields, of which there are few lists, those of `STATE` and those of `ONCE`."""
    state = tuple([name for name in names if STATE.fullmatch(name) is not None])
    return state, tuple([name for name in names if name in ONCE])


def refuse_state(request: dict[str, Any]) -> None:
    """Raises UnsupportedParameter for a request that cannot be translated, since it is a part of what it goes on with.

    A thread comes first: whoever is told of it asks again with the whole conversation.
    """
    found = state_fields(request)
    if "thread" in found:
        raise UnsupportedParameter(
            "'thread' cannot be translated for this model's API: no conversation is kept there. Send the whole "
            "conversation without 'thread'.",
            param="thread",
            details={"error_code": THREAD, "unsupported": ["thread"]},
        )
    if found:
        raise UnsupportedParameter(
            f"'{found[0]}' cannot be translated for this model's API: what it refers to is kept by another provider. "
            "Send the whole conversation instead.",
            param=found[0],
        )


def refuse_state_in(body: bytes, spans: Mapping[str, tuple[int, int]]) -> None:
    """The same for a request that is not read as a whole: `spans` are where its top-level fields' values stand."""
    refuse_state({name: body[start:end] not in NOTHING for name, (start, end) in spans.items()})


def depends_on_state(body: dict[str, Any]) -> bool:
    """Whether the answer to a request is good for that request alone."""
    state, once = _telling(tuple(body))
    if (state or once) and (any(map(body.get, once)) or state_fields(body)):
        return True
    tools = body.get("tools")
    return isinstance(tools, list) and any(_has_machine(tool) for tool in tools)


def _has_machine(tool: Any) -> bool:
    if not isinstance(tool, dict):
        return False
    return bool(tool.get("container")) or str(tool.get("type")).startswith(MACHINES)
