"""The last answer of a connection: to a request that is not one, or that there is no time or room for."""

from __future__ import annotations

from http import HTTPStatus
from logging import Logger

import httptools

from edge._fast import FieldLimitError
from edge.dialects import anthropic, openai
from edge.errors import EdgeError, Headers, HeaderTooLarge, InternalError, InvalidHTTP
from edge.server.request_head import MAX_HEADERS
from edge.telemetry.logs import where

__all__ = ["cause_of", "refusal"]

PHRASES = {each.value: each.phrase.encode() for each in HTTPStatus}


def refusal(error: EdgeError, headers: Headers | None, target: bytes, own: Headers) -> bytes:
    """The whole answer, in the dialect of the client as far as `headers` and `target`, which may be cut, tell it; with
    the server's `own` fields, of which the date is one (RFC 9110, section 6.6.1).
    """
    of_anthropic = any(name == b"anthropic-version" for name, _ in headers or ())
    if of_anthropic or target.startswith(b"/anthropic"):
        body = anthropic.error_body(error, "")
    else:
        body = openai.error_body(error)
    more = b"".join(b"%b: %b\r\n" % field for field in (*own, *error.headers))
    head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n"
    return head % (error.status, PHRASES.get(error.status, b""), len(body), more) + body


def cause_of(error: Exception, logger: Logger) -> EdgeError:
    """What the parser, one of its callbacks or a turn had against the request. A defect of ours is logged."""
    cause: BaseException = error
    if isinstance(error, httptools.HttpParserError):
        if not isinstance(error, httptools.HttpParserCallbackError) or error.__context__ is None:
            return InvalidHTTP()
        cause = error.__context__
    if isinstance(cause, FieldLimitError):
        return HeaderTooLarge(f"The headers are more than {MAX_HEADERS}.")
    if not isinstance(cause, EdgeError):
        logger.error("internal error: %s", where(cause))
        return InternalError()
    return cause
