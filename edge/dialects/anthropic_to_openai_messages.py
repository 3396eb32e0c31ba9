"""A conversation of Anthropic's messages as OpenAI's chat.

Shapes: anthropic-sdk-python ``types/*_block_param.py``, openai-python ``types/chat/chat_completion_*_param.py``.

* A user turn may begin with results of tools: each becomes a message of its own, before what the user says.
* OpenAI's results of tools are text: images and documents in them follow in the user's message, each behind a line that
  says whose they are.
* Thinking stays behind: it means something to the model alone that signed it.
* Blocks of tools that ran on Anthropic's servers stay behind as well; what the model said about them is text and
  crosses.
* A summary that Anthropic made of what was said before (``compaction``) crosses as text: it stands for all of that.
"""

from __future__ import annotations

from itertools import chain, takewhile
from typing import Any

from edge.dialects.models import Model
from edge.dialects.refusals import anthropic_role
from edge.dialects.translation import Dropped, ToolNames, arguments_object, encode, invalid, openai_id, short_name

__all__ = ["Conversation", "tool_definition", "with_system_first"]

SERVER_BLOCKS = frozenset(
    (
        *("server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result"),
        *("bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result"),
        *("mcp_tool_use", "mcp_tool_result", "mcp_tool_listing", "advisor_tool_result", "container_upload"),
        "fallback",
    )
)
TOOL_CHANGES = frozenset(("tool_addition", "tool_removal"))
BLOCK_FIELDS = {
    "text": frozenset(("type", "text")),
    "image": frozenset(("type", "source")),
    "document": frozenset(("type", "source", "title", "context")),
    "search_result": frozenset(("type", "source", "title", "content")),
    "tool_use": frozenset(("type", "id", "name", "input", "caller")),
    "tool_result": frozenset(("type", "tool_use_id", "content", "is_error")),
    "thinking": frozenset(("type", "thinking", "signature")),
    "redacted_thinking": frozenset(("type", "data")),
    "compaction": frozenset(("type", "content", "encrypted_content", "signature", "tool_changes")),
    "tool_reference": frozenset(("type", "tool_name")),
    "tool_addition": frozenset(("type", "tool")),
    "tool_removal": frozenset(("type", "tool")),
}
SOURCE_FIELDS = frozenset(("type", "media_type", "data", "url", "content"))
MESSAGE_FIELDS = frozenset(("role", "content"))
TTL = {"1h": "12h"}
"""Of the lifetimes of ``prompt_cache_breakpoint`` the one that is not shorter; five minutes are within its default."""
PLAIN = {"type", "text"}
Part = dict[str, Any]


