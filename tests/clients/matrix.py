"""What users do with the official SDKs, once each, sync and async; run by one SDK version per process.

``python matrix.py EDGE_URL GUARDED_URL SIMULATOR_URL`` prints a JSON object: scenario -> "ok" or what went wrong. Imports
nothing of this project, so that it runs in any environment that has the SDKs.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import time
import traceback
import urllib.request

import anthropic
import openai
from pydantic import BaseModel

EDGE, GUARDED, SIMULATOR = sys.argv[1:4]
SAID = [{"role": "user", "content": "Say hello."}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
OPENAI_TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "w", "parameters": SCHEMA, "strict": True}}
]
ANTHROPIC_TOOLS = [{"name": "weather", "description": "w", "input_schema": SCHEMA}]
CLAUDE = "claude-sonnet-5"
SCENARIOS = {}


class Forecast(BaseModel):
    city: str
    days: int


def scenario(function):
    SCENARIOS[function.__name__] = function
    return function


def ledger():
    return json.load(urllib.request.urlopen(f"{SIMULATOR}/ledger"))


async def settled(value):
    """A result of either kind of client."""
    return await value if inspect.isawaitable(value) else value


async def items(stream):
    """The items of either kind of stream."""
    if hasattr(stream, "__aiter__"):
        return [item async for item in stream]
    return list(stream)


async def raises(kind, value_of):
    try:
        await settled(value_of())
    except kind as error:
        assert type(error) is kind, type(error)
        return error
    raise AssertionError(f"no {kind.__name__}")


# OpenAI: `ai` is a sync or async client.


@scenario
async def openai_chat(ai):
    got = await settled(ai.chat.completions.create(model="gpt-4o", messages=SAID))
    assert got.choices[0].message.content
    assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens


@scenario
async def openai_stream(ai):
    whole = await settled(ai.chat.completions.create(model="gpt-4o", messages=SAID))
    stream = await settled(
        ai.chat.completions.create(model="gpt-4o", messages=SAID, stream=True, stream_options={"include_usage": True})
    )
    chunks = await items(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


@scenario
async def openai_tools_round_trip(ai):
    got = await settled(ai.chat.completions.create(model="gpt-4o", messages=SAID, tools=OPENAI_TOOLS))
    call = got.choices[0].message.tool_calls[0]
    assert set(json.loads(call.function.arguments)) == {"city", "days"}
    turns = [*SAID, got.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sun"}]
    got = await settled(ai.chat.completions.create(model="gpt-4o", messages=turns, tools=OPENAI_TOOLS))
    assert got.choices[0].message.content
    stream = await settled(ai.chat.completions.create(model="gpt-4o", messages=SAID, tools=OPENAI_TOOLS, stream=True))
    parts = [
        c.choices[0].delta.tool_calls[0].function.arguments or ""
        for c in await items(stream)
        if c.choices and c.choices[0].delta.tool_calls
    ]
    assert "".join(parts) == call.function.arguments


@scenario
async def openai_vision(ai):
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"}},
    ]
    got = await settled(ai.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": parts}]))
    assert got.choices[0].message.content
    assert PIXEL in ledger()["entries"][-1]["body"]


@scenario
async def openai_structured_output(ai):
    got = await settled(ai.chat.completions.parse(model="gpt-4o", messages=SAID, response_format=Forecast))
    assert isinstance(got.choices[0].message.parsed, Forecast)


@scenario
async def openai_embeddings(ai):
    got = await settled(ai.embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=64))
    assert [len(item.embedding) for item in got.data] == [64, 64]


@scenario
async def openai_responses(ai):
    got = await settled(ai.responses.create(model="gpt-4o", input="hi"))
    assert got.output_text
    events = await items(await settled(ai.responses.create(model="gpt-4o", input="hi", stream=True)))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == got.output_text
    parsed = await settled(ai.responses.parse(model="gpt-4o", input="hi", text_format=Forecast))
    assert isinstance(parsed.output_parsed, Forecast)


@scenario
async def openai_models(ai):
    assert "smart" in [model.id for model in await items((await settled(ai.models.list())).data)]
    assert (await settled(ai.models.retrieve("smart"))).id == "smart"


@scenario
async def openai_errors(ai):
    kinds = {
        400: openai.BadRequestError,
        404: openai.NotFoundError,
        409: openai.ConflictError,
        422: openai.UnprocessableEntityError,
        429: openai.RateLimitError,
        500: openai.InternalServerError,
        503: openai.InternalServerError,
    }
    for status, kind in kinds.items():
        error = await raises(
            kind, lambda status=status: ai.chat.completions.create(model=f"sim-{status}", messages=SAID)
        )
        assert error.status_code == status
        assert error.request_id
    await raises(openai.NotFoundError, lambda: ai.models.retrieve("nothing-like-it"))
    await raises(openai.BadRequestError, lambda: ai.responses.create(model="wise", input="hi", background=True))
    error = await raises(openai.InternalServerError, lambda: ai.chat.completions.create(model="sim-401", messages=SAID))
    assert error.code == "upstream_credentials_exhausted"


@scenario
async def openai_error_inside_a_stream(ai):
    stream = await settled(ai.chat.completions.create(model="sim-words-30-cut-9", messages=SAID, stream=True))
    await raises(openai.APIError, lambda: items(stream))


@scenario
async def openai_401_of_the_edge(ai):
    stranger = ai.with_options(api_key="sk-nobody-nobody-nobody")
    stranger.base_url = f"{GUARDED}/v1"
    error = await raises(
        openai.AuthenticationError,
        lambda: stranger.with_options(max_retries=2).chat.completions.create(model="gpt-4o", messages=SAID),
    )
    assert error.request.headers["x-stainless-retry-count"] == "0", "it was not retried"


@scenario
async def openai_retries_obey(ai):
    patient = ai.with_options(max_retries=2)
    before = ledger()["count"]
    await raises(
        openai.RateLimitError, lambda: patient.chat.completions.create(model="sim-429-retryms-10", messages=SAID)
    )
    assert ledger()["count"] - before == 3, "a provider's 429 is retried as it says"
    before = ledger()["count"]
    await raises(openai.InternalServerError, lambda: patient.chat.completions.create(model="sim-402", messages=SAID))
    assert ledger()["count"] - before == 1, "x-should-retry: false"


@scenario
async def openai_timeout(ai):
    begun = time.monotonic()
    await raises(
        openai.APITimeoutError,
        lambda: ai.with_options(timeout=1).chat.completions.create(model="sim-hang", messages=SAID),
    )
    assert time.monotonic() - begun < 10
    await left()


async def left():
    """The latest request's client was seen to leave."""
    for _ in range(500):
        if ledger()["entries"][-1]["left"]:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the upstream was not closed")


