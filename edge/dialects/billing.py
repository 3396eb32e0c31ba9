"""Claude Code's attribution line: the part of a request that differs each time and says nothing to a model.

It stands first in ``system``, as a block or as the first line of one: ``x-anthropic-billing-header: cc_version=...;
cch=eb6c6;``. Anthropic wants it there, as it is (code.claude.com/docs/en/llm-gateway-protocol). Before any other model
it would spoil every prefix cache, and in our keys every hit. Who writes the same words elsewhere keeps them.
"""

from __future__ import annotations

from typing import Any

__all__ = ["without_billing"]

PREFIX = "x-anthropic-billing-header:"


def without_billing(request: dict[str, Any]) -> dict[str, Any]:
    """A messages request without the line: `request` itself where it has none, else a copy."""
    system = request.get("system")
    first = system[0] if isinstance(system, list) and system else system
    text = first.get("text") if isinstance(first, dict) and first.get("type") == "text" else first
    if not isinstance(text, str) or not text.startswith(PREFIX):
        return request
    rest = text.partition("\n")[2]
    left: Any = rest
    if isinstance(system, list):
        left = [{**system[0], "text": rest}, *system[1:]] if rest and isinstance(first, dict) else system[1:]
    kept = {name: value for name, value in request.items() if name != "system"}
    return {**kept, "system": left} if left else kept
