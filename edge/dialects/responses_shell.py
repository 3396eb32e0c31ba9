"""Tools that OpenAI's models have learnt and the client runs, a shell and patches of files, as functions and back.

Shapes: openai-python 3.57, ``types/responses/response_input_item_param.py``, ``function_shell_tool_param.py``.

    tool         a call's arguments                          its result
    local_shell  ``command`` (words), ``env`` and others     a text
    shell        ``commands`` (lines), ``timeout_ms``,       what each has written, and how it ended
                 ``max_output_length``
    apply_patch  ``type``, ``path`` and ``diff``             a text, and whether it was applied

A shell in a container of OpenAI's is none of these: it runs there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge.dialects.translation import arguments_object, encode

__all__ = ["CALLS", "KINDS", "Kind", "described", "learnt_call", "runs_there"]

TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
LINES = {"type": "array", "items": TEXT}


@dataclass(frozen=True, slots=True)
class Kind:
    """``item`` is the type of a call, whose arguments are in ``field``; ``prefix`` that of its id."""

    item: str
    field: str
    prefix: str
    description: str
    schema: dict[str, Any]


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


KINDS = {
    "local_shell": Kind(
        "local_shell_call",
        "action",
        "lsh",
        "Runs a command on the user's machine, without a shell around it, and returns what it has written.",
        _object(
            ["command"],
            command={**LINES, "description": "The program and its arguments."},
            env={"type": "object", "additionalProperties": TEXT, "description": "Variables of its environment."},
            timeout_ms=NUMBER,
            user=TEXT,
            working_directory=TEXT,
        ),
    ),
    "shell": Kind(
        "shell_call",
        "action",
        "sh",
        "Runs commands in a shell on the user's machine, and returns what each has written and how it ended.",
        _object(
            ["commands"],
            commands={**LINES, "description": "Lines for the shell, each run by itself."},
            timeout_ms=NUMBER,
            max_output_length={**NUMBER, "description": "Characters of output that are wanted at most."},
        ),
    ),
    "apply_patch": Kind(
        "apply_patch_call",
        "operation",
        "apc",
        "Creates, updates or deletes one file of the user's. A diff is in V4A format: for a file that is created all "
        "of its lines, each after a '+'; for one that is updated, sections that begin with '@@' and have lines of "
        "context after a blank, lines that go after a '-', and lines that come after a '+'.",
        _object(
            ["type", "path"],
            type={"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
            path=TEXT,
            diff={**TEXT, "description": "What changes; none to delete a file."},
        ),
    ),
}
CALLS = {kind.item: name for name, kind in KINDS.items()}
"""The tools, by the types of their calls."""


def described(name: str, tool: dict[str, Any]) -> str:
    """What a model is told of such a tool: what it does, and the skills that the user's machine has for its shell."""
    environment = tool.get("environment")
    skills = environment.get("skills") if isinstance(environment, dict) else None
    told = [KINDS[name].description]
    for skill in skills if isinstance(skills, list) else ():
        if isinstance(skill, dict):
            title, path, what = (str(skill.get(field) or "") for field in ("name", "path", "description"))
            told.append(f"Skill {title}, in {path}: {what}")
    return "\n".join(told)


def runs_there(tool: dict[str, Any]) -> bool:
    """Whether a tool is a shell that is not said to be the client's own: one in a container of OpenAI's."""
    environment = tool.get("environment")
    local = isinstance(environment, dict) and environment.get("type") == "local"
    return tool.get("type") == "shell" and not local


def learnt_call(name: str, own_id: str, call_id: str, arguments: str, status: str) -> dict[str, Any]:
    """The item of a call. What a model leaves out of its arguments is empty, and one line may stand for a list."""
    kind, given = KINDS[name], arguments_object(arguments) or {}
    made = {field: value for field, value in given.items() if field in kind.schema["properties"] and value is not None}
    if name == "local_shell":
        made = {"type": "exec", "env": {}, **made, "command": _lines(given.get("command"))}
    elif name == "shell":
        made["commands"] = _lines(given.get("commands") or given.get("command"))
    else:
        deletes = made.get("type") == "delete_file"
        made = {"type": "update_file", "path": "", **({} if deletes else {"diff": ""}), **made}
        status = "completed" if status == "incomplete" else status  # it knows no third state
    return {"id": own_id, "type": kind.item, "status": status, "call_id": call_id, kind.field: made}


def _lines(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return (
        [each if isinstance(each, str) else encode(each).decode() for each in value] if isinstance(value, list) else []
    )