@scenario
async def openai_cancellation(ai):
    stream = await settled(ai.chat.completions.create(model="sim-words-200-tps-50", messages=SAID, stream=True))
    if hasattr(stream, "__aiter__"):
        await anext(aiter(stream))
    else:
        next(iter(stream))
    await settled(stream.close())
    await left()
    if isinstance(ai, openai.AsyncOpenAI):
        task = asyncio.create_task(ai.chat.completions.create(model="sim-hang", messages=SAID))
        await asyncio.sleep(0.3)
        task.cancel()
        await left()


# Anthropic: `ai` is a sync or async client.


@scenario
async def anthropic_message(ai):
    got = await settled(ai.messages.create(model=CLAUDE, max_tokens=100, messages=SAID, system="Be brief."))
    assert got.content[0].text
    assert got.stop_reason == "end_turn"


@scenario
async def anthropic_stream(ai):
    whole = await settled(ai.messages.create(model=CLAUDE, max_tokens=100, messages=SAID))
    events = await items(await settled(ai.messages.create(model=CLAUDE, max_tokens=100, messages=SAID, stream=True)))
    assert events[0].type == "message_start"
    assert events[-1].type == "message_stop"
    text = "".join(e.delta.text for e in events if e.type == "content_block_delta")
    assert text == whole.content[0].text


@scenario
async def anthropic_stream_helper(ai):
    manager = ai.messages.stream(model=CLAUDE, max_tokens=100, messages=SAID)
    if hasattr(manager, "__aenter__"):
        async with manager as stream:
            text = "".join([piece async for piece in stream.text_stream])
            final = await stream.get_final_message()
    else:
        with manager as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
    assert text == final.content[0].text
    assert final.usage.output_tokens > 0


