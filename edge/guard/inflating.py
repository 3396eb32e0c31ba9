"""Bodies of requests that came compressed."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

from edge.codings import CodingError, Layer
from edge.errors import InvalidRequest, RequestTooLarge
from edge.slices import Steps

__all__ = ["inflated"]

TOO_LARGE = {"error_code": "request_body_too_large_after_decoding"}
"""By this Anthropic's SDKs know why (anthropic-sdk-python 2.14, ``types/error_code.py``)."""


def inflated(coding: bytes, body: bytes, limit: int, hold: Callable[[int], None]) -> Steps[bytes]:
    """The body without its coding. `hold` is told of what comes out of it. Raises InvalidRequest, RequestTooLarge, and
    what `hold` does.
    """
    layer, out, size = Layer(coding), BytesIO(), 0  # which gives its bytes away without a copy
    said = coding.decode("latin-1")
    try:
        for piece in layer.pieces(body):
            size += len(piece)
            if size > limit:
                raise RequestTooLarge(
                    f"The body is larger than {limit} bytes once it is decompressed.", details=TOO_LARGE
                )
            hold(len(piece))
            out.write(piece)
            yield
    except CodingError as error:
        raise InvalidRequest(f"The body {error}, as its content-encoding '{said}' says it is.") from None
    if not layer.complete:
        raise InvalidRequest(f"The body ends in the middle of what its content-encoding '{said}' says it is.")
    return out.getvalue()
