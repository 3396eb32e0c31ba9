"""The forms of whole answers that `edge._fast._usual` reads: OpenAI's chat, completions and embeddings, Anthropic's
messages.
"""

__all__ = ["CHAT", "COMPLETION", "EMBEDDINGS", "MESSAGE"]

CHAT, COMPLETION, EMBEDDINGS, MESSAGE = range(4)
