"""Conversations that the simulated provider keeps for an account, with the items of their responses.

Shapes and rules from openai-python 3.57 (``types/conversations/*.py``): up to 20 items are added at a time, metadata
has 16 pairs, a list begins with the latest unless it is asked for in another order.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import Any
from urllib.parse import parse_qs

from edge.simulator.ledger import RawHeaders
from edge.simulator.openai import CREATED

__all__ = ["Conversations", "Refused", "account_of", "gone"]

MAX_HELD = 1024
MOST_ADDED, MOST_PAIRS = 20, 16
MADE = re.compile(r"conv_\d{24}")


class Refused(Exception):
    """A refusal: its status and its words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Conversations:
    """By account and id. The oldest are forgotten beyond `MAX_HELD`."""

    def __init__(self) -> None:
        self._held: dict[tuple[bytes, str], dict[str, Any]] = {}
        self._numbers = itertools.count(1)

    def answer(
        self, method: str, asked: tuple[str, str, str], query: str, account: bytes, body: bytes
    ) -> dict[str, Any]:
        """`asked` is the conversation's id, what of it, and which of these. Raises Refused."""
        named, part, item = asked
        if not named:
            if method != "POST":
                raise Refused(405, f"Not allowed to {method} on /v1/conversations.")
            return self._make(account, _read(body))
        held = self._held.get((account, named))
        if held is None:
            raise Refused(404, gone(named))
        return self._one(method, held, account, body) if not part else self._items(method, held, item, query, body)

    def append(self, account: bytes, named: str, items: list[dict[str, Any]]) -> None:
        """What was said in a response. Answers to the same request are the same here, ids and all; items are not."""
        if held := self._held.get((account, named)):
            held["items"] += [self._item({name: item[name] for name in item if name != "id"}) for item in items]

    def may_be(self, account: bytes, named: str) -> bool:
        """Whether a response may belong to it: it is held, or its id is not of the form of those made here, so that the
        real API may have made it.
        """
        return (account, named) in self._held or MADE.fullmatch(named) is None

    def _make(self, account: bytes, data: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {
            "id": f"conv_{next(self._numbers):024d}",
            "object": "conversation",
            "created_at": CREATED,
            "metadata": _metadata(data.get("metadata") or {}),
            "items": self._added(data.get("items") or []),
        }
        while len(self._held) >= MAX_HELD:
            del self._held[next(iter(self._held))]
        self._held[(account, made["id"])] = made
        return _shown(made)

    def _one(self, method: str, held: dict[str, Any], account: bytes, body: bytes) -> dict[str, Any]:
        if method == "POST":
            data = _read(body)
            if "metadata" not in data:
                raise Refused(400, "Missing required parameter: 'metadata'.")
            held["metadata"] = _metadata(data["metadata"] or {})
        elif method == "DELETE":
            del self._held[(account, held["id"])]
            return {"id": held["id"], "object": "conversation.deleted", "deleted": True}
        elif method != "GET":
            raise Refused(405, f"Not allowed to {method} on /v1/conversations/{held['id']}.")
        return _shown(held)

    def _items(self, method: str, held: dict[str, Any], item: str, query: str, body: bytes) -> dict[str, Any]:
        items = held["items"]
        if not item:
            if method == "POST":
                added = self._added(_read(body).get("items"))
                items += added
                return _listed(added, False)
            return _page(items, query)
        found = next((each for each in items if each["id"] == item), None)
        if found is None:
            raise Refused(404, f"Item with id '{item}' not found in conversation '{held['id']}'.")
        if method == "DELETE":
            items.remove(found)
            return _shown(held)
        return dict(found)

    def _added(self, items: Any) -> list[dict[str, Any]]:
        if not isinstance(items, list):
            raise Refused(400, "Missing required parameter: 'items'.")
        if len(items) > MOST_ADDED:
            raise Refused(400, f"Invalid 'items': array too long. Expected at most {MOST_ADDED}, got {len(items)}.")
        return [self._item(item) for item in items]

    def _item(self, item: dict[str, Any]) -> dict[str, Any]:
        made = {"type": "message", "status": "completed", **item}
        prefix = {"message": "msg", "function_call": "fc", "reasoning": "rs"}.get(made["type"], "item")
        made.setdefault("id", f"{prefix}_{next(self._numbers):024d}")
        if made["type"] == "message" and isinstance(made["content"], str):
            kind = "output_text" if made["role"] == "assistant" else "input_text"
            made["content"] = [{"type": kind, "text": made["content"]}]
        return made


def account_of(headers: RawHeaders) -> bytes:
    """The account of a request's credential."""
    said = {name.lower(): value for name, value in headers}
    return said.get(b"x-api-key") or said.get(b"authorization", b"").removeprefix(b"Bearer ")


def gone(named: str) -> str:
    """What is said of a conversation that is not there."""
    return f"Conversation with id '{named}' not found."


def _read(body: bytes) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(body or b"{}")
    except ValueError:
        raise Refused(400, "We could not parse the JSON body of your request.") from None
    return data


def _metadata(given: dict[str, Any]) -> dict[str, Any]:
    if len(given) > MOST_PAIRS:
        raise Refused(400, "Invalid 'metadata': too many properties.")
    return given


def _page(items: list[dict[str, Any]], query: str) -> dict[str, Any]:
    asked = parse_qs(query)
    listed = items if asked.get("order") == ["asc"] else items[::-1]
    if "after" in asked:
        ids = [item["id"] for item in listed]
        listed = listed[ids.index(asked["after"][0]) + 1 :] if asked["after"][0] in ids else []
    limit = int(asked.get("limit", ["20"])[0])
    return _listed(listed[:limit], len(listed) > limit)


def _listed(items: list[dict[str, Any]], more: bool) -> dict[str, Any]:
    ends = {"first_id": items[0]["id"], "last_id": items[-1]["id"]} if items else {"first_id": None, "last_id": None}
    return {"object": "list", "data": items, "has_more": more, **ends}


def _shown(held: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in held.items() if name != "items"}
