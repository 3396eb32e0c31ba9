"""The input of a Responses request as messages of chat completions.

Shapes: openai-python 3.57, ``types/responses/response_input_item_param.py``. Items that belong to one turn of the
assistant's (what it thought, said and called) become one message; what is between them in the list stays in its place.

* Thoughts of Anthropic's come in an envelope of ours (`edge.dialects.sealed`), and go where they came from alone.
* Results of tools may have pictures and files.
* What OpenAI's own tools did (``web_search_call``) stays behind; what the model said about it is text and crosses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge.dialects.refusals import missing, openai_array, openai_choice, openai_type
from edge.dialects.responses_shell import CALLS, KINDS
from edge.dialects.responses_tools import ClientTools, custom_arguments, flattened
from edge.dialects.sealed import Seal
from edge.dialects.translation import Dropped, arguments_object, encode, invalid
from edge.errors import UnsupportedParameter

__all__ = ["Input"]

ROLES = ("assistant", "system", "developer", "user")
Part = dict[str, Any]
PART_FIELDS = {
    "input_text": frozenset(("type", "text", "prompt_cache_breakpoint")),
    "output_text": frozenset(("type", "text", "annotations", "logprobs")),
    "summary_text": frozenset(("type", "text")),
    "refusal": frozenset(("type", "refusal")),
    "input_image": frozenset(("type", "image_url", "detail", "file_id", "prompt_cache_breakpoint")),
    "input_file": frozenset(
        ("type", "file_data", "file_id", "file_url", "filename", "detail", "prompt_cache_breakpoint")
    ),
}
NOTED = frozenset(("annotations", "logprobs"))
"""What there is of a text in any case, and says nothing where it is empty."""
ITEM_FIELDS = {
    "message": frozenset(("type", "id", "status", "role", "content")),
    "reasoning": frozenset(("type", "id", "status", "summary", "content", "encrypted_content")),
    "function_call": frozenset(("type", "id", "status", "call_id", "name", "arguments", "namespace", "caller")),
    "custom_tool_call": frozenset(("type", "id", "status", "call_id", "name", "input", "namespace", "caller")),
    "function_call_output": frozenset(("type", "id", "status", "call_id", "output", "name", "namespace", "caller")),
    "custom_tool_call_output": frozenset(("type", "id", "status", "call_id", "output", "name", "caller")),
    "tool_search_call": frozenset(("type", "id", "status", "call_id", "execution", "arguments")),
    "tool_search_output": frozenset(("type", "id", "status", "call_id", "execution", "tools")),
    "additional_tools": frozenset(("type", "id", "role", "tools")),
    **{
        kind.item: frozenset(("type", "id", "status", "call_id", "caller", "environment", kind.field))
        for kind in KINDS.values()
    },
    "local_shell_call_output": frozenset(("type", "id", "status", "call_id", "output")),
    "shell_call_output": frozenset(("type", "id", "status", "call_id", "caller", "output", "max_output_length")),
    "apply_patch_call_output": frozenset(("type", "id", "status", "call_id", "caller", "output")),
}
HOSTED = frozenset(
    (
        *("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"),
        *("mcp_list_tools", "mcp_call", "mcp_approval_request", "mcp_approval_response"),
    )
)
"""What ran at OpenAI, and stays behind."""
KEPT_THERE = {
    "item_reference": "refers to what its provider keeps: this model's API keeps nothing. Send the whole item instead, "
    "with 'store' false",
    "compaction": "can be read by the provider alone that made it: send what was said instead",
}


class Input:
    """Takes the items one by one, and gives each message to `emit` with the number of the item that it ends with.

    With `seal`, for Anthropic, thoughts cross, each with what was said and called after it; without, all of a turn is
    one message. ``added``: tools that an item brings, with their places. Raises InvalidValue and UnsupportedParameter,
    naming the item and the part.
    """

    __slots__ = ("_calls", "_dropped", "_emit", "_index", "_reasons", "_seal", "_tools", "_turn", "added")

    def __init__(
        self,
        emit: Callable[[int, Any], None],
        tools: ClientTools,
        dropped: Dropped,
        *,
        seal: Seal | None = None,
        reasons: bool = False,
    ) -> None:
        """With `reasons` a chat model is told again what it thought."""
        self._emit = emit
        self._tools = tools
        self._dropped = dropped
        self._seal = seal
        self._reasons = reasons
        self._turn: dict[str, Any] = {}
        self._index = 0
        self._calls: set[str] = set()
        self.added: list[tuple[str, Any, str]] = []

    def instructions(self, text: Any) -> None:
        if text is None:
            return
        if not isinstance(text, str):
            raise openai_type("instructions", "a string", text)
        if text:
            self._emit(0, {"role": "system", "content": text})

    def take(self, index: int, item: Any) -> None:
        """The item that stands at `index` of the input."""
        at = f"input[{index}]"
        if not isinstance(item, dict):
            raise openai_type(at, "an object", item)
        kind = item.get("type") or ("message" if "role" in item else None)
        if not isinstance(kind, str):
            raise missing(f"{at}.type", "openai")
        known = ITEM_FIELDS.get(kind)
        if known is None:
            self._unknown(kind, at)
            return
        for name, value in item.items():
            if name not in known and value is not None:
                self._dropped.add(f"input.{name}")
        caller = item.get("caller")
        if isinstance(caller, dict) and caller.get("type") not in (None, "direct"):
            self._dropped.add("input.caller")
        STEPS[kind](self, index, item, at)

    def end(self) -> None:
        """All items have been taken."""
        if self._turn:
            turn, self._turn = self._turn, {}
            self._emit(self._index, turn)

    def _unknown(self, kind: str, at: str) -> None:
        if kind in HOSTED:
            self._dropped.add(f"input.{kind}")
            return
        if kind in KEPT_THERE:
            raise UnsupportedParameter(f"'{at}' ({kind}) {KEPT_THERE[kind]}.", param=f"{at}.type")
        raise invalid(f"'{at}' is an item of type '{kind}', which this model's API does not have.", f"{at}.type")

    def _assistant(self, index: int) -> dict[str, Any]:
        """The turn under way."""
        self._index = index
        if not self._turn:
            self._turn = {"role": "assistant", "content": None}
        return self._turn

    def _message(self, index: int, item: dict[str, Any], at: str) -> None:
        role = openai_choice(f"{at}.role", item.get("role"), ROLES)
        content = item.get("content")
        if isinstance(content, list):
            content = self._parts(content, f"{at}.content")
        elif not isinstance(content, str):
            raise openai_type(f"{at}.content", "one of a string or an array of objects", content)
        if role != "assistant":
            self.end()
            self._emit(index, {"role": role, "content": content})
            return
        if self._seal is not None and self._turn.get("tool_calls"):
            self.end()  # what comes after a call stays there
        turn = self._assistant(index)
        if isinstance(content, list):
            content = self._text(content, f"{at}.content")
        turn["content"] = (turn["content"] or "") + content

    @staticmethod
    def _text(parts: list[Part], at: str) -> str:
        """What the assistant said."""
        for number, part in enumerate(parts):
            if part["type"] != "text":
                raise invalid(f"'{at}[{number}]' is no text, which is all that an assistant may have said.", at)
        return "".join(part["text"] for part in parts)

    def _reasoning(self, index: int, item: dict[str, Any], at: str) -> None:
        block = self._seal.open_thinking(item.get("encrypted_content")) if self._seal is not None else None
        if block is not None:
            if self._turn.get("content") or self._turn.get("tool_calls"):
                self.end()  # it was thought after that
            self._assistant(index).setdefault("thinking_blocks", []).append(block)
        elif self._reasons and (thought := _thought(item)):
            turn = self._assistant(index)
            turn["reasoning_content"] = turn.get("reasoning_content", "") + thought
        else:
            self._dropped.add("input.reasoning")

    def _function_call(self, index: int, item: dict[str, Any], at: str) -> None:
        name, arguments = self._string(item, "name", at), item.get("arguments")
        if not isinstance(arguments, str):
            raise openai_type(f"{at}.arguments", "a string", arguments)
        self._call(index, item, self._tools.name("function", name, self._namespace(item, at)), arguments, at)

    def _custom_call(self, index: int, item: dict[str, Any], at: str) -> None:
        name, text = self._string(item, "name", at), item.get("input")
        if not isinstance(text, str):
            raise openai_type(f"{at}.input", "a string", text)
        sent = self._tools.name("custom", name, self._namespace(item, at))
        self._call(index, item, sent, custom_arguments(text), at)

    def _search_call(self, index: int, item: dict[str, Any], at: str) -> None:
        if item.get("execution") == "server":
            self._dropped.add("input.tool_search_call")
            return
        arguments = item.get("arguments")
        self._call(index, item, self._tools.name("tool_search", "tool_search"), arguments, at)

    def _learnt_call(self, index: int, item: dict[str, Any], at: str) -> None:
        tool = CALLS[item["type"]]
        field = KINDS[tool].field
        action = item.get(field)
        if not isinstance(action, dict):
            raise openai_type(f"{at}.{field}", "an object", action)
        known = KINDS[tool].schema["properties"]
        arguments = {name: value for name, value in action.items() if name in known and value is not None}
        self._call(index, item, self._tools.name(tool, tool), arguments, at)

    def _local_output(self, index: int, item: dict[str, Any], at: str) -> None:
        if item.get("call_id") is None and item.get("id") is not None:
            item = {**item, "call_id": item["id"]}  # which it is called by
        self._output(index, item, at)

    def _shell_output(self, index: int, item: dict[str, Any], at: str) -> None:
        """What each command has written stays apart from what it has complained of."""
        output = item.get("output")
        self._result(index, item, output if isinstance(output, str) else encode(output or []).decode(), at)

    def _patch_output(self, index: int, item: dict[str, Any], at: str) -> None:
        output, failed = item.get("output"), item.get("status") == "failed"
        if output is not None and not isinstance(output, str):
            raise openai_type(f"{at}.output", "a string", output)
        self._result(index, item, (f"Failed: {output or 'not applied.'}" if failed else output or "Done."), at)

    def _call(self, index: int, item: dict[str, Any], name: str, arguments: Any, at: str) -> None:
        call = self._string(item, "call_id", at)
        self._calls.add(call)
        if self._seal is not None:
            found = arguments_object(arguments)
            if found is None:
                raise invalid(f"'{at}.arguments' must be a JSON object.", f"{at}.arguments")
            arguments = found  # it would be read again
        elif not isinstance(arguments, str):
            arguments = encode(arguments or {}).decode()
        elif not arguments.strip():
            arguments = "{}"  # servers refuse a history with anything but JSON there
        function = {"name": name, "arguments": arguments}
        calls = self._assistant(index).setdefault("tool_calls", [])
        calls.append({"id": call, "type": "function", "function": function})

    def _output(self, index: int, item: dict[str, Any], at: str) -> None:
        output = item.get("output")
        if isinstance(output, list):
            output = self._parts(output, f"{at}.output")
        elif not isinstance(output, str):
            raise openai_type(f"{at}.output", "one of a string or an array of objects", output)
        self._result(index, item, output, at)

    def _search_output(self, index: int, item: dict[str, Any], at: str) -> None:
        self._more_tools(index, item, at)
        if item.get("execution") == "server":
            return
        names = [str(tool.get("name")) for tool in item["tools"] if isinstance(tool, dict)]
        self._result(index, item, "Found: " + ", ".join(names) if names else "Nothing found.", at)

    def _more_tools(self, index: int, item: dict[str, Any], at: str) -> None:
        self.added += flattened(openai_array(f"{at}.tools", item.get("tools")), f"{at}.tools")

    def _result(self, index: int, item: dict[str, Any], content: Any, at: str) -> None:
        call = self._string(item, "call_id", at)
        if call not in self._calls:
            raise invalid(f"No tool call found for function call output with call_id {call[:64]}.", f"{at}.call_id")
        self.end()
        self._emit(index, {"role": "tool", "tool_call_id": call, "content": content})

    @staticmethod
    def _string(item: dict[str, Any], name: str, at: str) -> str:
        value = item.get(name)
        if value is None:
            raise missing(f"{at}.{name}", "openai")
        if not isinstance(value, str) or not value:
            raise openai_type(f"{at}.{name}", "a string", value)
        return value

    @staticmethod
    def _namespace(item: dict[str, Any], at: str) -> str:
        value = item.get("namespace")
        if value is not None and not isinstance(value, str):
            raise openai_type(f"{at}.namespace", "a string", value)
        return value or ""

    def _parts(self, content: list[Any], at: str) -> list[Part]:
        return [self._part(part, f"{at}[{number}]") for number, part in enumerate(content)]

    def _part(self, part: Any, at: str) -> Part:
        kind = part.get("type") if isinstance(part, dict) else None
        known = PART_FIELDS.get(kind) if isinstance(kind, str) else None
        if known is None:
            raise invalid(
                f"'{at}' is a part of type '{kind}', which cannot be translated for this model's API.", f"{at}.type"
            )
        for name, value in part.items():
            if (name not in known and value is not None) or (name in NOTED and value):
                self._dropped.add(f"input.content.{name}")
        made: Part
        if kind == "input_image":
            made = self._image(part, at)
        elif kind == "input_file":
            made = self._file(part, at)
        else:
            field = "refusal" if kind == "refusal" else "text"
            if not isinstance(part.get(field), str):
                raise openai_type(f"{at}.{field}", "a string", part.get(field))
            made = {"type": "text", "text": part[field]}
        if part.get("prompt_cache_breakpoint") is not None:
            made["prompt_cache_breakpoint"] = part["prompt_cache_breakpoint"]
        return made

    @staticmethod
    def _image(part: dict[str, Any], at: str) -> Part:
        url = part.get("image_url")
        if not isinstance(url, str):
            name = "file_id" if part.get("file_id") is not None else "image_url"
            raise invalid(
                f"'{at}' must bring its picture in 'image_url': a file_id means nothing to this model's API.",
                f"{at}.{name}",
            )
        image = {"url": url}
        if part.get("detail") not in (None, "auto"):
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image}

    def _file(self, part: dict[str, Any], at: str) -> Part:
        file = {name: part[name] for name in ("file_data", "filename") if part.get(name) is not None}
        if isinstance(url := part.get("file_url"), str) and self._seal is not None:
            file["file_url"] = url
        elif not isinstance(part.get("file_data"), str):
            name = next((each for each in ("file_id", "file_url") if part.get(each) is not None), "file_data")
            why = f": '{name}' means nothing to this model's API" if name != "file_data" else ""
            raise invalid(f"'{at}' must bring its content in 'file_data'{why}.", f"{at}.{name}")
        if part.get("detail") not in (None, "auto"):
            self._dropped.add("input.content.detail")
        return {"type": "file", "file": file}


def _thought(item: dict[str, Any]) -> str:
    """What a reasoning item tells of its thought: all of it where it has it, else its summary."""
    for name in ("content", "summary"):
        parts = item.get(name)
        texts = [part.get("text") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
        if text := "\n\n".join(each for each in texts if isinstance(each, str)):
            return text
    return ""


STEPS: dict[str, Callable[[Input, int, dict[str, Any], str], None]] = {
    "message": Input._message,
    "reasoning": Input._reasoning,
    "function_call": Input._function_call,
    "custom_tool_call": Input._custom_call,
    "function_call_output": Input._output,
    "custom_tool_call_output": Input._output,
    "tool_search_call": Input._search_call,
    "tool_search_output": Input._search_output,
    "additional_tools": Input._more_tools,
    **dict.fromkeys(CALLS, Input._learnt_call),
    "local_shell_call_output": Input._local_output,
    "shell_call_output": Input._shell_output,
    "apply_patch_call_output": Input._patch_output,
}
