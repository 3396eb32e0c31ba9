"""LLM Edge Agent: an LLM gateway in front of OpenAI, Anthropic and every compatible API."""

__version__ = "0.1.0"

__all__ = ["__version__"]
