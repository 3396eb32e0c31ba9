"""What users of openai-agents do with conversations: a session of OpenAI's, and runs that name a conversation.

``python agents_session.py EDGE_URL MODEL KEY`` prints a JSON object: scenario -> "ok" or what went wrong. Imports nothing
of this project, so that it runs in any environment that has the SDK.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback

from agents import (
    Agent,
    OpenAIConversationsSession,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

URL, MODEL, KEY = sys.argv[1:4]


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    return "It rains."


def agent(client, *tools):
    model = OpenAIResponsesModel(model=MODEL, openai_client=client)
    return Agent(name="a", instructions="Be brief.", tools=list(tools), model=model)


async def a_session(client):
    session = OpenAIConversationsSession(openai_client=client)
    for question in ("What is the weather in Paris?", "And tomorrow?"):
        assert (await Runner.run(agent(client, weather), question, session=session)).final_output
    items = await session.get_items()
    said = [item["content"][0]["text"] for item in items if item.get("role") == "user"]
    assert said == ["What is the weather in Paris?", "And tomorrow?"], said
    assert [item["type"] for item in items].count("function_call_output") == 2, items
    last = await session.pop_item()
    assert last == items[-1], (last, items[-1])
    assert await session.get_items() == items[:-1]
    await session.clear_session()
    assert await session.get_items() == []


async def a_conversation(client):
    made = await client.conversations.create()
    for question in ("What is the weather in Paris?", "And tomorrow?"):
        got = await Runner.run(agent(client, weather), question, conversation_id=made.id)
        assert got.final_output
    items = [item async for item in client.conversations.items.list(made.id, order="asc")]
    kinds = [item.type for item in items if item.type != "reasoning"]
    turn = ["message", "function_call", "function_call_output", "message"]
    assert kinds == [*turn, *turn], kinds


async def two_at_a_time(client):
    """Who finds it taken asks again."""
    made = await client.conversations.create()
    asked = [Runner.run(agent(client), f"Question {number}?", conversation_id=made.id) for number in range(2)]
    assert all(got.final_output for got in await asyncio.gather(*asked))
    items = [item async for item in client.conversations.items.list(made.id)]
    assert sum(getattr(item, "role", "") == "user" for item in items) == 2, items


async def main():
    set_tracing_disabled(True)
    told = {}
    client = AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
    for scenario in (a_session, a_conversation, two_at_a_time):
        try:
            await scenario(client)
            told[scenario.__name__] = "ok"
        except Exception:
            told[scenario.__name__] = traceback.format_exc()[-1500:]
    await client.close()
    print(json.dumps(told))


asyncio.run(main())
