"""The forms of whole answers that `edge._fast._usual` reads: OpenAI's chat, completions, embeddings and responses,
Anthropic's messages.
"""

__all__ = ["CHAT", "COMPLETION", "EMBEDDINGS", "MESSAGE", "RESPONSE"]

CHAT, COMPLETION, EMBEDDINGS, MESSAGE, RESPONSE = range(5)
