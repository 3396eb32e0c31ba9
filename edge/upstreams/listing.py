"""``GET /v1/models`` and ``GET /v1/models/{id}``: what a key can ask for in a dialect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

import msgspec

from edge import config
from edge.dialects.model_lists import Facts, Listed, model_list, model_object, page_of
from edge.errors import Headers, ModelNotFound
from edge.routes import ROUTES, Dialect
from edge.upstreams.catalog import Catalog
from edge.upstreams.router import Router, Upstream

__all__ = ["Asked", "answer_models"]

Grants = Callable[..., bool]
PARTIAL = (b"x-edge-partial", b"true")


@dataclass(frozen=True, slots=True)
class Asked:
    """``wanted`` is the model asked for, percent-encoded, "" for the list; ``grants`` tells whether one of the names it
    is given may be used.
    """

    dialect: Dialect
    wanted: str
    query: bytes
    grants: Grants


async def answer_models(
    router: Router, catalog: Catalog, aliases: dict[str, config.Model], asked: Asked
) -> tuple[bytes, Headers]:
    """The body of the answer, and the headers that are its own: a list without the models of a provider that has never
    told them says so. Raises ModelNotFound, InvalidValue.
    """
    page = page_of(dict(parse_qsl(asked.query.decode("latin-1"), True))) if asked.dialect == "anthropic" else None
    complete = await catalog.refresh()
    headers = [] if complete else [PARTIAL]
    visible = visible_models(router, catalog, aliases, asked)
    if not asked.wanted:
        return model_list(asked.dialect, [listed for listed, _ in visible], page), headers
    name = unquote(asked.wanted)
    # A name that another way leads to gets the object under the name that does here.
    for fits in (
        lambda listed, _: listed.id == name,
        lambda listed, _: f"{listed.owner}/{listed.id}" == name,
        lambda _, model: model == name,
    ):
        for listed, model in visible:
            if fits(listed, model):
                return msgspec.json.encode(model_object(asked.dialect, listed)), headers
    raise ModelNotFound(f"The model '{name[:256]}' does not exist here.", param="model", headers=headers)


def visible_models(
    router: Router, catalog: Catalog, aliases: dict[str, config.Model], asked: Asked
) -> list[tuple[Listed, str]]:
    """Each model with the provider's name for it: aliases first, then the providers' own lists, without repeats."""
    route = ROUTES["messages" if asked.dialect == "anthropic" else "chat/completions"]
    visible: dict[str, tuple[Listed, str]] = {}
    for alias, group in router.aliases.items():
        if any(u.provider.serves(route) and asked.grants(alias, *u.names) for u in group.upstreams):
            visible[alias] = (Listed(alias, "edge", Facts(display_name=aliases[alias].display_name)), alias)
    for provider, model, facts in catalog.models():
        upstream = Upstream(provider, model)
        if provider.serves(route) and asked.grants(*upstream.names):
            name = router.listed_name(upstream, route)
            visible.setdefault(name, (Listed(name, provider.name, facts), model))
    return list(visible.values())
