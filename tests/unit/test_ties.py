"""Which requests belong to an account."""

from __future__ import annotations

import pytest

from edge._fast import JSONScanner
from edge.payload import Payload
from edge.upstreams.ties import FREE, MAKES, NAMES, tie_of
from tests.unit.calls import unread

PATHS = {
    "responses": "/v1/responses",
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "embeddings": "/v1/embeddings",
}
CASES = [
    ("responses", b'{"input":"hi"}', MAKES),
    ("responses", b'{"input":"hi","store":false}', MAKES),
    ("responses", b'{"input":"hi","previous_response_id":null,"conversation":null}', MAKES),
    ("responses", b'{"input":"hi","previous_response_id":"resp_1"}', NAMES),
    ("responses", b'{"input":"hi","conversation":{"id":"conv_1"}}', NAMES),
    ("responses", b'{"prompt":{"id":"pmpt_1"}}', NAMES),
    ("responses", b'{"input":[{"type":"reasoning","id":"rs_1","encrypted_content":"gAAA"}]}', NAMES),
    ("responses", b'{"input":[{"type" : "item_reference","id":"msg_1"}]}', NAMES),
    ("responses", b'{"input":[{"content":[{"type":"input_file","file_id": "file-1"}]}]}', NAMES),
    ("responses", b'{"tools":[{"type":"file_search","vector_store_ids":["vs_1"]}],"input":"x"}', NAMES),
    ("responses", b'{"tools":[{"type":"code_interpreter","container":"cntr_1"}],"input":"x"}', NAMES),
    ("responses", b'{"reasoning":{"effort":"low"},"input":"x"}', MAKES),
    ("responses", b'{"input":"say \\"file_id\\": \\"x\\""}', MAKES),
    ("responses", b'{"tools":[{"parameters":{"properties":{"file_id":{"type":"string"}}}}],"input":"x"}', MAKES),
    ("chat", b'{"messages":[{"content":"hi"}]}', FREE),
    ("chat", b'{"modalities":["text","audio"],"audio":{"voice":"x"},"messages":[]}', MAKES),
    ("chat", b'{"messages":[{"role":"assistant","audio":{"id":"audio_1"}}]}', NAMES),
    ("chat", b'{"messages":[{"content":[{"type":"file","file":{"file_id":"file-1"}}]}]}', NAMES),
    ("messages", b'{"messages":[]}', FREE),
    ("messages", b'{"container":null,"messages":[]}', FREE),
    ("messages", b'{"container":"container_1","messages":[]}', NAMES),
    ("messages", b'{"container":{"id":"container_1","skills":[]},"messages":[]}', NAMES),
    ("messages", b'{"messages":[{"content":[{"source":{"type":"file","file_id":"file_1"}}]}]}', NAMES),
    ("messages", b'{"tools":[{"type":"code_execution_20250825","name":"code_execution"}]}', MAKES),
    ("embeddings", b'{"input":"x"}', FREE),
]


@pytest.mark.parametrize(("api", "body", "tie"), CASES)
def test_a_request_is_tied_by_what_it_makes_or_names(api, body, tie):
    scan = JSONScanner(body)
    while not scan.step():
        pass
    call = unread(PATHS[api])
    call.payload = Payload(body, scan, "m", False, False, 0)
    assert tie_of(call) == tie
