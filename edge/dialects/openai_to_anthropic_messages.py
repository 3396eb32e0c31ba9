"""A conversation of OpenAI's chat as Anthropic's ``system`` and ``messages``.

Shapes: openai-python ``types/chat/chat_completion_*_param.py``, anthropic-sdk-python ``types/*_block_param.py``.

* The system and developer messages that a conversation begins with are ``system``, a block each. Later ones stay where
  they are: as ``role: system`` where the model takes it, and after a user's turn, the only place where it may be
  (https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages); else in the user's words.
* Results of tools go before whatever the user says next, in one turn: Anthropic refuses a ``tool_use`` whose results
  are not all at the beginning of the next user turn (https://platform.claude.com/docs/en/agents-and-tools/tool-use).
* Blank text is left out: Anthropic refuses a text block of nothing but white space. Where a user has said nothing else
  between two turns of the assistant, or before the first, there is `NOTHING` to keep them apart.
* Thinking goes first in its turn and keeps every byte, and only if it is signed: a signature is what Anthropic gave it.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from edge.dialects.chat_request import CALL_FIELDS, CALLED, FILE_FIELDS, IMAGE_FIELDS, answered_call
from edge.dialects.refusals import missing, openai_choice, openai_type
from edge.dialects.thinking import is_signed
from edge.dialects.translation import Dropped, ToolNames, anthropic_id, arguments_object, invalid, short_name

__all__ = ["Conversation", "cache_control"]

IMAGES = {
    "image/jpeg": "image/jpeg",
    "image/jpg": "image/jpeg",
    "image/png": "image/png",
    "image/gif": "image/gif",
    "image/webp": "image/webp",
}
"""What ``types/base64_image_source_param.py`` allows."""
PROOFS = ("thinking", "redacted_thinking")
"""Types of blocks that come back as they were."""
MAX_CACHE_MARKS = 4
"""https://platform.claude.com/docs/en/build-with-claude/prompt-caching"""
PART_FIELDS = frozenset(("type", "text", "image_url", "file", "refusal", "cache_control", "prompt_cache_breakpoint"))
MESSAGE_FIELDS = {
    "system": frozenset(("role", "content", "cache_control")),
    "user": frozenset(("role", "content", "cache_control")),
    "tool": frozenset(("role", "content", "tool_call_id", "cache_control", "name")),
    "assistant": frozenset(
        (
            *("role", "content", "refusal", "tool_calls", "function_call", "cache_control", "annotations"),
            *("thinking_blocks", "reasoning_content", "signature"),
        )
    ),
}
ROLES = ("system", "assistant", "user", "function", "tool", "developer")
MESSAGE_FIELDS["developer"] = MESSAGE_FIELDS["system"]
MESSAGE_FIELDS["function"] = MESSAGE_FIELDS["tool"]


NOTHING = "(no content)"


