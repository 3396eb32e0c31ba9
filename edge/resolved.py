"""What the names of a configuration lead to, for people."""

from __future__ import annotations

import msgspec

from edge.config import DEFAULT_MODELS, Config
from edge.dialects.models import configured_model, described

__all__ = ["resolved"]

FAILURES = {"any": "any failure", "context_length": "a refusal of its length", "content_policy": "a refusal by policy"}


def resolved(config: Config) -> list[str]:
    """What each name leads to, in the order in which names are looked up."""
    endpoints = {
        "openai": "chat, completions, responses, embeddings; messages by translation",
        "anthropic": "messages, count_tokens; chat, responses by translation",
    }
    lines = []
    for alias, model in config.models.items():
        targets = ", ".join(
            target.to + (f" (weight {target.weight:g})" if target.weight != 1 else "") for target in model.upstreams
        )
        dialect = config.providers[model.upstreams[0].to.partition("/")[0]].dialect
        several = f"{model.strategy}: " if len(model.upstreams) > 1 else ""
        lines.append(f"model      {alias} -> {several}{targets}  ({endpoints[dialect]})")
        for target in model.upstreams:
            name, _, upstream = target.to.partition("/")
            provider = config.providers[name]
            facts = configured_model(provider, upstream, model.capabilities, target.capabilities)
            lines.append(f"             {target.to}: {described(provider.dialect, facts)}")
        for kind, others in msgspec.structs.asdict(model.falls_back).items():
            if others:
                lines.append(f"             after {FAILURES[kind]}: {', '.join(others)}")
    for name, provider in config.providers.items():
        lines.append(f"model      {name}/* -> {name}  ({endpoints[provider.dialect]})")
        patterns = DEFAULT_MODELS[provider.dialect] if provider.models is None else provider.models
        for pattern in patterns:
            lines.append(f"model      {pattern} -> {name}")
            if not set(pattern) & set("*?["):
                facts = configured_model(provider, pattern)
                lines.append(f"             {name}/{pattern}: {described(provider.dialect, facts)}")
    for dialect in ("openai", "anthropic"):
        rest = [name for name, p in config.providers.items() if p.dialect == dialect and p.models is None]
        if len(rest) == 1:
            lines.append(f"model      any other, in the {dialect} dialect -> {rest[0]}")
    return lines
