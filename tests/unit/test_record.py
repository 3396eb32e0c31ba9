"""The record of a finished request."""

from __future__ import annotations

import ast
from pathlib import Path

from edge.errors import ClientClosedRequest, InvalidApiKey
from edge.hooks import RequestRecord
from edge.ledger import MISS
from edge.record import record_of
from tests.unit.calls import asked

SOURCE = ast.parse((Path(__file__).parents[2] / "edge/hooks.py").read_text())
(RECORD,) = [node for node in SOURCE.body if isinstance(node, ast.ClassDef) and node.name == RequestRecord.__name__]
(INIT,) = [node for node in RECORD.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
FIELDS = [argument.arg for argument in INIT.args.args[1:]]
CHAT = {"model": "gpt-4o", "stream": True, "messages": []}


def test_it_has_all_fields_that_a_record_has():
    record = record_of(asked(CHAT))
    told = {name: getattr(record, name) for name in FIELDS}
    assert (told["endpoint"], told["dialect"], told["asked"], told["stream"]) == (
        "/v1/chat/completions",
        "openai",
        "gpt-4o",
        True,
    )
    assert (told["outcome"], told["status"], told["cost"], told["usage"]) == ("ok", 0, -1, None)
    assert told["request_bytes"] == len(asked(CHAT).body)


def test_what_became_of_a_request_is_in_it():
    call = asked(CHAT)
    call.ledger.error, call.ledger.cache, call.pii = InvalidApiKey(), MISS, "email=1"
    record = record_of(call)
    assert (record.outcome, record.status, record.error_code) == ("error", 401, InvalidApiKey.code)
    assert (record.error_kind, record.cache, record.pii) == (InvalidApiKey.kind, "miss", "email=1")
    call.ledger.error = ClientClosedRequest()
    assert record_of(call).outcome == "cancelled"


def test_records_are_of_one_kind_where_only_their_numbers_differ():
    one, other = record_of(asked(CHAT)), record_of(asked(CHAT))
    other.duration_s, other.request_id = 5.0, "another"
    assert one.alike(other)
    assert one.kind() == other.kind()
    for name in (
        "endpoint",
        "model",
        "provider",
        "error_kind",
        "tenant",
        "key_id",
        "asked",
        "alias",
        "upstream_model",
        "hedge",
    ):
        changed = record_of(asked(CHAT))
        setattr(changed, name, "else")
        assert not one.alike(changed), name
        assert one.kind() != changed.kind(), name
