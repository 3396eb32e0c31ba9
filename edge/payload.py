"""The body of a request, as it was read and found sound."""

from __future__ import annotations

__all__ = ["Payload"]


class Payload:
    """What a body says, before anybody does anything about it. It never changes: what is to go on with another body has
    another payload.

    ``spans`` are where the values of the top-level keys stand in ``body``, ``values`` is how many values it has in all,
    and ``repeated`` whether a key is given twice in an object of which nobody here reads more than that. ``model``,
    ``stream`` and ``include_usage`` (a stream of chunks is to tell its tokens) are what it asks for; ``deadline_ms`` is
    the client's own deadline, 0 for none.
    """

    def __init__(
        self,
        body: bytes,
        spans: dict[str, tuple[int, int]],
        values: int,
        repeated: bool,
        model: str,
        stream: bool,
        include_usage: bool,
        deadline_ms: int,
    ) -> None:
        self.body = body
        self.spans = spans
        self.values = values
        self.repeated = repeated
        self.model = model
        self.stream = stream
        self.include_usage = include_usage
        self.deadline_ms = deadline_ms
