"""The description of the admin API in OpenAPI, by BlackSheep's own support.

Imported when somebody asks for the description: what it imports takes a worker longer than all other pages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from blacksheep import Application
from blacksheep.server.openapi.common import ContentInfo, DefaultSerializer, ResponseInfo
from blacksheep.server.openapi.v3 import ObjectTypeHandler, OpenAPIHandler
from openapidocs.v3 import (  # type: ignore[import-untyped]
    Info,
    MediaType,
    Operation,
    Parameter,
    ParameterLocation,
    RequestBody,
    Schema,
    ValueType,
)

from edge import __version__
from edge.server.told import Told

__all__ = ["describe"]

REFERENCE = "#/components/schemas/{name}"
ABOUT = (
    "Whatever is refused is told as an error with a code, a heading of docs/errors.md. Beside what each operation"
    " lists, any request may be refused for its HTTP (400, 408, 414, 431), its method (405), or for want of room (503)."
)
REFUSED = {
    400: "valid credentials of two tenants",
    401: "no key, or one that is not known",
    403: "not an admin's key; without keys, another machine than the edge's own",
    429: "too many requests without a valid key from this address",
}
"""By status: what every page refuses."""
REFUSED_POST = {415: "not declared as application/json"}


class ErrorTold(msgspec.Struct):
    """``param`` is the parameter or field at fault; ``code`` a heading of docs/errors.md."""

    message: str
    type: str
    param: str | None
    code: str


class Error(msgspec.Struct):
    """What is refused."""

    error: ErrorTold


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
    info = Info(title="LLM Edge Agent: admin API", version=__version__, description=ABOUT)
    documents = _Documents(info=info)
    documents.ui_providers.clear()
    documents.object_types_handlers.append(_Structs())
    posted = {handler_of(route) for route in app.router.routes[b"POST"]}
    for page in told:
        documents(
            summary=page.summary,
            responses=answers(page, posted=page.handler in posted),
            on_created=completed(page),
        )(page.handler)
    known = {page.handler for page in told}
    documents.include = lambda _, route: handler_of(route) in known
    return DefaultSerializer().to_json(documents.generate_documentation(app)).encode()  # type: ignore[no-any-return]


def handler_of(route: Any) -> Any:
    return getattr(route.handler, "root_fn", route.handler)


def answers(page: Told, *, posted: bool) -> dict[int | str | HTTPStatus, str | ResponseInfo]:
    """By status: what a page answers, and what it refuses."""
    found: dict[int | str | HTTPStatus, str | ResponseInfo] = {
        200: ResponseInfo(page.summary, content=[ContentInfo(page.answer, content_type=page.kind)])
    }
    for refused in (REFUSED, REFUSED_POST if posted else {}, page.refuses):
        for status, what in refused.items():
            before = found.get(status)
            said = f"{before.description}; {what}" if isinstance(before, ResponseInfo) else what
            found[status] = ResponseInfo(said, content=[ContentInfo(Error)])
    return found


def completed(page: Told) -> Callable[[Any, Any], None]:
    """What gives an operation its parameters and its body, which BlackSheep knows of bound ones alone."""

    def created(documents: Any, operation: Operation) -> None:
        operation.parameters = [
            Parameter(name, ParameterLocation.QUERY, schema=Schema(type=ValueType.STRING), description=what)
            for name, what in page.query.items()
        ] or None
        if page.body is not None:
            schema = documents.get_schema_by_type(page.body)
            operation.request_body = RequestBody(content={"application/json": MediaType(schema=schema)}, required=True)

    return created
