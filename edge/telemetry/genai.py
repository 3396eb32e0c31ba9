"""The words of OpenTelemetry's conventions for generative AI (https://github.com/open-telemetry/semantic-conventions-genai),
as far as they are not ours.
"""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["operation", "vendor"]

OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/messages": "chat",
    "/v1/responses": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
}
VENDORS = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "amazonaws.com": "aws.bedrock",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "api.mistral.ai": "mistral_ai",
    "api.x.ai": "x_ai",
    "api.groq.com": "groq",
    "api.deepseek.com": "deepseek",
    "api.cohere.com": "cohere",
    "api.perplexity.ai": "perplexity",
}
"""The values of ``gen_ai.provider.name``, by the ends of their hosts."""


def operation(endpoint: str) -> str:
    """``gen_ai.operation.name`` of an endpoint, "" for one that asks no model for anything."""
    return OPERATIONS.get(endpoint, "")


def vendor(name: str, base_url: str) -> str:
    """``gen_ai.provider.name`` of the provider that the configuration calls `name`: that itself where the host is none
    of those that have a word of their own.
    """
    host = urlsplit(base_url).hostname or ""
    for end, word in VENDORS.items():
        if host == end or host.endswith(f".{end}") or (end[0].isalpha() and host.endswith(f"-{end}")):
            return word
    return name
