"""The last answer of a connection, to what is no request."""

from __future__ import annotations

import pytest

from edge.errors import EdgeError, HeaderTooLarge, InternalError, InvalidHTTP
from edge.server.refusal import refusal


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InvalidHTTP(), b"HTTP/1.1 400 Bad Request\r\n"),
        (InvalidHTTP("No transfer coding but chunked is known here.", status=501), b"HTTP/1.1 501 Not Implemented\r\n"),
        (HeaderTooLarge(), b"HTTP/1.1 431 Request Header Fields Too Large\r\n"),
        (InternalError(), b"HTTP/1.1 500 Internal Server Error\r\n"),
    ],
)
def test_the_status_line_has_the_phrase_of_its_status(error: EdgeError, line: bytes):
    assert refusal(error, None, b"/v1/messages", ()).startswith(line)