class Conversation:
    """Takes ``system`` and the messages one by one; ``messages`` is the result.

    ``added``: tools that a ``tool_addition`` in the history defines. Raises InvalidValue for what cannot be said in
    OpenAI's dialect, naming the message and the block.
    """

    __slots__ = ("_dropped", "_facts", "_names", "added", "messages")

    def __init__(self, facts: Model, dropped: Dropped, names: ToolNames) -> None:
        self._facts = facts
        self._dropped = dropped
        self._names = names
        self.messages: list[dict[str, Any]] = []
        self.added: list[dict[str, Any]] = []

    def take_system(self, system: Any) -> None:
        parts = self._parts(system, "system") if system is not None else []
        if parts:
            self.messages.append({"role": "system", "content": self._content(parts)})

    def take(self, index: int, message: Any) -> None:
        """The message that stands at `index` among those of the request."""
        at = f"messages[{index}]"
        role = message.get("role") if isinstance(message, dict) else None
        if isinstance(message, dict):
            self._dropped.beside("messages", message, MESSAGE_FIELDS)
        if role == "user":
            self._user(message.get("content"), f"{at}.content")
        elif role == "assistant":
            self._assistant(message.get("content"), f"{at}.content")
        elif role == "system":
            self._system(message, at)
        else:
            raise anthropic_role(message, index)

    def end(self) -> None:
        """All messages have been taken."""
        silent = (each["role"] == "system" or each == {"role": "user", "content": ""} for each in self.messages)
        if all(silent):
            raise invalid("The parameter 'messages' holds nothing for the model to answer.", "messages")

    def _system(self, message: dict[str, Any], at: str) -> None:
        """Instructions in mid-conversation: OpenAI knows them where they stand."""
        if message.get("content") is not None and (parts := self._parts(message["content"], f"{at}.content")):
            self.messages.append({"role": "system", "content": self._content(parts)})

    def _user(self, content: Any, at: str) -> None:
        parts: list[Part] = []
        carried: list[Part] = []
        results = False
        for block, where in self._blocks(content, at):
            if block["type"] == "tool_result":
                results = True
                self._result(block, where, carried)
            else:
                parts += self._block_parts(block, where, parts)
        parts = carried + parts
        if parts or not results:
            # Who says nothing has had a turn all the same: without it, two others would follow each other.
            self.messages.append({"role": "user", "content": self._content(parts) if parts else ""})

    def _result(self, block: dict[str, Any], at: str, carried: list[Part]) -> None:
        call = block.get("tool_use_id")
        if not isinstance(call, str):
            raise invalid(f"'{at}.tool_use_id' must be a string.", f"{at}.tool_use_id")
        call = openai_id(call)
        content = block.get("content")
        texts: list[Part] = []
        for part in self._parts(content, f"{at}.content") if content is not None else ():
            if "text" in part:
                texts.append(part)
            else:
                carried.append(self._said(f"[From the result of tool call {call}:]"))
                carried.append(part)
        if block.get("is_error") is True:
            # OpenAI has no flag for it, and the model has to know.
            texts.insert(0, self._said("Error: "))
        self._note(block, BLOCK_FIELDS["tool_result"], marked=self._mark_result(block, texts))
        self.messages.insert(self._end_of_turn(), {"role": "tool", "tool_call_id": call, "content": joined(texts)})

    def _mark_result(self, block: dict[str, Any], parts: list[Part]) -> bool:
        """Whether the mark of a tool's result is at the last of its parts: there is none that it could be at in one
        that says nothing.
        """
        mark = self._breakpoint(block)
        if mark is None or not parts:
            return False
        parts[-1].setdefault("prompt_cache_breakpoint", mark)
        return True

    # How chat completions call what there is in a message.

    def _said(self, text: str) -> Part:
        return {"type": "text", "text": text}

    def _picture(self, url: str) -> Part:
        return {"type": "image_url", "image_url": {"url": url}}

    def _file(self, name: str, url: str) -> Part:
        return {"type": "file", "file": {"filename": name, "file_data": url}}

    def _end_of_turn(self) -> int:
        """Where a tool's result goes: right behind its call, as OpenAI wants it, before instructions between them."""
        place = len(self.messages)
        while place and self.messages[place - 1]["role"] == "system":
            place -= 1
        turn = self.messages[place - 1] if place else None
        answers = turn is not None and (turn["role"] == "tool" or bool(turn.get("tool_calls")))
        return place if answers else len(self.messages)

    def _assistant(self, content: Any, at: str) -> None:
        texts: list[Part] = []
        calls: list[dict[str, Any]] = []
        thoughts: list[str] = []
        for block, where in self._blocks(content, at):
            kind = block["type"]
            marked = False
            if kind == "text":
                if text := self._text(block, where):
                    texts.append(self._said(text))
                if texts and (mark := self._breakpoint(block)) is not None:
                    texts[-1].setdefault("prompt_cache_breakpoint", mark)
                    marked = True
            elif kind == "compaction":
                texts += [self._said(text) for text in self._summary(block)]
            elif kind == "tool_use":
                calls.append(self._call(block, where))
            elif kind == "thinking" and self._facts.reasoning_content:
                thoughts.append(str(block.get("thinking") or ""))
            elif kind in ("thinking", "redacted_thinking") or kind in SERVER_BLOCKS:
                self._dropped.add(f"messages.content.{kind}")
                continue
            else:
                raise invalid(f"'{where}' is a block of type '{kind}', which cannot be translated.", f"{where}.type")
            self._note(block, BLOCK_FIELDS.get(kind, BLOCK_FIELDS["text"]), marked=marked)
        if not texts and not calls:
            return
        message: dict[str, Any] = {"role": "assistant", "content": joined(texts) or None}
        if calls:
            message["tool_calls"] = calls
        if thoughts:
            message["reasoning_content"] = "".join(thoughts)
        self.messages.append(message)

    def _call(self, block: dict[str, Any], at: str) -> dict[str, Any]:
        call, name, arguments = block.get("id"), block.get("name"), block.get("input")
        if not isinstance(call, str) or not call:
            raise invalid(f"'{at}.id' must be a string.", f"{at}.id")
        if not isinstance(name, str) or not name:
            raise invalid(f"'{at}.name' must be a string.", f"{at}.name")
        arguments = arguments_object(arguments)  # a call without arguments is "" in the history of some clients
        if arguments is None:
            raise invalid(f"'{at}.input' must be an object.", f"{at}.input")
        caller = block.get("caller")
        if isinstance(caller, dict) and caller.get("type") not in (None, "direct"):
            self._dropped.add("messages.content.caller")
        function = {"name": short_name(name, self._names), "arguments": encode(arguments).decode()}
        return {"id": openai_id(call), "type": "function", "function": function}

    def _blocks(self, content: Any, at: str) -> list[tuple[dict[str, Any], str]]:
        if isinstance(content, str):
            return [({"type": "text", "text": content}, at)]
        if not isinstance(content, list):
            raise invalid(f"'{at}' must be a string or a list of blocks.", at)
        blocks = []
        for number, block in enumerate(content):
            where = f"{at}[{number}]"
            if not isinstance(block, dict) or not isinstance(block.get("type"), str):
                raise invalid(f"'{where}' must be a block with a type.", f"{where}.type")
            blocks.append((block, where))
        return blocks

    def _parts(self, content: Any, at: str) -> list[Part]:
        parts: list[Part] = []
        for block, where in self._blocks(content, at):
            parts += self._block_parts(block, where, parts)
        return parts

    def _block_parts(self, block: dict[str, Any], at: str, before: list[Part]) -> list[Part]:
        """The parts for a block that comes after those `before` it in its message."""
        kind = block["type"]
        parts: list[Part]
        if kind == "text":
            text = self._text(block, at)
            parts = [self._said(text)] if text else []
        elif kind == "image":
            parts = [self._image(block.get("source"), f"{at}.source")]
        elif kind == "document":
            parts = self._document(block, at)
        elif kind == "search_result":
            texts = [text for text in (block.get("title"), block.get("source")) if isinstance(text, str)]
            texts += [part["text"] for part in self._parts(block.get("content") or [], f"{at}.content")]
            parts = [self._said("\n".join(texts))]
        elif kind == "compaction":
            parts = [self._said(text) for text in self._summary(block)]
        elif kind == "tool_reference":
            # A search for tools found this one; OpenAI has been given all of them.
            parts = [self._said(str(block.get("tool_name") or ""))]
        elif kind in TOOL_CHANGES:
            self._change(kind, block.get("tool"))
            parts = []
        else:
            name = f" '{block.get('name')}'" if isinstance(block.get("name"), str) else ""
            raise invalid(f"'{at}' is a block of type '{kind}'{name}, which cannot be translated.", f"{at}.type")
        mark = self._breakpoint(block)
        self._note(block, BLOCK_FIELDS[kind], marked=mark is not None)
        if mark is not None:
            self._mark(parts or before, mark)
        return parts

    def _breakpoint(self, block: dict[str, Any]) -> dict[str, Any] | None:
        """OpenAI's word for a block's ``cache_control``; None where there is none, or a model knows none."""
        control = block.get("cache_control")
        if not self._facts.breakpoints or not isinstance(control, dict):
            return None
        ttl = TTL.get(str(control.get("ttl")))
        return {"mode": "explicit", "ttl": ttl} if ttl else {"mode": "explicit"}

    def _mark(self, parts: list[Part], mark: dict[str, Any]) -> None:
        """Mark the last of these parts, or what was said before, where an empty block had the mark."""
        if not parts and self.messages and self.messages[-1].get("role") in ("system", "user"):
            message = self.messages[-1]
            content = message["content"]
            if isinstance(content, str):
                content = message["content"] = [self._said(content)] if content else []
            parts = content
        if parts:
            parts[-1].setdefault("prompt_cache_breakpoint", mark)

    def _summary(self, block: dict[str, Any]) -> list[str]:
        """What a compaction says, nothing for one that failed; the tools that had been added by then are added."""
        changes = block.get("tool_changes")
        for change in changes if isinstance(changes, list) else ():
            if isinstance(change, dict) and change.get("type") in TOOL_CHANGES:
                self._change(change["type"], change.get("tool"))
        text = block.get("content")
        return [text] if isinstance(text, str) and text else []

    def _change(self, kind: str, tool: Any) -> None:
        """Tools that come later: a reference to a deferred one adds nothing, for all have been sent from the start."""
        if kind == "tool_addition" and isinstance(tool, dict) and isinstance(tool.get("input_schema"), dict):
            self.added.append(tool)
        else:
            self._dropped.add(f"messages.content.{kind}")

    def _text(self, block: dict[str, Any], at: str) -> str:
        text = block.get("text")
        if not isinstance(text, str):
            raise invalid(f"'{at}.text' must be a string.", f"{at}.text")
        return text

    def _image(self, source: Any, at: str) -> Part:
        kind = source.get("type") if isinstance(source, dict) else None
        if isinstance(source, dict):
            self._dropped.beside("messages.content.source", source, SOURCE_FIELDS)
        if kind == "base64" and isinstance(source.get("data"), str) and isinstance(source.get("media_type"), str):
            url = f"data:{source['media_type']};base64,{source['data']}"
        elif kind == "url" and isinstance(source.get("url"), str):
            url = source["url"]
        else:
            raise invalid(f"'{at}' is a source of type '{kind}', which means nothing to this model's API.", at)
        return self._picture(url)

    def _document(self, block: dict[str, Any], at: str) -> list[Part]:
        source = block.get("source")
        if not isinstance(source, dict):
            source = {}
        kind = source.get("type")
        self._dropped.beside("messages.content.source", source, SOURCE_FIELDS)
        title, context = (text if isinstance(text, str) else "" for text in (block.get("title"), block.get("context")))
        parts: list[Part]
        if kind == "base64" and isinstance(source.get("data"), str):
            url = f"data:{source.get('media_type') or 'application/pdf'};base64,{source['data']}"
            parts = [self._file(title or "document.pdf", url)]
            return [self._said(context), *parts] if context else parts
        if kind == "text" and isinstance(source.get("data"), str):
            parts = [self._said(source["data"])]
        elif kind == "content" and source.get("content") is not None:
            parts = self._parts(source["content"], f"{at}.source.content")
        else:
            raise invalid(
                f"'{at}.source' is a source of type '{kind}', which means nothing to this model's API.", f"{at}.source"
            )
        notes = "\n".join(filter(None, (title, context)))
        return [self._said(notes + "\n\n"), *parts] if notes else parts

    @staticmethod
    def _content(parts: list[Part]) -> str | list[Part]:
        """A string where nothing but text is said: every compatible server reads it."""
        if len(parts) == 1 and parts[0].keys() == PLAIN:
            text: str = parts[0]["text"]
            return text
        return parts

    def _note(self, block: dict[str, Any], known: frozenset[str], *, marked: bool = False) -> None:
        """Name what a block has that is not `known`. `marked`: its ``cache_control`` has crossed."""
        for name, value in block.items():
            if name in known or not value or (marked and name == "cache_control"):
                continue
            self._dropped.add("cache_control" if name == "cache_control" else f"messages.content.{name}")