class Conversation:
    """Takes the messages one by one; ``system`` and ``messages`` are the result.

    ``tools_used``: the names of the tools in the history, as sent. Raises InvalidValue for what cannot be said in
    Anthropic's dialect, naming the message and the part.
    """

    __slots__ = (
        *(
            "_assistant_documents",
            "_begun",
            "_calls",
            "_dropped",
            "_instructed",
            "_marks",
            "_names",
            "_quiet",
            "_rest",
            "_results",
        ),
        *("_system_turns", "messages", "system", "tools_used"),
    )

    def __init__(
        self, dropped: Dropped, names: ToolNames, *, assistant_documents: bool = True, system_turns: bool = False
    ) -> None:
        """`assistant_documents`: the assistant's turns may have documents; `system_turns`: ``role: system`` is taken
        in ``messages``.
        """
        self._dropped = dropped
        self._assistant_documents = assistant_documents
        self._system_turns = system_turns
        self._names = names
        self.system: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        self.tools_used: dict[str, None] = {}
        self._results: list[dict[str, Any]] = []
        self._rest: list[dict[str, Any]] = []
        self._instructed = 0  # how many of the last blocks of `_rest` are instructions
        self._begun = False  # somebody but the system has spoken
        self._quiet = False  # the user's turn has been empty
        self._marks: list[dict[str, Any]] = []
        self._calls: dict[str, str] = {}

    def end(self) -> None:
        """All messages have been taken."""
        self._end_turn(last=True)
        if not self.messages and self.system:
            # OpenAI answers a prompt of instructions alone; Anthropic wants a user to speak.
            self.messages.append({"role": "user", "content": [self.system.pop()]})
        if not self.messages:
            raise invalid("The parameter 'messages' holds nothing for the model to answer.", "messages")
        last = self.messages[-1]
        if last["role"] == "assistant":
            self._strip_end(last["content"])

    def limit_marks(self, tools: list[dict[str, Any]]) -> None:
        """Leave as many cache markers as Anthropic takes: those of the `tools` rather than others, and the latest."""
        marks = self._marks + [tool for tool in tools if "cache_control" in tool]
        for marked in marks[:-MAX_CACHE_MARKS]:
            del marked["cache_control"]
            self._dropped.add("cache_control")

    def goes_on_without_thinking(self) -> bool:
        """Whether the model is to go on with a turn of its own that has no thinking, of which it has said the beginning
        or in which the tools now running were called: then Anthropic refuses a budget of it.

        https://platform.claude.com/docs/en/build-with-claude/extended-thinking#preserving-thinking-blocks
        """
        for message in reversed(self.messages):
            if message["role"] == "assistant" and message is self.messages[-1]:
                return True
            if message["role"] == "assistant":
                first = message["content"][0]["type"]
                used = any(block["type"] == "tool_use" for block in message["content"])
                return used and first not in ("thinking", "redacted_thinking")
            if message["role"] == "user" and all(block["type"] != "tool_result" for block in message["content"]):
                return False
        return False

    def take(self, index: int, message: Any) -> None:
        """The message that stands at `index` among those of the request."""
        at = f"messages[{index}]"
        role = message.get("role") if isinstance(message, dict) else None
        if not isinstance(message, dict):
            raise openai_type(at, "an object", message)
        if role is None:
            raise missing(f"{at}.role", "openai")
        known = MESSAGE_FIELDS[openai_choice(f"{at}.role", role, ROLES)]
        for name, value in message.items():
            if name not in known and value is not None:
                self._dropped.add(f"messages.{name}")
        if role in ("system", "developer"):
            self._system(self._blocks(message, at))
            return
        self._begun = True
        if role == "user":
            self._user(self._blocks(message, at))
        elif role == "assistant":
            if message.get("audio") is not None:
                raise invalid(f"'{at}.audio' is kept by another provider: send what was said as text.", f"{at}.audio")
            content = self._assistant(message, at)
            if content:
                self._end_turn()
                self.messages.append({"role": "assistant", "content": content})
        else:
            self._result(message, at)

    def _system(self, blocks: list[dict[str, Any]]) -> None:
        if not self._begun:
            self.system += blocks
        else:
            self._rest += blocks
            self._instructed += len(blocks)

    def _user(self, blocks: list[dict[str, Any]]) -> None:
        if not blocks:
            self._quiet = True
            return
        called = bool(self.messages) and self.messages[-1]["content"][-1]["type"] == "tool_use"
        if len(self._rest) > self._instructed and not called:
            self._end_turn(goes_on=True)
        self._rest += blocks  # after calls all is one turn, for results may still follow
        self._instructed = 0

    def _end_turn(self, *, goes_on: bool = False, last: bool = False) -> None:
        """What was said since the assistant's last turn is one of the user's. It `goes_on` if the user speaks again
        before the assistant does, and is `last` if nobody does.
        """
        content = self._results + self._rest
        instructions: list[dict[str, Any]] = []
        if self._system_turns and not goes_on and 0 < self._instructed < len(content):
            content, instructions = content[: -self._instructed], content[-self._instructed :]
        before = self.messages[-1]["role"] if self.messages else ""
        if not content and ((before == "assistant" and self._quiet) or (not before and not last)):
            content = [{"type": "text", "text": NOTHING}]
        if content:
            self.messages.append({"role": "user", "content": content})
        if instructions:
            self.messages.append({"role": "system", "content": instructions})
        self._results, self._rest, self._instructed, self._quiet = [], [], 0, False

    def _result(self, message: dict[str, Any], at: str) -> None:
        call = answered_call(message, self._calls, at)
        content = message.get("content")
        result: dict[str, Any] = {"type": "tool_result", "tool_use_id": anthropic_id(call)}
        if isinstance(content, list):
            result["content"] = self._parts(content, at)
        elif isinstance(content, str):
            result["content"] = content
        elif content is not None:
            raise invalid(f"'{at}.content' must be a string or a list of parts.", f"{at}.content")
        self._mark(result, message)
        self._results.append(result)

    def _assistant(self, message: dict[str, Any], at: str) -> list[dict[str, Any]]:
        if message.get("annotations"):
            self._dropped.add("messages.annotations")
        content = self._blocks(message, at)
        if not self._assistant_documents and any(block["type"] == "document" for block in content):
            raise invalid(f"'{at}' has a document, which this version of the API takes from users only.", at)
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal.strip():
            content.append({"type": "text", "text": refusal})
        calls = message.get("tool_calls")
        if calls is not None and not isinstance(calls, list):
            raise invalid(f"'{at}.tool_calls' must be a list.", f"{at}.tool_calls")
        for number, call in enumerate(calls or ()):
            content.append(self._tool_use(call, f"{at}.tool_calls[{number}]"))
        function = message.get("function_call")
        if function is not None:
            name = function.get("name") if isinstance(function, dict) else None
            # Functions of old have no ids: the number of the turn gives one that is the same in every request.
            call_id = self._calls[str(name)] = f"call_{len(self.messages)}"
            content.append(self._tool_use({"id": call_id, "function": function}, f"{at}.function_call"))
        thinking = self._thinking(message)
        if thinking and not content:
            self._dropped.add("messages.thinking_blocks")  # Anthropic refuses a turn that ends in thinking
            return []
        return thinking + content

    def _tool_use(self, call: Any, at: str) -> dict[str, Any]:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise invalid(f"'{at}' is not the call of a function: no other kind can be translated.", at)
        self._dropped.beside("messages.tool_calls", call, CALL_FIELDS)
        self._dropped.beside("messages.tool_calls.function", function, CALLED)
        call_id, name = call.get("id"), function.get("name")
        if not isinstance(call_id, str) or not call_id:
            raise invalid(f"'{at}.id' must be a string.", f"{at}.id")
        if not isinstance(name, str) or not name:
            raise invalid(f"'{at}.function.name' must be a string.", f"{at}.function.name")
        arguments = arguments_object(function.get("arguments"))
        if arguments is None:
            raise invalid(f"'{at}.function.arguments' must be a JSON object.", f"{at}.function.arguments")
        name = short_name(name, self._names)
        self.tools_used[name] = None
        return {"type": "tool_use", "id": anthropic_id(call_id), "name": name, "input": arguments}

    def _thinking(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        blocks = message.get("thinking_blocks")
        kept: list[dict[str, Any]] = []
        for block in blocks if isinstance(blocks, list) else ():
            kind = block.get("type") if isinstance(block, dict) else None
            if kind not in PROOFS or not is_signed(kind, block.get("signature"), block.get("data")):
                self._dropped.add("messages.thinking_blocks")
            elif kind == "redacted_thinking":
                kept.append({"type": kind, "data": block["data"]})
            else:
                thought = block.get("thinking")
                thought = thought if isinstance(thought, str) else ""
                kept.append({"type": kind, "thinking": thought, "signature": block["signature"]})
        reasoning = message.get("reasoning_content")
        if _is_text(reasoning) and not kept:
            if _is_text(message.get("signature")):
                kept.append({"type": "thinking", "thinking": reasoning, "signature": message["signature"]})
            else:
                self._dropped.add("messages.reasoning_content")
        return kept

    def _blocks(self, message: dict[str, Any], at: str) -> list[dict[str, Any]]:
        content = message.get("content")
        blocks: list[dict[str, Any]] = []
        if isinstance(content, str):
            blocks = [{"type": "text", "text": content}] if content.strip() else []
        elif isinstance(content, list):
            blocks = self._parts(content, at)
        elif content is not None:
            raise invalid(f"'{at}.content' must be a string or a list of parts.", f"{at}.content")
        if blocks:
            self._mark(blocks[-1], message)
        else:
            self._mark_before(message)
        return blocks

    def _parts(self, content: list[Any], at: str) -> list[dict[str, Any]]:
        blocks = []
        for number, part in enumerate(content):
            block = self._part(part, f"{at}.content[{number}]")
            if block is not None:
                self._mark(block, part)
                blocks.append(block)
            elif blocks:
                self._mark(blocks[-1], part)
            else:
                self._mark_before(part)
        return blocks

    def _part(self, part: Any, at: str) -> dict[str, Any] | None:
        kind = part.get("type") if isinstance(part, dict) else None
        for name in part if isinstance(part, dict) else ():
            if name not in PART_FIELDS and part[name] is not None and name != kind:
                self._dropped.add(f"messages.content.{name}")
        if kind in ("text", "refusal"):
            text = part.get(kind)
            if not isinstance(text, str):
                raise invalid(f"'{at}.{kind}' must be a string.", f"{at}.{kind}")
            return {"type": "text", "text": text} if text.strip() else None
        if kind == "image_url":
            return self._image(part.get("image_url"), f"{at}.image_url")
        if kind == "file":
            return self._file(part.get("file"), f"{at}.file")
        raise invalid(
            f"'{at}' is a part of type '{kind}', which cannot be translated for this model's API.", f"{at}.type"
        )

    def _image(self, image: Any, at: str) -> dict[str, Any]:
        url = image.get("url") if isinstance(image, dict) else image
        if not isinstance(url, str):
            raise invalid(f"'{at}.url' must be a string.", f"{at}.url")
        if isinstance(image, dict):
            self._dropped.beside("messages.content.image_url", image, IMAGE_FIELDS)
            if image.get("detail") not in (None, "auto"):
                self._dropped.add("messages.content.image_url.detail")
        if url[:8].lower() == "https://" or url[:7].lower() == "http://":
            # Passed on, never fetched: an address is the client's word, and this side of the firewall is ours.
            return {"type": "image", "source": {"type": "url", "url": url}}
        media_type, data = _data_url(url)
        if media_type == "application/pdf":
            return {"type": "document", "source": _base64(media_type, data)}
        if media_type not in IMAGES:
            raise invalid(
                f"'{at}.url' must be an http(s) address or a base64 data URL of a JPEG, PNG, GIF or WebP.", f"{at}.url"
            )
        return {"type": "image", "source": _base64(IMAGES[media_type], data)}

    def _file(self, file: Any, at: str) -> dict[str, Any]:
        if isinstance(file, dict):
            self._dropped.beside("messages.content.file", file, FILE_FIELDS)
        if isinstance(file, dict) and isinstance(file.get("file_url"), str):
            return _titled({"type": "document", "source": {"type": "url", "url": file["file_url"]}}, file)
        data = file.get("file_data") if isinstance(file, dict) else None
        if not isinstance(data, str):
            name = "file_id" if isinstance(file, dict) and "file_id" in file else "file_data"
            raise invalid(
                f"'{at}' must bring its content in 'file_data': a file_id means nothing to this model's API.",
                f"{at}.{name}",
            )
        filename = file.get("filename")
        if data[:5].lower() == "data:":
            media_type, data = _data_url(data)
        else:
            media_type = "application/pdf" if str(filename).lower().endswith(".pdf") else "text/plain"
        if media_type in IMAGES:
            return {"type": "image", "source": _base64(IMAGES[media_type], data)}
        document: dict[str, Any] = {"type": "document"}
        if media_type == "application/pdf":
            document["source"] = _base64(media_type, data)
        elif media_type.startswith("text/") or media_type in ("application/json", "application/xml"):
            try:
                text = b64decode(data, validate=True).decode()
            except ValueError:
                raise invalid(
                    f"'{at}.file_data' must be base64 of a PDF, or of at most a megabyte of text in UTF-8.",
                    f"{at}.file_data",
                ) from None
            document["source"] = {"type": "text", "media_type": "text/plain", "data": text}
        else:
            raise invalid(f"'{at}.file_data' must be a PDF, an image or text.", f"{at}.file_data")
        return _titled(document, file)

    def _mark(self, block: dict[str, Any], source: dict[str, Any]) -> None:
        """``cache_control`` as the client wrote it, or for OpenAI's ``prompt_cache_breakpoint``."""
        mark = cache_control(source)
        if mark is not None:
            if "cache_control" not in block:
                self._marks.append(block)
            block["cache_control"] = mark

    def _mark_before(self, source: dict[str, Any]) -> None:
        """The marker of what is left out, as blank, goes to what stands before it."""
        said = self._rest or self._results or (self.messages[-1]["content"] if self.messages else self.system)
        if said and said[-1]["type"] not in PROOFS:
            self._mark(said[-1], source)

    @staticmethod
    def _strip_end(content: list[dict[str, Any]]) -> None:
        """Anthropic continues a last assistant turn, and refuses one that ends in white space."""
        if content[-1]["type"] == "text":
            content[-1]["text"] = content[-1]["text"].rstrip()


def cache_control(source: dict[str, Any]) -> dict[str, Any] | None:
    """The cache marker a part, message or tool carries, in Anthropic's form.

    Anthropic keeps an hour what OpenAI would keep twelve; 30 minutes, OpenAI's default, are Anthropic's default of
    five.
    """
    mark = source.get("cache_control")
    if isinstance(mark, dict):
        ttl = mark.get("ttl")
        return {"type": "ephemeral", "ttl": ttl} if ttl in ("5m", "1h") else {"type": "ephemeral"}
    mark = source.get("prompt_cache_breakpoint")
    if isinstance(mark, dict):
        return {"type": "ephemeral", "ttl": "1h"} if mark.get("ttl") == "12h" else {"type": "ephemeral"}
    return None


def _data_url(url: str) -> tuple[str, str]:
    """The media type and the base64 text of a data URL; ("", "") for any other."""
    head, comma, data = url.partition(",")
    scheme, _, rest = head.partition(":")
    if scheme.lower() != "data" or not comma or not rest.lower().endswith(";base64"):
        return "", ""
    return rest.partition(";")[0].strip().lower(), data


def _base64(media_type: str, data: str) -> dict[str, Any]:
    return {"type": "base64", "media_type": media_type, "data": data}


def _titled(document: dict[str, Any], file: dict[str, Any]) -> dict[str, Any]:
    if _is_text(file.get("filename")):
        document["title"] = file["filename"]
    return document


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""
