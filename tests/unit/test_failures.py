"""What a whole answer of status 200 has at least, API by API."""

from __future__ import annotations

import pytest

from edge.dialects.failures import EMPTY, NO_JSON, Failed, NoAnswer, usage_in_answer
from edge.errors import UpstreamBadResponse
from edge.hooks import Usage

SAYS = b'{"message":{"content":"a"}}'
ANSWERS = {
    "chat": [
        b'{"choices":[%b]}' % SAYS,
        b'{"choices":[{"message":{}}]}',
        b'{"choices":[{"delta":{}}]}',
        b'{"choices":[{"index":0},%b]}' % SAYS,
        b'{"choices":[%b],"x":NaN}' % SAYS,
        b'\xef\xbb\xbf{"choices":[%b]}' % SAYS,
        b'{"choices":[{"message":{"content":"\xff\xfe"}}]}',
        b'{"choices":[%b],"usage":{"prompt_tokens":"many"}}' % SAYS,
        b'{"choices":[%b],"error":{"message":"a remark"}}' % SAYS,
    ],
    "completions": [b'{"choices":[{"text":""}]}', b'{"choices":[%b]}' % SAYS],
    "messages": [b'{"content":[]}', b'{"content":[{"type":"new"}],"usage":{"input_tokens":[]}}'],
    "responses": [b'{"output":[],"status":"queued"}', b'{"output":[{"type":"new","action":3}],"status":"new"}'],
    "embeddings": [b'{"data":[]}', b'{"data":[{"embedding":[0.5,1e400]}]}', b'{"data":[{"embedding":"AAAA"}]}'],
    "other": [b"{}", b"", b"no JSON", b"[]"],
}
NONE = {
    "chat": [
        *(b"{}", b'{"choices":null}', b'{"choices":[]}', b'{"choices":{}}', b'{"choices":"a"}', b'{"choices":[null]}'),
        *(b'{"choices":[{}]}', b'{"choices":[{"message":null}]}', b'{"choices":[{"message":"a"}]}', b'{"detail":"a"}'),
        b'{"data":{"choices":[%b]}}' % SAYS,
    ],
    "completions": [b"{}", b'{"choices":[]}', b'{"choices":[{"text":null}]}', b'{"choices":[{"index":0}]}'],
    "messages": [b"{}", b'{"content":null}', b'{"content":"a"}', b'{"content":["a"]}', b'{"content":{}}'],
    "responses": [b"{}", b'{"output":null}', b'{"output":["a"]}', b'{"output_text":"a"}'],
    "embeddings": [b"{}", b'{"data":null}', b'{"data":[[0.5]]}'],
}
for translated in ("chat/completions", "messages"):
    api = translated.partition("/")[0]
    ANSWERS[f"/{translated}"], NONE[f"/{translated}"] = ANSWERS[api], NONE[api]


def read(api: str, body: bytes, media_type: bytes = b"application/json") -> Usage | None:
    return usage_in_answer(api, media_type, body)


@pytest.mark.parametrize(("api", "body"), [(api, body) for api, bodies in ANSWERS.items() for body in bodies])
def test_an_answer_is_one(api, body):
    assert read(api, body) in (None, Usage())


@pytest.mark.parametrize(("api", "body"), [(api, body) for api, bodies in NONE.items() for body in bodies])
def test_json_without_an_answer_is_none_and_says_what_it_used(api, body):
    with pytest.raises(NoAnswer) as caught:
        read(api, body)
    assert (caught.value.usage, caught.value.error.code) == (None, "upstream_bad_response")
    counts = b'"usage":{"prompt_tokens":3,"completion_tokens":2,"input_tokens":3,"output_tokens":2}'
    with pytest.raises(NoAnswer) as caught:
        read(api, b"{%b%b%b" % (counts, b"," if len(body) > 2 else b"", body[1:]))
    assert (caught.value.usage.input, caught.value.usage.output) == (3, 2)


@pytest.mark.parametrize("api", [*NONE, "count_tokens"])
def test_what_is_no_json_object_is_told_as_that(api):
    for body, told in ((b"", EMPTY), (b" \n", EMPTY), (b"null", NO_JSON), (b'["a"]', NO_JSON), (b'{"a":', NO_JSON)):
        with pytest.raises(UpstreamBadResponse) as caught:
            read(api, body)
        assert caught.value.message == told
    with pytest.raises(UpstreamBadResponse):
        read(api, ANSWERS.get(api, [b'{"input_tokens":3}'])[0], b"text/html; charset=utf-8")


@pytest.mark.parametrize("api", NONE)
def test_an_error_in_place_of_an_answer_has_its_own_status(api):
    error = b'"type":"error","error":{"type":"rate_limit_error","message":"slow down"}'
    for body in (b"{%b}" % error, b'{"choices":[],"content":[],"output":[],"data":[],%b}' % error):
        with pytest.raises(Failed) as caught:
            read(api, body)
        assert caught.value.status == 429
    with pytest.raises(Failed):
        read("responses", b'{"output":[{"type":"message"}],"status":"failed","error":{"code":"server_error"}}')