def joined(texts: list[Part]) -> str | list[Part]:
    """Parts of text as one, which every server reads, if none is marked."""
    if any(part.keys() != PLAIN for part in texts):
        return texts
    return "".join(part["text"] for part in texts)


def with_system_first(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages for a server that takes one system message, at the beginning: later ones are told as a user's turn
    where they stand, and turns of one role that follow each other are one, since such servers refuse that too.
    """
    turns: list[tuple[str, list[dict[str, Any]]]] = []
    spoken = False
    for message in messages:
        role = message["role"]
        if role == "system" and spoken:
            role = "user"
        spoken = spoken or role != "system"
        if turns and role in ("system", "user") and turns[-1][0] == role:
            turns[-1][1].append(message)
        else:
            turns.append((role, [message]))
    return [{**turn[0], "role": role} if len(turn) == 1 else one_turn(role, turn) for role, turn in turns]


def one_turn(role: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    contents = [message["content"] for message in messages]
    texts = list(takewhile(lambda content: isinstance(content, str), contents))
    said = "\n\n".join(filter(None, texts))
    if len(texts) == len(contents):
        return {"role": role, "content": said}
    return {"role": role, "content": [*parts_of(said), *chain(*map(parts_of, contents[len(texts) :]))]}


def parts_of(content: str | list[Part]) -> list[Part]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []


def tool_definition(tool: dict[str, Any], names: ToolNames, schema: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    """A function of OpenAI's for a tool of the client's."""
    function: dict[str, Any] = {"name": short_name(tool["name"], names)}
    if isinstance(tool.get("description"), str) and tool["description"]:
        function["description"] = tool["description"]
    function["parameters"] = schema
    if strict:
        function["strict"] = True
    return {"type": "function", "function": function}
