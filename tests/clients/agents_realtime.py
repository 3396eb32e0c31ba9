"""What users do with openai-agents by voice: an agent with a tool, in text and in sound, by the Realtime API.

``python agents_realtime.py EDGE_URL KEY MODEL`` prints a JSON object: scenario -> "ok" or what went wrong. Imports nothing
of this project, so that it runs in any environment that has the SDK.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback

from agents import function_tool, set_tracing_disabled
from agents.realtime import RealtimeAgent, RealtimeRunner

URL, KEY, MODEL = sys.argv[1:4]
PATIENCE_S = 60
CALLED: list[str] = []


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    CALLED.append(city)
    return "It rains."


async def session(*tools, key=KEY, **settings):
    agent = RealtimeAgent(name="a", instructions="Be brief.", tools=list(tools))
    config = {
        "api_key": key,
        "url": f"{URL.replace('http', 'ws', 1)}/v1/realtime?model={MODEL}",
        "initial_model_settings": {"model_name": MODEL, **settings},
    }
    return await RealtimeRunner(agent).run(model_config=config)


async def until(session, *kinds):
    """All events up to the last of these kinds, each of which has to come in its order."""
    found, wanted = [], list(kinds)
    async for event in session:
        assert event.type != "error", event
        found.append(event)
        if event.type == wanted[0]:
            wanted.pop(0)
            if not wanted:
                return found
    raise AssertionError(f"the session ended before {wanted}: {[each.type for each in found]}")


def said(session):
    """What the agent has said, as the session's history has it."""
    items = [item for item in session._history if item.type == "message" and item.role == "assistant"]
    parts = [part for item in items for part in item.content]
    return " ".join(filter(None, (getattr(part, "text", None) or getattr(part, "transcript", None) for part in parts)))


async def text():
    async with await session(output_modalities=["text"]) as talk:
        for question in ("Hello.", "And again?"):
            await talk.send_message(question)
            await until(talk, "agent_start", "agent_end")
        assert said(talk)


async def tool():
    async with await session(weather) as talk:
        await talk.send_message("What is the weather in Paris?")
        await until(talk, "tool_start", "tool_end", "audio", "agent_end")
        assert len(CALLED) == 1, CALLED


async def sound():
    async with await session() as talk:
        for _ in range(12):
            await talk.send_audio(bytes(4800))
        events = await until(talk, "audio", "audio_end", "agent_end")
        assert sum(len(event.audio.data) for event in events if event.type == "audio") > 4800


async def interrupted():
    async with await session() as talk:
        await talk.send_message("Tell me a long story.")
        await until(talk, "audio")
        await talk.interrupt()
        await talk.send_message("Stop.")
        await until(talk, "agent_end")


async def refused():
    try:
        async with await session(key="x" * 32):
            pass
    except Exception as error:
        assert "401" in str(error), error
    else:
        raise AssertionError("a key that nobody knows was taken")


async def main():
    set_tracing_disabled(True)
    results = {}
    for scenario in (text, tool, sound, interrupted, refused):
        CALLED.clear()
        try:
            await asyncio.wait_for(scenario(), PATIENCE_S)
            results[scenario.__name__] = "ok"
        except Exception:
            results[scenario.__name__] = traceback.format_exc()
    print(json.dumps(results))


asyncio.run(main())
