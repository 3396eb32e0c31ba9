"""The forms of whole answers that `edge._fast._usual` reads: OpenAI's chat, completions, embeddings and responses,
Anthropic's messages. And the places of their counts: of input and output, of what was read from and written to the
provider's cache, of reasoning; of what was written, of that which is kept for longer and for shorter; of sounds and
pictures in both. What means nothing is counted as `UNHEARD`.
"""

__all__ = [
    "AUDIO_INPUT",
    "AUDIO_OUTPUT",
    "CACHED",
    "CHAT",
    "COMPLETION",
    "EMBEDDINGS",
    "FORMS",
    "IMAGE_INPUT",
    "IMAGE_OUTPUT",
    "INPUT",
    "LONGER",
    "MESSAGE",
    "OUTPUT",
    "PLACES",
    "REASONING",
    "RESPONSE",
    "SHORTER",
    "UNHEARD",
    "WRITTEN",
]

FORMS = 5
CHAT, COMPLETION, EMBEDDINGS, MESSAGE, RESPONSE = range(FORMS)
PLACES = 12
INPUT, OUTPUT, CACHED, WRITTEN, REASONING, LONGER, SHORTER = range(7)
AUDIO_INPUT, AUDIO_OUTPUT, IMAGE_INPUT, IMAGE_OUTPUT, UNHEARD = range(7, PLACES)
