"""The tool runner of Anthropic's SDK, whose newest versions keep the conversation at the server by default.

``python tool_runner.py EDGE_URL MODEL`` runs a conversation of two turns sync, async and as streams, and prints the final
texts as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys

import anthropic

EDGE, MODEL = sys.argv[1:3]
OPTIONS = {"base_url": EDGE, "api_key": "unused", "max_retries": 0, "timeout": 20}
SAID = "sun over the whole city"


@anthropic.beta_tool
def weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: Which city.
    """
    return SAID


@anthropic.beta_async_tool
async def weather_later(city: str) -> str:
    """The weather of a city.

    Args:
        city: Which city.
    """
    return SAID


def asked(form: str) -> dict[str, object]:
    said = [{"role": "user", "content": f"Weather in Paris? ({form})"}]
    return {"model": MODEL, "max_tokens": 200, "messages": said}


def sync() -> anthropic.types.beta.BetaMessage:
    return anthropic.Anthropic(**OPTIONS).beta.messages.tool_runner(tools=[weather], **asked("sync")).until_done()


async def later() -> anthropic.types.beta.BetaMessage:
    client = anthropic.AsyncAnthropic(**OPTIONS)
    return await client.beta.messages.tool_runner(tools=[weather_later], **asked("async")).until_done()


def stream() -> anthropic.types.beta.BetaMessage:
    runner = anthropic.Anthropic(**OPTIONS).beta.messages.tool_runner(tools=[weather], stream=True, **asked("stream"))
    for turn in runner:
        message = turn.get_final_message()
    return message


finals = [sync(), asyncio.run(later()), stream()]
print(json.dumps(["".join(block.text for block in final.content if block.type == "text") for final in finals]))
