"""Forms: audio, pictures and files on their way to the provider of the model that stands in them."""

from __future__ import annotations

import random
import socket

import anthropic
import httpx2
import openai
import pytest

from edge.guard.auth import new_key
from tests.harness import PATIENT, Edge, providers, running

KEYS = {name: new_key(name) for name in ("plain", "narrow", "masked")}
SOUND = random.Random(5).randbytes(700_000)


@pytest.fixture(scope="module")
def edge(simulator, front, tmp_path_factory):
    more = {"narrow": {"models": ["whisper-*"]}, "masked": {"pii": {"request": "mask"}}}
    made = providers(simulator.url, priced_as="openai")
    made["spare"] = {**made["openai"], "models": []}
    config = {
        "auth": {"keys": [{"id": name, "digests": [key[1]], **more.get(name, {})} for name, key in KEYS.items()]},
        "providers": made,
        "models": {
            "ears": {"upstreams": [{"to": "openai/whisper-1"}]},
            "failing": {"strategy": "failover", "upstreams": [{"to": "openai/sim-503"}, {"to": "spare/whisper-1"}]},
        },
        "resilience": PATIENT,
        "server": {"max_form_bytes": 2 << 20},
    }
    edge = Edge(tmp_path_factory.mktemp("edge"), config, front=front)
    with running(edge):
        yield edge


CLIENTS: list[openai.OpenAI] = []


@pytest.fixture(autouse=True)
def closing():
    """The SDK's clients of a test end with it."""
    yield
    while CLIENTS:
        CLIENTS.pop().close()


def client(edge, key="plain"):
    CLIENTS.append(openai.OpenAI(base_url=f"{edge.url}/v1", api_key=KEYS[key][0], max_retries=0))
    return CLIENTS[-1]


def test_a_transcription_with_openais_sdk(edge, simulator):
    since = simulator.count()
    got = client(edge).audio.transcriptions.create(model="gpt-4o-transcribe", file=("talk.wav", SOUND))
    assert got.text == f"talk.wav of {len(SOUND)} bytes, by gpt-4o-transcribe"
    (entry,) = simulator.ledger(since)
    assert dict(entry["headers"])["content-type"].startswith("multipart/form-data; boundary=")


def test_a_transcription_as_a_stream(edge):
    events = list(
        client(edge).audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", SOUND[:99]), stream=True)
    )
    assert [event.type for event in events] == ["transcript.text.delta", "transcript.text.done"]


def test_a_picture_is_edited_and_its_tokens_are_charged(edge):
    got = client(edge).images.with_raw_response.edit(model="gpt-image-1", image=("a.png", SOUND), prompt="brighter")
    assert got.parse().usage.output_tokens == 7
    assert float(got.headers["x-edge-cost-usd"]) > 0


@pytest.mark.parametrize("first", ["file", "model"])
def test_an_alias_is_put_in_wherever_it_stands_and_nothing_else_changes(edge, simulator, first):
    fields = {"file": ('file"; filename="a.wav', SOUND), "model": ("model", b"ears")}
    order = [first, *(set(fields) - {first})]
    body = b"".join(
        b'--b\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (fields[name][0].encode(), fields[name][1])
        for name in order
    )
    body += b"--b--\r\n"
    since = simulator.count()
    got = httpx2.post(
        f"{edge.url}/v1/audio/transcriptions",
        content=body,
        headers={"content-type": "multipart/form-data; boundary=b", "x-api-key": KEYS["plain"][0]},
    )
    assert got.status_code == 200, got.text
    assert got.json()["text"].endswith(f"of {len(SOUND)} bytes, by whisper-1")
    assert simulator.count() == since + 1


def test_when_one_upstream_fails_another_gets_the_whole_form(edge):
    got = client(edge).audio.transcriptions.with_raw_response.create(model="failing", file=("a.wav", SOUND))
    assert got.headers["x-edge-provider"] == "spare"
    assert got.parse().text == f"a.wav of {len(SOUND)} bytes, by whisper-1"


def test_a_key_of_some_models_uses_these_in_forms_too(edge, simulator):
    assert client(edge, "narrow").audio.transcriptions.create(model="whisper-1", file=("a.wav", SOUND[:9])).text
    since = simulator.count()
    with pytest.raises(openai.PermissionDeniedError):
        client(edge, "narrow").audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", SOUND[:9]))
    assert simulator.count() == since


def test_forms_are_refused_where_texts_are_to_be_masked(edge, simulator):
    since = simulator.count()
    with pytest.raises(openai.APIStatusError) as caught:
        client(edge, "masked").audio.transcriptions.create(model="whisper-1", file=("a.wav", SOUND[:9]))
    assert caught.value.code == "pii_blocked"
    assert simulator.count() == since


def test_a_form_that_is_too_large_is_a_413(edge):
    with pytest.raises(openai.APIStatusError) as caught:
        client(edge).audio.transcriptions.create(model="whisper-1", file=("a.wav", SOUND * 4))
    assert caught.value.status_code == 413


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/chat/completions", 404), ("/v1/other", 404), ("/v1/audio/transcriptions", 400)]
)
def test_other_routes_take_no_forms_and_no_form_goes_without_a_boundary(edge, path, status):
    headers = {"content-type": "multipart/form-data", "x-api-key": KEYS["plain"][0]}
    assert httpx2.post(edge.url + path, content=b"x", headers=headers).status_code == status


def test_a_file_from_its_upload_to_a_batch_of_it(edge):
    named = {"x-edge-provider": "openai"}
    openais = client(edge)
    file = openais.files.create(file=("in.jsonl", b'{"custom_id":"1"}'), purpose="batch", extra_headers=named)
    assert openais.files.content(file.id).content == b'{"custom_id":"1"}'
    batch = openais.batches.create(
        input_file_id=file.id, endpoint="/v1/responses", completion_window="24h", extra_headers=named
    )
    assert openais.batches.retrieve(batch.id).status == "validating"
    assert openais.batches.retrieve(batch.id).status == "completed"
    assert openais.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        openais.files.retrieve(file.id)


def test_a_file_of_anthropics(edge):
    with anthropic.Anthropic(base_url=edge.url, api_key=KEYS["plain"][0], max_retries=0) as anthropics:
        file = anthropics.beta.files.upload(file=("a.txt", b"hello"))
        assert anthropics.beta.files.retrieve_metadata(file.id).size_bytes == 5
        assert anthropics.beta.files.delete(file.id).id == file.id


def test_a_client_that_leaves_in_the_middle_of_a_form_costs_no_provider_anything(edge, simulator):
    since = simulator.count()
    with socket.create_connection(("127.0.0.1", edge.port)) as sock:
        sock.sendall(
            b"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: localhost\r\nx-api-key: "
            + KEYS["plain"][0].encode()
            + b"\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: 100000\r\n\r\n--b\r\n"
        )
    assert client(edge).audio.transcriptions.create(model="whisper-1", file=("a.wav", SOUND[:9])).text
    assert simulator.count() == since + 1
