"""Tools that a provider runs by itself while it answers: asked twice, they run twice."""

from __future__ import annotations

import msgspec

from edge.errors import UNREADABLE
from edge.payload import Payload

__all__ = ["has_hosted_tools"]

FIELDS: dict[str, tuple[bytes, ...]] = {
    "chat": (b"web_search_options", b"plugins", b"search_parameters"),
    "messages": (b"mcp_servers", b"container"),
}
"""Fields at the top of a body that have something run where they are given: OpenAI's search, OpenRouter's plugins,
xAI's live search; Anthropic's connector and containers."""
CLIENTS: dict[str, tuple[str, ...]] = {
    "chat": ("function", "custom"),
    "messages": ("custom", "bash_", "text_editor_", "computer_", "memory_"),
    "responses": ("function", "custom", "local_shell", "computer", "apply_patch"),
}
"""How the types of tools begin that the client runs. What is not among them may be run by the provider:
https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview, openai-python ``types/responses/tool.py``.
Anthropic's may leave the type out."""
NOTHING = (b"null", b"[]", b"false")


class _Tool(msgspec.Struct):
    type: str = "custom"


_tools = msgspec.json.Decoder(list[_Tool]).decode


def has_hosted_tools(api: str, payload: Payload) -> bool:
    """Whether the provider may run a tool for a request of ``Route.api`` `api`."""
    body = payload.body
    for field in FIELDS.get(api, ()):
        span = payload.span(field)
        if span is not None and body[span[0] : span[1]] not in NOTHING:
            return True
    span = payload.span(b"tools")
    if span is None or body[span[0] : span[1]] in NOTHING:
        return False
    try:
        tools = _tools(body[span[0] : span[1]])
    except UNREADABLE:
        return True
    return not all(tool.type.startswith(CLIENTS.get(api, ())) for tool in tools)
