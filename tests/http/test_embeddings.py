"""Embeddings in the form that was asked for: as it came, byte for byte, and never another client's."""

from __future__ import annotations

import base64
import json
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai
import pytest

from tests.harness import Canned, Edge, answer, providers, running

VECTOR = [5.0, -0.5, 0.25]
BASE64 = base64.b64encode(struct.pack("<3f", *VECTOR)).decode()
LIST = "[5.0,-5e-1,2.50e-1, 0.10000000149011612]"


def body_of(seen, form: str) -> bytes:
    """As a vendor spells it; `form` is what ``embedding`` holds."""
    count = (
        len(inputs)
        if isinstance(inputs := json.loads(seen.body)["input"], list)
        and not all(isinstance(each, int) for each in inputs)
        else 1
    )
    data = ",".join(f'{{"object":"embedding", "index":{index},"embedding":{form}}}' for index in range(count))
    return f'{{"object":"list","model":"text-embedding-3-small","data":[{data}],"usage":{{"prompt_tokens":1,"total_tokens":1}}}}\n'.encode()


class Vendor:
    """Answers in the form that is asked for, unless it knows lists alone, as llama.cpp."""

    def __init__(self) -> None:
        self.lists = False
        self.pause_s = 0.0
        self.lock = threading.Lock()
        self.canned = Canned(self.reply)

    def reply(self, seen, _):
        time.sleep(self.pause_s)
        wanted = json.loads(seen.body).get("encoding_format")
        return answer(body_of(seen, json.dumps(BASE64) if wanted == "base64" and not self.lists else LIST))


@pytest.fixture(scope="module")
def vendor():
    made = Vendor()
    with made.canned:
        yield made


@pytest.fixture(scope="module")
def edge(vendor, front, tmp_path_factory):
    config = {
        "providers": {"openai": providers(vendor.canned.url, priced_as="openai")["openai"]},
        "cache": {"mode": "all"},
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(made):
        yield made


def ask(edge, body: bytes) -> httpx2.Response:
    return httpx2.post(f"{edge.url}/v1/embeddings", content=body, headers={"content-type": "application/json"})


def spelled(what: str, form: str | None) -> bytes:
    extra = f',"encoding_format":{json.dumps(form)}' if form else ""
    return f'{{"model":"text-embedding-3-small", "input":{what}{extra}}}'.encode()


FORMS = ("float", "base64", None)
INPUTS = ['"hello"', "[15339]", "[[15339],[1]]", '["a","b"]', '["hello"]', json.dumps(["x"] * 2048)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", INPUTS, ids=lambda what: what[:16])
def test_request_and_answer_pass_byte_for_byte(edge, vendor, what, form):
    before = len(vendor.canned.seen)
    body = spelled(what, form)
    got = ask(edge, body)
    again = ask(edge, body)
    assert [each.headers["x-edge-cache"] for each in (got, again)] == ["miss", "memory"]
    (seen,) = vendor.canned.seen[before:]
    assert seen.body == body
    assert got.content == again.content == body_of(seen, json.dumps(BASE64) if form == "base64" else LIST)


def test_dimensions_are_another_answer(edge):
    for extra in ("", ',"dimensions":3', ',"dimensions":256'):
        body = b'{"model":"text-embedding-3-small","input":"size"%b}' % extra.encode()
        assert ask(edge, body).headers["x-edge-cache"] == "miss"


def test_clients_who_ask_at_once_get_each_their_form(edge, vendor):
    vendor.pause_s = 0.3
    before = len(vendor.canned.seen)
    try:
        with ThreadPoolExecutor(9) as pool:
            got = list(pool.map(lambda form: (form, ask(edge, spelled('"at once"', form))), FORMS * 3))
    finally:
        vendor.pause_s = 0.0
    assert len(vendor.canned.seen) - before == 3
    for form, each in got:
        assert isinstance(each.json()["data"][0]["embedding"], str) == (form == "base64")


def test_the_sdk_decodes_what_it_asked_for_and_takes_a_list_as_it_is(edge, vendor):
    with openai.OpenAI(api_key="x", base_url=f"{edge.url}/v1", max_retries=0) as ai:
        assert ai.embeddings.create(model="text-embedding-3-small", input="sdk").data[0].embedding == VECTOR
        assert json.loads(vendor.canned.seen[-1].body)["encoding_format"] == "base64"
        assert (
            ai.embeddings.create(model="text-embedding-3-small", input="sdk", encoding_format="float")
            .data[0]
            .embedding[1]
            == -0.5
        )
        vendor.lists = True
        try:
            got = ai.embeddings.create(model="text-embedding-3-small", input="a list all the same")
        finally:
            vendor.lists = False
        assert got.data[0].embedding == json.loads(LIST)


def test_they_cost_what_goes_in(edge):
    got = ask(edge, spelled('"what does it cost?"', None))
    assert got.headers["x-edge-cost-usd"] == "0.00000002"  # one token at $0.02 a million
    assert "x-edge-estimated" not in got.headers


RERANKED = {
    "jina": b'{"model":"rerank-1","results":[{"index":1,"relevance_score":0.90}],"usage":{"total_tokens":12}}',
    "cohere": b'{"id":"x","results":[{"index":0,"relevance_score":1e-1}],"meta":{"billed_units":{"input_tokens":12}}}',
    "searches": b'{"id":"x","results":[{"index":0,"relevance_score":1}],"meta":{"billed_units":{"search_units":1}}}',
    "bare": b'[{"index":0,"score":0.5}]',
}


@pytest.mark.parametrize("vendor_of", RERANKED)
def test_rerankings_pass_as_they_are_are_counted_and_kept(vendor_of, front, tmp_path):
    told = RERANKED[vendor_of]
    with Canned(lambda seen, _: answer(told)) as canned:
        prices = {"rerank-*": {"input": 1.0, "output": 0.0}}
        config = {
            "providers": {
                "vendor": {
                    "dialect": "openai",
                    "base_url": f"{canned.url}/v1",
                    "models": ["rerank-*"],
                    "prices": prices,
                }
            },
            "cache": {"mode": "deterministic"},
        }
        made = Edge(tmp_path, config, front=front)
        with running(made):
            body = b'{"model":"rerank-1", "query":"what?","documents":["a", {"text":"b"}],"top_n": 1}'
            headers = {"content-type": "application/json"}
            got = [httpx2.post(f"{made.url}/v1/rerank", content=body, headers=headers) for _ in range(2)]
    assert [each.content for each in got] == [told, told]
    assert canned.seen[0].body == body
    assert canned.seen[0].target == "/v1/rerank"
    kept = vendor_of != "bare"
    assert [each.headers["x-edge-cache"] for each in got] == ["miss", "memory" if kept else "miss"]
    if vendor_of in ("jina", "cohere"):
        assert float(got[0].headers["x-edge-cost-usd"]) == pytest.approx(12e-6)
