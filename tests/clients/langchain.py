"""LangChain's clients, as its users write them; prints a JSON object: scenario -> "ok" or what went wrong."""

from __future__ import annotations

import json
import sys
import traceback

from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

EDGE = sys.argv[1]


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"sun in {city}"


def invoke(model):
    assert model.invoke("Say hello.").content


def stream(model):
    assert "".join(str(chunk.content) for chunk in model.stream("Say hello."))


def tools(model):
    assert model.bind_tools([weather]).invoke("Weather in Paris?").tool_calls[0]["name"] == "weather"


def embeddings(_model):
    made = OpenAIEmbeddings(
        base_url=f"{EDGE}/v1", api_key="x", model="text-embedding-3-small", check_embedding_ctx_length=False
    )
    assert len(made.embed_documents(["a", "b"])) == 2


MODELS = {
    "openai": ChatOpenAI(base_url=f"{EDGE}/v1", api_key="x", model="gpt-4o"),
    "anthropic": ChatAnthropic(base_url=EDGE, api_key="x", model="claude-sonnet-5", max_tokens=200),
}
found = {}
for name, model in MODELS.items():
    for scenario in (invoke, stream, tools, *([embeddings] if name == "openai" else [])):
        try:
            scenario(model)
        except Exception:
            found[f"{name} {scenario.__name__}"] = traceback.format_exc()[-800:]
        else:
            found[f"{name} {scenario.__name__}"] = "ok"
print(json.dumps(found))
