"""What users do with openai-agents: an agent with a tool, whole and streamed, by the Responses API.

``python agents_sdk.py EDGE_URL MODEL`` prints a JSON object: scenario -> "ok" or what went wrong. Imports nothing of this
project, so that it runs in any environment that has the SDK.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback

from agents import Agent, ModelSettings, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI
from openai.types.shared import Reasoning

URL, MODEL = sys.argv[1:3]
CALLED: list[str] = []


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    CALLED.append(city)
    return "It rains."


def agent(**settings):
    client = AsyncOpenAI(base_url=f"{URL}/v1", api_key="x", max_retries=0)
    model = OpenAIResponsesModel(model=MODEL, openai_client=client)
    return Agent(
        name="a", instructions="Be brief.", tools=[weather], model=model, model_settings=ModelSettings(**settings)
    )


async def whole():
    got = await Runner.run(agent(store=False), "What is the weather in Paris?")
    assert got.final_output
    assert len(CALLED) == 1, CALLED
    kinds = [item.type for item in got.new_items]
    assert kinds == ["tool_call_item", "tool_call_output_item", "message_output_item"], kinds
    usage = got.context_wrapper.usage
    assert usage.requests == 2
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0


async def streamed():
    got = Runner.run_streamed(agent(store=False), "What is the weather in Paris?")
    deltas = [
        event.data.delta
        async for event in got.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]
    assert "".join(deltas) == got.final_output
    assert len(CALLED) == 1, CALLED


async def next_turn():
    first = await Runner.run(agent(reasoning=Reasoning(effort="low", summary="auto")), "Say hello.")
    asked = [*first.to_input_list(), {"role": "user", "content": "Again."}]
    assert (await Runner.run(agent(reasoning=Reasoning(effort="low")), asked)).final_output


async def main():
    set_tracing_disabled(True)
    results = {}
    for scenario in (whole, streamed, next_turn):
        CALLED.clear()
        try:
            await scenario()
            results[scenario.__name__] = "ok"
        except Exception:
            results[scenario.__name__] = traceback.format_exc()
    print(json.dumps(results))


asyncio.run(main())
