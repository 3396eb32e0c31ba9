"""Where vendors answer in a dialect that this program speaks, and the variable that usually holds their key.

The addresses are those of the vendors' own documentation for OpenAI's or Anthropic's SDK; the variables, those that
LiteLLM reads, so that an environment which has them goes on working.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from edge.config.rules import ENDPOINTS

__all__ = ["CLAUDE_AT_AZURE", "ELSEWHERE", "VENDORS", "Vendor", "vendor_of"]

DEPLOYMENT = re.compile(r"/openai(/deployments(/.*)?)?$")
"""What may stand behind the address of a resource at Azure, and not in that of its v1 API."""


@dataclass(frozen=True)
class Vendor:
    """``base_url`` is "" where each customer has an address of their own, which goes on with ``behind``; ``variable``
    is "" where no key is needed; ``name`` is what to call the provider, the prefix where it is "".
    """

    base_url: str
    variable: str
    dialect: Literal["openai", "anthropic"] = "openai"
    auth: Literal["bearer", "x-api-key", "api-key"] | None = None
    behind: str = ""
    name: str = ""

    def address(self, given: str) -> str:
        """The base URL for an address that a customer has been given."""
        given = ENDPOINTS.sub("", given.rstrip("/"))
        if self.auth == "api-key":
            given = DEPLOYMENT.sub("", given)
        if not self.behind or given.endswith((self.behind, "/v1")):
            return given
        # What the address has of it already is not added again.
        return given.removesuffix(self.behind.removesuffix("/v1")) + self.behind


_AZURE = Vendor("", "AZURE_API_KEY", auth="api-key", behind="/openai/v1")
_COHERE = Vendor("https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY", name="cohere")
_OPENAI = Vendor("https://api.openai.com/v1", "OPENAI_API_KEY", name="openai")
_OLLAMA = Vendor("http://localhost:11434/v1", "", behind="/v1", name="ollama")
VENDORS: dict[str, Vendor] = {
    "openai": _OPENAI,
    "text-completion-openai": _OPENAI,
    "anthropic": Vendor("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", "anthropic", behind="/v1"),
    "azure": _AZURE,
    "azure_ai": Vendor("", "AZURE_AI_API_KEY", auth="api-key", behind="/openai/v1"),
    "cerebras": Vendor("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "cohere": _COHERE,
    "cohere_chat": _COHERE,
    "codestral": Vendor("https://codestral.mistral.ai/v1", "CODESTRAL_API_KEY"),
    "dashscope": Vendor("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY"),
    "deepinfra": Vendor("https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    "deepseek": Vendor("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "fireworks_ai": Vendor("https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY", name="fireworks"),
    "gemini": Vendor("https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    "groq": Vendor("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "meta_llama": Vendor("https://api.llama.com/compat/v1", "LLAMA_API_KEY", name="llama"),
    "mistral": Vendor("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "moonshot": Vendor("https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    "nvidia_nim": Vendor("https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY", name="nvidia"),
    "openrouter": Vendor("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "sambanova": Vendor("https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    "volcengine": Vendor("https://ark.cn-beijing.volces.com/api/v3", "VOLCENGINE_API_KEY"),
    "together_ai": Vendor("https://api.together.xyz/v1", "TOGETHERAI_API_KEY", name="together"),
    "xai": Vendor("https://api.x.ai/v1", "XAI_API_KEY"),
    "ollama": _OLLAMA,
    "ollama_chat": _OLLAMA,
    "hosted_vllm": Vendor("", "", name="vllm"),
    "vllm": Vendor("", "", name="vllm"),
    "lm_studio": Vendor("", ""),
    "llamafile": Vendor("http://127.0.0.1:8080/v1", ""),
    "custom_openai": Vendor("", "", name="local"),
    "openai_like": Vendor("", "", name="local"),
    "litellm_proxy": Vendor("", "LITELLM_PROXY_API_KEY", name="litellm"),
    "xinference": Vendor("", ""),
}

CLAUDE_AT_AZURE = Vendor("", "AZURE_AI_API_KEY", "anthropic", behind="/anthropic/v1", name="azure-claude")
"""What azure_ai/ is for Claude: Anthropic's API, at an address of its own (learn.microsoft.com, Claude in Foundry)."""

_SIGNED = "needs signed requests, which are not supported; use a provider with an OpenAI or Anthropic API"
_EXPIRING = (
    "needs tokens that expire within the hour, which are not supported; Gemini's OpenAI endpoint (gemini/) takes a key"
)
_OTHER_API = "has only an API of its own, which is not supported; use a provider with an OpenAI or Anthropic API"

ELSEWHERE: dict[str, str] = {
    "bedrock": _SIGNED,
    "bedrock_converse": _SIGNED,
    "sagemaker": _SIGNED,
    "sagemaker_chat": _SIGNED,
    "vertex_ai": _EXPIRING,
    "vertex_ai_beta": _EXPIRING,
    "auto_router": "chooses a model by the prompt, which is not supported; an alias has a 'strategy'",
    "perplexity": "serves its API at the root of its host, where a base URL needs a path",
    **dict.fromkeys(
        (
            "huggingface",
            "replicate",
            "watsonx",
            "nlp_cloud",
            "aleph_alpha",
            "petals",
            "predibase",
            "clarifai",
            "voyage",
            "jina_ai",
            "databricks",
            "snowflake",
        ),
        _OTHER_API,
    ),
}
"""What cannot be asked, and why."""

_BY_NAME = (
    ("gpt-", "openai"),
    ("chatgpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("ft:", "openai"),
    ("text-embedding-", "openai"),
    ("dall-e-", "openai"),
    ("whisper-", "openai"),
    ("tts-", "openai"),
    ("davinci-", "openai"),
    ("babbage-", "openai"),
    ("*", "openai"),
    ("claude-", "anthropic"),
)


def vendor_of(model: str) -> tuple[str, str]:
    """The prefix of a vendor and the name of a model there; the prefix is "" where neither the name's first segment nor
    its beginning tells the vendor.
    """
    prefix, _, rest = model.partition("/")
    if rest and (prefix in VENDORS or prefix in ELSEWHERE):
        return prefix, rest
    return next((prefix for begins, prefix in _BY_NAME if model.startswith(begins)), ""), model
