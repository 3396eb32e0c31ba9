"""The official SDKs, as their users write them, against a live edge."""

from __future__ import annotations

import asyncio

import anthropic
import openai
import pytest

SAID = [{"role": "user", "content": "Say hello."}]


def openai_client(edge, kind=openai.OpenAI, **options):
    return kind(base_url=f"{edge.url}/v1", api_key="unused-but-required", max_retries=0, **options)


def anthropic_client(edge, kind=anthropic.Anthropic, **options):
    return kind(base_url=edge.url, api_key="unused-but-required", max_retries=0, **options)


def test_openai_chat(edge):
    with openai_client(edge) as client:
        got = client.chat.completions.create(model="gpt-4o", messages=SAID)
        assert got.choices[0].message.content
        assert got.choices[0].finish_reason == "stop"
        assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens
        assert got._request_id


def test_openai_chat_stream_is_the_same_text(edge):
    with openai_client(edge) as client:
        whole = client.chat.completions.create(model="gpt-4o", messages=SAID)
        stream = client.chat.completions.create(
            model="gpt-4o", messages=SAID, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == whole.choices[0].message.content
        assert chunks[-1].usage == whole.usage


def test_openai_async_chat_and_stream(edge):
    async def run():
        async with openai_client(edge, openai.AsyncOpenAI) as client:
            whole = await client.chat.completions.create(model="smart", messages=SAID)
            stream = await client.chat.completions.create(model="smart", messages=SAID, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
            assert text == whole.choices[0].message.content

    asyncio.run(run())


def test_openai_other_endpoints(edge):
    with openai_client(edge) as client:
        assert client.responses.create(model="gpt-4o", input="hi").output_text
        events = list(client.responses.create(model="gpt-4o", input="hi", stream=True))
        assert events[-1].type == "response.completed"
        assert len(client.embeddings.create(model="text-embedding-3-small", input=["a", "b"]).data) == 2
        assert client.completions.create(model="gpt-4o", prompt="hi").choices[0].text
        assert "smart" in [model.id for model in client.models.list()]
        assert client.models.retrieve("smart").id == "smart"


def test_anthropic_message(edge):
    with anthropic_client(edge) as client:
        got = client.messages.create(model="claude-sonnet-5", max_tokens=100, messages=SAID)
        assert got.content[0].text
        assert got.stop_reason == "end_turn"
        assert got.usage.output_tokens > 0
        assert got._request_id


def test_anthropic_stream_is_the_same_text(edge):
    with anthropic_client(edge) as client:
        whole = client.messages.create(model="wise", max_tokens=100, messages=SAID)
        with client.messages.stream(model="wise", max_tokens=100, messages=SAID) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        assert text == whole.content[0].text
        assert final.usage.output_tokens == whole.usage.output_tokens


def test_anthropic_async_message_and_stream(edge):
    async def run():
        async with anthropic_client(edge, anthropic.AsyncAnthropic) as client:
            whole = await client.messages.create(model="claude-x", max_tokens=100, messages=SAID)
            async with client.messages.stream(model="claude-x", max_tokens=100, messages=SAID) as stream:
                text = "".join([piece async for piece in stream.text_stream])
            assert text == whole.content[0].text

    asyncio.run(run())


def test_anthropic_other_endpoints(edge):
    with anthropic_client(edge) as client:
        assert client.messages.count_tokens(model="claude-x", messages=SAID).input_tokens > 0
        assert client.beta.messages.create(model="claude-x", max_tokens=9, messages=SAID).content
        assert "wise" in [model.id for model in client.models.list()]


def test_errors_are_the_sdks_own_exceptions(edge):
    with openai_client(edge) as client:
        for status, kind in (
            (429, openai.RateLimitError),
            (500, openai.InternalServerError),
            (400, openai.BadRequestError),
        ):
            with pytest.raises(kind):
                client.chat.completions.create(model=f"sim-{status}", messages=SAID)
        with pytest.raises(openai.APIError, match="broke off"):
            list(client.chat.completions.create(model="sim-words-20-cut-5", messages=SAID, stream=True))
    with anthropic_client(edge) as client:
        for status, kind in ((429, anthropic.RateLimitError), (529, anthropic.InternalServerError)):
            with pytest.raises(kind):
                client.messages.create(model=f"sim-{status}", max_tokens=9, messages=SAID)
        with (
            pytest.raises(anthropic.APIStatusError, match="broke off"),
            client.messages.stream(model="sim-words-20-cut-7", max_tokens=90, messages=SAID) as stream,
        ):
            list(stream)