@scenario
async def anthropic_tools_round_trip(ai):
    got = await settled(ai.messages.create(model=CLAUDE, max_tokens=100, messages=SAID, tools=ANTHROPIC_TOOLS))
    assert got.stop_reason == "tool_use"
    use = got.content[0]
    assert set(use.input) == {"city", "days"}
    turns = [
        *SAID,
        {"role": "assistant", "content": got.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sun"}]},
    ]
    got = await settled(ai.messages.create(model=CLAUDE, max_tokens=100, messages=turns, tools=ANTHROPIC_TOOLS))
    assert got.content[0].type == "text"


@scenario
async def anthropic_vision(ai):
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    got = await settled(
        ai.messages.create(
            model=CLAUDE,
            max_tokens=100,
            messages=[{"role": "user", "content": [image, {"type": "text", "text": "What?"}]}],
        )
    )
    assert got.content[0].text
    assert PIXEL in ledger()["entries"][-1]["body"]


@scenario
async def anthropic_structured_output(ai):
    output_format = {"format": {"type": "json_schema", "schema": SCHEMA}}
    got = await settled(
        ai.messages.create(model=CLAUDE, max_tokens=100, messages=SAID, extra_body={"output_config": output_format})
    )
    Forecast.model_validate_json(got.content[0].text)


@scenario
async def anthropic_count_tokens(ai):
    assert (await settled(ai.messages.count_tokens(model=CLAUDE, messages=SAID))).input_tokens > 0


@scenario
async def anthropic_beta(ai):
    got = await settled(ai.beta.messages.create(model=CLAUDE, max_tokens=100, messages=SAID, betas=["one-2025-01-01"]))
    assert got.content[0].text
    entry = ledger()["entries"][-1]
    assert entry["path"] in ("/v1/messages?beta=true", "/v1/messages"), entry["path"]
    assert ["anthropic-beta", "one-2025-01-01"] in entry["headers"]


@scenario
async def anthropic_models(ai):
    assert "wise" in [model.id for model in await items((await settled(ai.models.list())).data)]


@scenario
async def anthropic_errors(ai):
    kinds = {
        400: anthropic.BadRequestError,
        404: anthropic.NotFoundError,
        429: anthropic.RateLimitError,
        500: anthropic.InternalServerError,
    }
    for status, kind in kinds.items():
        error = await raises(
            kind, lambda status=status: ai.messages.create(model=f"sim-{status}", max_tokens=9, messages=SAID)
        )
        assert error.status_code == status
        assert error.request_id
    for status in (529, 503):
        try:
            await settled(ai.messages.create(model=f"sim-{status}-noretry", max_tokens=9, messages=SAID))
        except anthropic.APIStatusError as error:
            assert error.status_code == status
        else:
            raise AssertionError("no error")
    tool = {"type": "web_search_20250305", "name": "web_search"}
    await raises(
        anthropic.BadRequestError,
        lambda: ai.messages.create(model="smart", max_tokens=9, messages=SAID, tools=[tool]),
    )


@scenario
async def anthropic_error_inside_a_stream(ai):
    stream = await settled(ai.messages.create(model="sim-words-30-cut-9", max_tokens=100, messages=SAID, stream=True))
    try:
        await items(stream)
    except anthropic.APIStatusError as error:
        assert "broke off" in str(error)
    else:
        raise AssertionError("no error")


@scenario
async def anthropic_401_of_the_edge(ai):
    stranger = ai.with_options(api_key="sk-nobody-nobody-nobody")
    stranger.base_url = GUARDED
    error = await raises(
        anthropic.AuthenticationError,
        lambda: stranger.with_options(max_retries=2).messages.create(model=CLAUDE, max_tokens=9, messages=SAID),
    )
    assert error.request.headers["x-stainless-retry-count"] == "0", "it was not retried"


@scenario
async def anthropic_retries_obey(ai):
    patient = ai.with_options(max_retries=2)
    before = ledger()["count"]
    await raises(
        anthropic.RateLimitError,
        lambda: patient.messages.create(model="sim-429-retryms-10", max_tokens=9, messages=SAID),
    )
    assert ledger()["count"] - before == 3


@scenario
async def anthropic_timeout(ai):
    await raises(
        anthropic.APITimeoutError,
        lambda: ai.with_options(timeout=1).messages.create(model="sim-hang", max_tokens=9, messages=SAID),
    )
    await left()


@scenario
async def anthropic_cancellation(ai):
    stream = await settled(ai.messages.create(model="sim-words-200-tps-50", max_tokens=900, messages=SAID, stream=True))
    if hasattr(stream, "__aiter__"):
        await anext(aiter(stream))
    else:
        next(iter(stream))
    await settled(stream.close())
    await left()


async def main() -> None:
    options = {"max_retries": 0, "timeout": 20}
    clients = {
        "openai": (
            openai.OpenAI(base_url=f"{EDGE}/v1", api_key="unused", **options),
            openai.AsyncOpenAI(base_url=f"{EDGE}/v1", api_key="unused", **options),
        ),
        "anthropic": (
            anthropic.Anthropic(base_url=EDGE, api_key="unused", **options),
            anthropic.AsyncAnthropic(base_url=EDGE, api_key="unused", **options),
        ),
    }
    found = {"versions": {"openai": openai.__version__, "anthropic": anthropic.__version__}, "results": {}}
    for name, function in SCENARIOS.items():
        for kind, client in zip(("sync", "async"), clients[name.partition("_")[0]], strict=True):
            try:
                await function(client)
            except Exception:
                found["results"][f"{name} {kind}"] = traceback.format_exc()[-800:]
            else:
                found["results"][f"{name} {kind}"] = "ok"
    print(json.dumps(found))


asyncio.run(main())
