"""Every fault of the simulator, at each phase, in every API, passed through and translated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.replay.bench import Case, Play
from tests.replay.corpus.bodies import CHAT, COMPLETIONS, COUNT, EMBEDDINGS, MESSAGES, RESPONSES, body_for, faulty_model

STATUSES = (400, 401, 402, 403, 404, 405, 408, 409, 413, 422, 425, 429, 500, 501, 502, 503, 504, 529, 599)
REFUSED = (
    "429-retry-3",
    "429-retryms-1500",
    "429-noretry",
    "503-retry-7",
    "500-html",
    "404-html",
    "502-garbage",
    "500-empty",
)
SPOILED = (
    "html",
    "garbage",
    "empty",
    "gzip",
    "hostile",
    "redirect",
    "surplus",
    "refusal",
    "drip-97",
    "words-60",
    "words-0",
)
BROKEN = ("rst", "rst-20", "rst-900", "cut", "cut-0", "cut-1", "cut-2", "cut-3", "cut-70", "half-0", "half-1", "half-3")
INBAND = ("inband-0", "inband-1", "inband-2", "inband-4")
FAULTS = (*map(str, STATUSES), *REFUSED, *SPOILED, *BROKEN, *INBAND)
SILENT = ("hang", "hang-0", "hang-1", "hang-2", "hang-4", "stall-0", "stall-1", "stall-3")

FORMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chat": (CHAT, "openai", {}),
    "chat-stream": (CHAT, "openai", {"stream": True}),
    "chat-translated": (CHAT, "anthropic", {}),
    "chat-stream-translated": (CHAT, "anthropic", {"stream": True, "stream_options": {"include_usage": True}}),
    "messages": (MESSAGES, "anthropic", {}),
    "messages-stream": (MESSAGES, "anthropic", {"stream": True}),
    "messages-translated": (MESSAGES, "openai", {}),
    "messages-stream-translated": (MESSAGES, "openai", {"stream": True}),
    "responses": (RESPONSES, "openai", {}),
    "responses-stream": (RESPONSES, "openai", {"stream": True}),
    "completions-stream": (COMPLETIONS, "openai", {"stream": True}),
    "embeddings": (EMBEDDINGS, "openai", {}),
    "count": (COUNT, "anthropic", {}),
}
SHORT = ("chat", "chat-stream", "chat-stream-translated", "messages-stream", "messages-translated", "responses-stream")


def faulty(path: str, model: str, more: dict[str, Any]):
    def play(p: Play) -> None:
        p.client().post(path, body_for(path, model, p.said, **more))

    return play


def silent(path: str, provider: str, more: dict[str, Any], fault: str):
    def play(p: Play) -> None:
        p.client().post(path, body_for(path, f"{provider}/sim-{fault}", p.said, **more))
        p.left(provider)

    return play


def cases() -> Iterator[Case]:
    for number, (form, (path, provider, more)) in enumerate(FORMS.items()):
        for fault in FAULTS:
            model = faulty_model(provider, fault, number)
            yield Case("plain", f"faults/{form}/{fault}", faulty(path, model, more))
    for form in SHORT:
        path, provider, more = FORMS[form]
        for fault in SILENT if "stream" in form else SILENT[:3]:  # JSON has no events to stall in
            variants = ("lane", "asgi", "pure") if fault in SILENT[:3] else ("lane",)
            yield Case("quick", f"faults/{form}/{fault}", silent(path, provider, more, fault), variants)

    def early(p: Play) -> None:
        p.client().post(CHAT, body_for(CHAT, "early/gpt-4o", p.said))

    yield Case("plain", "faults/chat/early", early)

    def bomb(p: Play) -> None:
        p.client().post(CHAT, body_for(CHAT, "openai/sim-bomb", p.said))

    yield Case("plain", "faults/chat/bomb", bomb, ("lane",))

    def dated(p: Play) -> None:
        p.volatile.append(r"\w{3}, \d\d \w{3} \d{4} [\d:]+ GMT")
        p.client().post(CHAT, body_for(CHAT, "openai/sim-429-retrydate-30", p.said))

    yield Case("plain", "faults/chat/429-retrydate", dated)

    def down(p: Play) -> None:
        p.client().post(CHAT, body_for(CHAT, "down/gpt-4o", p.said))

    yield Case("plain", "faults/chat/down", down)
