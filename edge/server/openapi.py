"""The description of the admin API in OpenAPI, by BlackSheep's own support."""

from __future__ import annotations

from typing import Any

import msgspec
from blacksheep import Application
from blacksheep.server.openapi.common import ContentInfo, DefaultSerializer, ResponseInfo
from blacksheep.server.openapi.v3 import ObjectTypeHandler, OpenAPIHandler
from openapidocs.v3 import Info  # type: ignore[import-untyped]

from edge import __version__

__all__ = ["Description"]

REFERENCE = "#/components/schemas/{name}"


class Structs(ObjectTypeHandler):  # type: ignore[misc]
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


class Described(OpenAPIHandler):  # type: ignore[misc]
    """Registers no routes of its own: those that there are stand in one table."""

    made = b""

    def register_docs_handler(self, app: Application) -> None:
        """``made`` is served by a page of ours."""

    async def build_docs(self, app: Application) -> None:
        self.made = DefaultSerializer().to_json(self.generate_documentation(app)).encode()


class Description:
    """What is said of handlers, before their `app` starts."""

    def __init__(self) -> None:
        self._docs = Described(info=Info(title="LLM Edge Agent: admin API", version=__version__))
        self._docs.ui_providers.clear()
        self._docs.object_types_handlers.append(Structs())
        self._docs.include = lambda path, _: path.startswith("/admin/api/")

    def of(self, handler: Any, summary: str, answer: Any = None, kind: str = "application/json") -> Any:
        """`handler`, of which is said what it does, and of which type its answer is."""
        content = [ContentInfo(answer, content_type=kind)] if answer is not None else None
        refused = {401: ResponseInfo("no key, or one that is not known"), 403: ResponseInfo("not an admin's key")}
        return self._docs(summary=summary, responses={200: ResponseInfo(summary, content=content), **refused})(handler)

    def hide(self, handler: Any) -> Any:
        return self._docs.ignore()(handler)

    def json(self) -> bytes:
        """All of it, once the `app` has started."""
        return self._docs.made

    def bind(self, app: Application) -> None:
        self._docs.bind_app(app)
