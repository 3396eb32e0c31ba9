"""The description of the admin API in OpenAPI, by BlackSheep's own support.

Imported when somebody asks for the description: what it imports takes a worker longer than all other pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from blacksheep import Application
from blacksheep.server.openapi.common import ContentInfo, DefaultSerializer, ResponseInfo
from blacksheep.server.openapi.v3 import ObjectTypeHandler, OpenAPIHandler
from openapidocs.v3 import Info  # type: ignore[import-untyped]

from edge import __version__
from edge.server.told import Told

__all__ = ["describe"]

REFERENCE = "#/components/schemas/{name}"
REFUSED = {401: ResponseInfo("no key, or one that is not known"), 403: ResponseInfo("not an admin's key")}


class _Structs(ObjectTypeHandler):  # type: ignore[misc]
    """msgspec says itself what its types look like in JSON."""

    def handles_type(self, object_type: Any) -> bool:
        return isinstance(object_type, type) and issubclass(object_type, msgspec.Struct)

    def set_type_schema(self, object_type: Any, context: OpenAPIHandler) -> None:
        _, found = msgspec.json.schema_components([object_type], ref_template=REFERENCE)
        context.set_type_schema(object_type, found.pop(object_type.__name__))
        if context.components.schemas is None:
            context.components.schemas = {}
        context.components.schemas.update(found)

    def get_type_fields(self, object_type: Any, register_type: Any) -> list[Any]:
        raise NotImplementedError


class _Documents(OpenAPIHandler):  # type: ignore[misc]
    """Registers no routes of its own: those that there are stand in one table."""

    def register_docs_handler(self, app: Application) -> None:
        """What is made is served by a page of ours."""


def describe(app: Application, told: Sequence[Told]) -> bytes:
    """The description, in JSON, of what is `told` of `app`; its other handlers are left out."""
    documents = _Documents(info=Info(title="LLM Edge Agent: admin API", version=__version__))
    documents.ui_providers.clear()
    documents.object_types_handlers.append(_Structs())
    for page in told:
        content = [ContentInfo(page.answer, content_type=page.kind)]
        answers = {200: ResponseInfo(page.summary, content=content), **REFUSED}
        documents(summary=page.summary, responses=answers)(page.handler)
    known = {page.handler for page in told}
    documents.include = lambda _, route: getattr(route.handler, "root_fn", route.handler) in known
    return DefaultSerializer().to_json(documents.generate_documentation(app)).encode()  # type: ignore[no-any-return]
