"""``GET /v1/models`` and ``GET /v1/models/{id}``: what a key can ask for in a dialect."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

from edge.dialects import anthropic, openai
from edge.errors import ModelNotFound
from edge.routes import ROUTES, Dialect
from edge.upstreams.catalog import Catalog
from edge.upstreams.router import Router, Upstream

__all__ = ["model_answer"]

Grants = Callable[..., bool]
RENDER: dict[Dialect, tuple[Callable[[list[tuple[str, str]]], bytes], Callable[[str, str], bytes]]] = {
    "anthropic": (anthropic.model_list, anthropic.model_object),
    "openai": (openai.model_list, openai.model_object),
}


async def model_answer(router: Router, catalog: Catalog, grants: Grants, dialect: Dialect, wanted: str) -> bytes:
    """The body of the list, or of the model `wanted` (percent-encoded) where that is not "".

    `grants` tells whether one of the names it is given may be used. Raises ModelNotFound.
    """
    models = await visible_models(router, catalog, grants, dialect)
    list_of, object_of = RENDER[dialect]
    if not wanted:
        return list_of(models)
    name = unquote(wanted)
    for model, owner in models:
        if name in (model, f"{owner}/{model}"):
            return object_of(model, owner)
    raise ModelNotFound(f"The model '{name[:256]}' does not exist here.", param="model")


async def visible_models(router: Router, catalog: Catalog, grants: Grants, dialect: Dialect) -> list[tuple[str, str]]:
    """(id, owner) of each: aliases first, then the providers' own lists, without repeats."""
    route = ROUTES["messages" if dialect == "anthropic" else "chat/completions"]
    visible: dict[str, str] = {}
    for alias, upstreams in router.aliases.items():
        if any(u.provider.serves(route) and grants(alias, *u.names) for u in upstreams):
            visible.setdefault(alias, "edge")
    for provider, model in await catalog.models():
        upstream = Upstream(provider, model)
        if provider.serves(route) and grants(*upstream.names):
            visible.setdefault(router.listed_name(upstream, route), provider.name)
    return list(visible.items())
