"""Lists of models: what providers say of theirs, and how either dialect tells it to clients."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from edge.errors import InvalidValue
from edge.routes import Dialect

__all__ = ["NOTHING", "Facts", "Listed", "Page", "facts_of", "model_list", "model_object", "page_of"]

MAX_PAGE = 1000
"""Of Anthropic's ``GET /v1/models``."""
LATEST = 1 << 40
"""A time behind it is none."""


class Facts(msgspec.Struct, frozen=True):
    """What a provider says of a model beside its id. ``created_at`` is Anthropic's, ``created`` OpenAI's; the others
    are Anthropic's alone, and are passed on as they are.
    """

    display_name: str | None = None
    created_at: datetime | None = None
    created: float | None = None
    capabilities: dict[str, Any] | None = None
    deprecated_at: str | None = None
    lifecycle: str | None = None
    line: Any = None
    max_input_tokens: int | None = None
    max_tokens: int | None = None
    retires_at: str | None = None


class _Id(msgspec.Struct):
    id: str


class _Rows(msgspec.Struct):
    data: list[msgspec.Raw]


NOTHING = Facts()
_decode_rows = msgspec.json.Decoder(_Rows).decode
_decode_id = msgspec.json.Decoder(_Id).decode
_decode_facts = msgspec.json.Decoder(Facts).decode


class Listed(msgspec.Struct, frozen=True):
    """A model as clients see it: the ``id`` to ask for, who has it, and what is known of it."""

    id: str
    owner: str
    facts: Facts = NOTHING


class Page(msgspec.Struct, frozen=True):
    """What part of a list a client asks for, in the words of Anthropic's API; None for all of it."""

    limit: int | None = None
    after_id: str | None = None
    before_id: str | None = None


def facts_of(body: bytes, most: int) -> dict[str, Facts]:
    """The models, by id, that a provider's list names, `most` at most. One that is told of in an unknown way is known
    by its id. Raises ValueError for what is no list.
    """
    found: dict[str, Facts] = {}
    for row in _decode_rows(body).data[:most]:
        try:
            name = _decode_id(row).id
            found[name] = NOTHING
            found[name] = _decode_facts(row)
        except ValueError:
            pass
    return found


def page_of(query: dict[str, str]) -> Page:
    """Raises InvalidValue."""
    limit = query.get("limit")
    if limit is not None and not (limit.isdecimal() and len(limit) <= 4 and 1 <= int(limit) <= MAX_PAGE):
        raise InvalidValue(f"'limit' must be a number from 1 to {MAX_PAGE}.", param="limit")
    return Page(int(limit) if limit is not None else None, query.get("after_id"), query.get("before_id"))


def model_list(dialect: Dialect, models: Sequence[Listed], page: Page | None = None) -> bytes:
    """The list in a dialect, or a page of it; OpenAI's knows none. Raises InvalidValue for one that begins nowhere."""
    if dialect == "openai":
        return msgspec.json.encode({"object": "list", "data": [model_object(dialect, model) for model in models]})
    shown, more = _cut(models, page or Page())
    return msgspec.json.encode(
        {
            "data": [model_object(dialect, model) for model in shown],
            "has_more": more,
            "first_id": shown[0].id if shown else None,
            "last_id": shown[-1].id if shown else None,
        }
    )


def _cut(models: Sequence[Listed], page: Page) -> tuple[Sequence[Listed], bool]:
    """The models of a page, and whether there are more in its direction."""
    places = {model.id: place for place, model in enumerate(models)}
    begin, end = 0, len(models)
    for name, given in (("after_id", page.after_id), ("before_id", page.before_id)):
        if given and given not in places:
            raise InvalidValue(f"'{name}' names no model of this list.", param=name)
    if page.after_id:
        begin = places[page.after_id] + 1
    if page.before_id:
        end = places[page.before_id]
    shown = models[begin:end]
    if page.limit is None or len(shown) <= page.limit:
        return shown, False
    return (shown[-page.limit :] if page.before_id and not page.after_id else shown[: page.limit]), True


def model_object(dialect: Dialect, model: Listed) -> dict[str, Any]:
    """One model. OpenAI: ``types/model.py``; Anthropic: ``types/model_info.py``, with null for what is not known."""
    facts = model.facts
    if dialect == "openai":
        return {"id": model.id, "object": "model", "created": _created(facts), "owned_by": model.owner}
    created = facts.created_at or datetime.fromtimestamp(_created(facts), UTC)
    return {
        "type": "model",
        "id": model.id,
        "display_name": facts.display_name or model.id,
        "created_at": created.isoformat().replace("+00:00", "Z"),
        "capabilities": facts.capabilities,
        "deprecated_at": facts.deprecated_at,
        "lifecycle": facts.lifecycle or "active",
        "line": facts.line,
        "max_input_tokens": facts.max_input_tokens,
        "max_tokens": facts.max_tokens,
        "retires_at": facts.retires_at,
    }


def _created(facts: Facts) -> int:
    """Seconds since 1970; 0 where nobody says."""
    if facts.created_at is not None and facts.created_at.tzinfo is not None:
        return int(facts.created_at.timestamp())
    created = facts.created or 0
    return int(created) if 0 < created < LATEST else 0
