"""A request of OpenAI's chat completions as one of its Responses, for models that take tools there alone.

Shapes: openai-python 3.57 ``types/chat/completion_create_params.py``, ``chat_completion_*_param.py``,
``types/responses/response_input_item_param.py``.

* Roles stay as they are, and messages at their places.
* Calls of tools, and their results, are items of their own.
* Thoughts come back in ``thinking_blocks``, sealed, and go before the call that they led to, else before the turn.
* A choice of several answers is a 400; what Responses have no field for (``stop``, ``seed``, ``logit_bias``) stays
  behind.
"""

from __future__ import annotations

from typing import Any

from edge.dialects.chat_request import (
    CALL_FIELDS,
    CALLED,
    FILE_FIELDS,
    IMAGE_FIELDS,
    NEUTRAL,
    ChatRequest,
    answered_call,
    note_tool,
)
from edge.dialects.models import LEVELS, effort_for
from edge.dialects.refusals import (
    missing,
    openai_choice,
    openai_integer,
    openai_messages,
    openai_number,
    openai_type,
)
from edge.dialects.responses_request import image_part, responses_fields, text_part
from edge.dialects.sealed import Seal
from edge.dialects.translation import Dropped, digest, invalid

__all__ = ["Request"]

SAME = (
    *("user", "safety_identifier", "service_tier", "metadata", "prompt_cache_key", "prompt_cache_retention"),
    *("prompt_cache_options", "moderation", "parallel_tool_calls", "verbosity", "response_format", "tool_choice"),
)
TAKEN = frozenset(
    (
        *(*SAME, "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "n", "stream"),
        *("stream_options", "tools", "functions", "function_call", "reasoning_effort", "web_search_options"),
    )
)
ROLES = ("system", "assistant", "user", "function", "tool", "developer")
ID_LIMIT = 64
"""Characters that a ``call_id`` may have."""
MESSAGE_FIELDS = {
    "user": frozenset(("role", "content")),
    "tool": frozenset(("role", "content", "tool_call_id", "name")),
    "assistant": frozenset(
        (
            *("role", "content", "refusal", "tool_calls", "function_call", "annotations"),
            *("thinking_blocks", "reasoning_content", "signature"),
        )
    ),
}
for _role, _like in (("system", "user"), ("developer", "user"), ("function", "tool")):
    MESSAGE_FIELDS[_role] = MESSAGE_FIELDS[_like]
FILE = ("filename", "file_data", "file_id", "file_url")
PART_FIELDS = frozenset(("type", "text", "image_url", "file", "refusal", "prompt_cache_breakpoint"))
SAID_FIELDS = frozenset(("type", "text", "refusal"))
"""What the assistant said has no place for anything else."""


class Request(ChatRequest):
    """A chat completion request for ``/v1/responses``."""

    __slots__ = ("conversation", "made")

    made: dict[str, Any]

    to = "openai"

    def begin(self, request: dict[str, Any]) -> list[Any]:
        self.request = request
        self.conversation = Conversation(self.dropped, self.context.seal)
        self.take = self.conversation.take
        self.check(TAKEN, NEUTRAL)
        self.made = {"model": self.context.model}
        self.made |= {name: request[name] for name in SAME if request.get(name) is not None}
        return openai_messages(request.get("messages"))

    def tools(self) -> list[Any]:
        self.made["messages"] = self.conversation.items
        return super().tools()

    def take_tool(self, number: int, tool: Any) -> None:
        legacy = self.context.legacy_functions
        at = f"functions[{number}]" if legacy else f"tools[{number}]"
        if legacy:
            tool = {"type": "function", "function": tool}
        kind = tool.get("type") if isinstance(tool, dict) else None
        described = tool.get(kind) if isinstance(kind, str) else None
        if not isinstance(described, dict) or not isinstance(described.get("name"), str) or not described["name"]:
            raise invalid(f"'{at}.{kind}.name' must be a string.", f"{at}.{kind}.name")
        note_tool(described if legacy else tool, described, self.dropped, legacy=legacy)
        self.made.setdefault("tools", []).append(tool)

    def end(self) -> None:
        request, made, context = self.request, self.made, self.context
        limit = next((name for name in ("max_completion_tokens", "max_tokens") if request.get(name) is not None), "")
        if limit:
            made["max_completion_tokens"] = min(openai_integer(limit, request[limit], 1), self.facts.output_limit)
        if context.legacy_functions:
            made["parallel_tool_calls"] = False  # an answer has room for one
            wanted = request.get("function_call")
            if isinstance(wanted, dict):
                wanted = {"type": "function", "function": wanted}
            if wanted is not None:
                made["tool_choice"] = wanted
        search = request.get("web_search_options")
        if isinstance(search, dict):
            made.setdefault("tools", []).append(search_tool(search))
        self._choice_is_there("function_call" if context.legacy_functions else "tool_choice")
        if not made.get("tools"):
            made.pop("tool_choice", None)
            made.pop("parallel_tool_calls", None)
        self._effort()
        self._sampling()
        if self.streams():
            made["stream"] = True
        self.result = responses_fields(made, self.facts, self.dropped, limit)

    def _choice_is_there(self, asked: str) -> None:
        choice, tools = self.made.get("tool_choice"), self.made.get("tools")
        if not isinstance(choice, dict) or choice.get("type") not in ("function", "custom") or not tools:
            return
        kind, named = choice["type"], choice.get(choice["type"])
        name = named.get("name") if isinstance(named, dict) else None
        if all(tool.get("type") != kind or tool[kind]["name"] != name for tool in tools):
            raise invalid(f"'{asked}' names none of the tools.", asked)

    def _effort(self) -> None:
        effort = self.request.get("reasoning_effort")
        if effort is None:
            return
        openai_choice("reasoning_effort", effort, LEVELS)
        known = self.facts.responses_efforts or self.facts.efforts
        level = effort_for(effort, known)
        if level:
            self.made["reasoning_effort"] = level
        if (bool(known) and level != "none") if effort == "none" else not level:
            self.dropped.add("reasoning_effort")

    def _sampling(self) -> None:
        efforts = self.facts.responses_efforts or self.facts.efforts
        effort = self.made.get("reasoning_effort") or self.facts.default_effort
        takes = self.facts.reasoning_sampling or not efforts or effort == "none"
        for name, most in (("temperature", 2), ("top_p", 1)):
            value = self.request.get(name)
            if value is None:
                continue
            value = openai_number(name, value, 0, most)
            if takes:
                self.made[name] = value
            elif value != 1:
                self.dropped.add(name)


def search_tool(options: dict[str, Any]) -> dict[str, Any]:
    """The tool by which the provider searches the web, as ``web_search_options`` have it."""
    tool: dict[str, Any] = {"type": "web_search"}
    if options.get("search_context_size") is not None:
        tool["search_context_size"] = options["search_context_size"]
    place = options.get("user_location")
    if isinstance(place, dict):
        inner = place.get("approximate")
        tool["user_location"] = {"type": "approximate", **(inner if isinstance(inner, dict) else {})}
    return tool


class Conversation:
    """Takes the messages one by one; ``items`` is the result. Raises InvalidValue for what Responses cannot say, naming
    the message and the part. `seal` opens thoughts.
    """

    __slots__ = ("_calls", "_customs", "_dropped", "_seal", "items")

    def __init__(self, dropped: Dropped, seal: Seal) -> None:
        self._dropped = dropped
        self._seal = seal
        self._calls: dict[str, str] = {}  # by the names of functions of old, whose calls have no ids
        self._customs: set[str] = set()
        self.items: list[dict[str, Any]] = []

    def take(self, index: int, message: Any) -> None:
        """The message that stands at `index` among those of the request."""
        at = f"messages[{index}]"
        if not isinstance(message, dict):
            raise openai_type(at, "an object", message)
        role = message.get("role")
        if role is None:
            raise missing(f"{at}.role", "openai")
        known = MESSAGE_FIELDS[openai_choice(f"{at}.role", role, ROLES)]
        for name, value in message.items():
            if name not in known and value is not None:
                self._dropped.add(f"messages.{name}")
        if role == "assistant":
            self._assistant(message, at)
        elif role in ("tool", "function"):
            self._output(message, at)
        else:
            self.items.append({"role": role, "content": self._content(message.get("content"), at)})

    def _content(self, content: Any, at: str) -> str | list[dict[str, Any]]:
        if isinstance(content, str):
            return content
        if not isinstance(content, list):
            raise invalid(f"'{at}.content' must be a string or a list of parts.", f"{at}.content")
        return [self._part(part, f"{at}.content[{number}]") for number, part in enumerate(content)]

    def _part(self, part: Any, at: str) -> dict[str, Any]:
        kind = part.get("type") if isinstance(part, dict) else None
        for name in part if isinstance(part, dict) else ():
            if name not in PART_FIELDS and part[name] is not None and name != kind:
                self._dropped.add(f"messages.content.{name}")
        if kind == "text":
            made = text_part(self._text(part, kind, at))
        elif kind == "image_url":
            image = part.get("image_url")
            url = image.get("url") if isinstance(image, dict) else image
            if not isinstance(url, str):
                raise invalid(f"'{at}.image_url.url' must be a string.", f"{at}.image_url.url")
            if isinstance(image, dict):
                self._dropped.beside("messages.content.image_url", image, IMAGE_FIELDS)
            made = image_part(url, (image.get("detail") if isinstance(image, dict) else None) or "auto")
        elif kind == "file" and isinstance(part.get("file"), dict):
            file = part["file"]
            self._dropped.beside("messages.content.file", file, FILE_FIELDS)
            names = [name for name in FILE if file.get(name) is not None]
            made = {"type": "input_file", **{name: file[name] for name in names}}
        else:
            raise invalid(f"'{at}' is a part of type '{kind}', which Responses do not take.", f"{at}.type")
        if isinstance(part.get("prompt_cache_breakpoint"), dict):
            made["prompt_cache_breakpoint"] = part["prompt_cache_breakpoint"]
        return made

    def _text(self, part: dict[str, Any], kind: str, at: str) -> str:
        text = part.get(kind)
        if not isinstance(text, str):
            raise invalid(f"'{at}.{kind}' must be a string.", f"{at}.{kind}")
        return text

    def _assistant(self, message: dict[str, Any], at: str) -> None:
        if message.get("audio") is not None:
            raise invalid(f"'{at}.audio' is kept by another API: send what was said as text.", f"{at}.audio")
        if message.get("annotations"):
            self._dropped.add("messages.annotations")
        leading, before = self._thoughts(message)
        calls = self._tool_calls(message, at)
        text = self._said(message, at)
        if text:
            calls.insert(0, {"type": "message", "role": "assistant", "content": text})
        if not calls and (leading or before):
            self._dropped.add("messages.thinking_blocks")  # OpenAI refuses a thought that nothing follows
            return
        self.items += leading
        for item in calls:
            self.items += before.pop(item.get("call_id", ""), ())
            self.items.append(item)

    def _said(self, message: dict[str, Any], at: str) -> str:
        content = message.get("content")
        texts: list[str] = []
        if isinstance(content, str):
            texts.append(content)
        elif isinstance(content, list):
            for number, part in enumerate(content):
                kind = part.get("type") if isinstance(part, dict) else None
                where = f"{at}.content[{number}]"
                if kind not in ("text", "refusal"):
                    raise invalid(
                        f"'{where}' is a part of type '{kind}', which Responses do not take.", f"{where}.type"
                    )
                self._dropped.beside("messages.content", part, SAID_FIELDS)
                texts.append(self._text(part, kind, where))
        elif content is not None:
            raise invalid(f"'{at}.content' must be a string or a list of parts.", f"{at}.content")
        if isinstance(message.get("refusal"), str):
            texts.append(message["refusal"])
        return "".join(texts)

    def _thoughts(self, message: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
        """The thoughts that a turn begins with, and others by the call that they led to."""
        leading: list[dict[str, Any]] = []
        before: dict[str, list[dict[str, Any]]] = {}
        blocks = message.get("thinking_blocks")
        found = blocks if isinstance(blocks, list) else []
        for block in found:
            kind = block.get("type") if isinstance(block, dict) else None
            item = None
            if kind in ("thinking", "redacted_thinking"):
                item = self._seal.open_reasoning(block.get("signature" if kind == "thinking" else "data"))
            if item is None:
                self._dropped.add("messages.thinking_blocks")
            elif isinstance(call := item.pop("before", None), str):
                before.setdefault(short_id(call), []).append(item)
            else:
                leading.append(item)
        if message.get("reasoning_content") and not found:
            self._dropped.add("messages.reasoning_content")
        calls = message.get("tool_calls")
        listed = calls if isinstance(calls, list) else ()
        called = {short_id(str(call.get("id"))) for call in listed if isinstance(call, dict)}
        for call in [call for call in before if call not in called]:
            leading += before.pop(call)  # of a call that the client has left out
        return leading, before

    def _tool_calls(self, message: dict[str, Any], at: str) -> list[dict[str, Any]]:
        calls = message.get("tool_calls")
        if calls is not None and not isinstance(calls, list):
            raise invalid(f"'{at}.tool_calls' must be a list.", f"{at}.tool_calls")
        items = [self._call(call, f"{at}.tool_calls[{number}]") for number, call in enumerate(calls or ())]
        function = message.get("function_call")
        if function is not None:
            name = function.get("name") if isinstance(function, dict) else None
            # The number of the item gives an id that is the same in every request.
            call_id = self._calls[str(name)] = f"call_{len(self.items)}"
            items.append(self._call({"type": "function", "id": call_id, "function": function}, f"{at}.function_call"))
        return items

    def _call(self, call: Any, at: str) -> dict[str, Any]:
        kind = (call.get("type") or "function") if isinstance(call, dict) else None
        said = call.get(kind) if isinstance(kind, str) else None
        if kind not in ("function", "custom") or not isinstance(said, dict):
            raise invalid(f"'{at}' is not the call of a function or a custom tool.", at)
        self._dropped.beside("messages.tool_calls", call, CALL_FIELDS)
        self._dropped.beside(f"messages.tool_calls.{kind}", said, CALLED)
        call_id, name = call.get("id"), said.get("name")
        if not isinstance(call_id, str) or not call_id:
            raise invalid(f"'{at}.id' must be a string.", f"{at}.id")
        if not isinstance(name, str) or not name:
            raise invalid(f"'{at}.{kind}.name' must be a string.", f"{at}.{kind}.name")
        field = "arguments" if kind == "function" else "input"
        text = said.get(field)
        if text is not None and not isinstance(text, str):
            raise invalid(f"'{at}.{kind}.{field}' must be a string.", f"{at}.{kind}.{field}")
        call_id = short_id(call_id)
        if kind == "custom":
            self._customs.add(call_id)
            return {"type": "custom_tool_call", "call_id": call_id, "name": name, "input": text or ""}
        return {"type": "function_call", "call_id": call_id, "name": name, "arguments": text or "{}"}

    def _output(self, message: dict[str, Any], at: str) -> None:
        call = answered_call(message, self._calls, at)
        content = message.get("content")
        output = "" if content is None else self._content(content, at)
        call = short_id(call)
        kind = "custom_tool_call_output" if call in self._customs else "function_call_output"
        self.items.append({"type": kind, "call_id": call, "output": output})


def short_id(call_id: str) -> str:
    """A call's id in the length that Responses take; the same id always becomes the same."""
    return call_id if len(call_id) <= ID_LIMIT else "call_" + digest(call_id)[:48]
