"""A request of Anthropic's messages as one of OpenAI's Responses.

Shapes: anthropic-sdk-python ``types/message_create_params.py``, openai-python 3.57
``types/responses/response_create_params.py``, ``response_input_item_param.py``. What chat completions have as well goes
the way to them, and is called otherwise at its end.

* Instructions stay messages at their places: GPT-6.2 caches no ``instructions``.
* What a result of a tool has beside text, pictures and documents, is part of it.
* A thought that OpenAI's model has had goes back to it as it was, before what it led to; any other stays behind.
"""

from __future__ import annotations

from typing import Any

from edge.dialects import anthropic_to_openai
from edge.dialects.anthropic_to_openai_messages import BLOCK_FIELDS, SERVER_BLOCKS, SOURCE_FIELDS, Part
from edge.dialects.anthropic_to_openai_messages import Conversation as ChatConversation
from edge.dialects.models import Model
from edge.dialects.responses_request import file_part, image_part, responses_fields, text_part
from edge.dialects.sealed import Seal
from edge.dialects.translation import Dropped, ToolNames, invalid, openai_id

__all__ = ["Request"]

PLAIN = {"type", "text"}
THOUGHTS = ("thinking", "redacted_thinking")


class Request(anthropic_to_openai.Request):
    """A messages request for ``/v1/responses``. All versions of Anthropic's API are read."""

    __slots__ = ()

    by = "responses"

    def conversation_of(self) -> Conversation:
        return Conversation(self.facts, self.dropped, self.context.tool_names, self.context.seal)

    def end(self) -> None:
        super().end()
        thinking = self.request.get("thinking")
        shown = isinstance(thinking, dict) and shows_thinking(thinking)
        self.result = responses_fields(self.result, self.facts, self.dropped, "max_tokens", shown=shown)


def shows_thinking(thinking: dict[str, Any]) -> bool:
    """Whether a client wants to see what is thought: by ``display``, and where thinking has a budget by default."""
    display = thinking.get("display")
    return bool(display == "summarized" or (display is None and thinking.get("type") == "enabled"))


class Conversation(ChatConversation):
    """Takes ``system`` and the messages one by one; ``messages`` is the list of input items. `seal` opens thoughts."""

    __slots__ = ("_seal",)

    def __init__(self, facts: Model, dropped: Dropped, names: ToolNames, seal: Seal) -> None:
        super().__init__(facts, dropped, names)
        self._seal = seal

    def end(self) -> None:
        silent = (item.get("role") == "system" or item == {"role": "user", "content": ""} for item in self.messages)
        if all(silent):
            raise invalid("The parameter 'messages' holds nothing for the model to answer.", "messages")

    def _user(self, content: Any, at: str) -> None:
        parts: list[Part] = []
        results = False
        for block, where in self._blocks(content, at):
            if block["type"] == "tool_result":
                results = True
                self._output(block, where)
            else:
                parts += self._block_parts(block, where, parts)
        if parts or not results:
            # Who says nothing has had a turn all the same: without it, two others would follow each other.
            self.messages.append({"role": "user", "content": self._content(parts) if parts else ""})

    def _output(self, block: dict[str, Any], at: str) -> None:
        call = block.get("tool_use_id")
        if not isinstance(call, str):
            raise invalid(f"'{at}.tool_use_id' must be a string.", f"{at}.tool_use_id")
        content = block.get("content")
        parts = self._parts(content, f"{at}.content") if content is not None else []
        if block.get("is_error") is True:
            # OpenAI has no flag for it, and the model has to know.
            parts.insert(0, text_part("Error: "))
        self._note(block, BLOCK_FIELDS["tool_result"], marked=self._mark_result(block, parts))
        plain = all(part.keys() == PLAIN for part in parts)
        output = "".join(part["text"] for part in parts) if plain else parts
        self.messages.append({"type": "function_call_output", "call_id": openai_id(call), "output": output})

    def _assistant(self, content: Any, at: str) -> None:
        items: list[dict[str, Any]] = []
        texts: list[str] = []
        for block, where in self._blocks(content, at):
            kind = block["type"]
            if kind == "text":
                texts.append(self._text(block, where))
            elif kind == "compaction":
                texts += self._summary(block)
            elif kind == "tool_use":
                said(items, texts)
                call = self._call(block, where)
                items.append({"type": "function_call", "call_id": call["id"], **call["function"]})
            elif kind in THOUGHTS:
                item = self._seal.open_reasoning(block.get("signature" if kind == "thinking" else "data"))
                if item is None:
                    self._dropped.add(f"messages.content.{kind}")
                    continue
                said(items, texts)
                items.append(item)
            elif kind in SERVER_BLOCKS:
                self._dropped.add(f"messages.content.{kind}")
                continue
            else:
                raise invalid(f"'{where}' is a block of type '{kind}', which cannot be translated.", f"{where}.type")
            self._note(block, BLOCK_FIELDS.get(kind, BLOCK_FIELDS["text"]))
        said(items, texts)
        while items and items[-1]["type"] == "reasoning":
            items.pop()  # OpenAI refuses a thought that nothing follows: it was cut off
            self._dropped.add("messages.content.thinking")
        self.messages += items

    # How Responses call what there is in a message.

    def _said(self, text: str) -> Part:
        return text_part(text)

    def _picture(self, url: str) -> Part:
        return image_part(url)

    def _file(self, name: str, url: str) -> Part:
        return file_part(name, url)

    def _document(self, block: dict[str, Any], at: str) -> list[Part]:
        source = block.get("source")
        if not isinstance(source, dict) or source.get("type") != "url" or not isinstance(source.get("url"), str):
            return super()._document(block, at)
        self._dropped.beside("messages.content.source", source, SOURCE_FIELDS)
        notes = [text for text in (block.get("title"), block.get("context")) if isinstance(text, str) and text]
        file: Part = {"type": "input_file", "file_url": source["url"]}
        return [text_part("\n".join(notes) + "\n\n"), file] if notes else [file]


def said(items: list[dict[str, Any]], texts: list[str]) -> None:
    """What the assistant has said up to here is a message."""
    if text := "".join(texts):
        items.append({"type": "message", "role": "assistant", "content": text})
    texts.clear()
