"""A collector for tests: it takes OTLP over HTTP, and keeps the spans in it as the protocol's own types have them."""

from __future__ import annotations

import gzip
import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.proto.trace.v1.trace_pb2 import Status as OtlpStatus

__all__ = ["Collector", "Received", "received_in"]

ERROR = OtlpStatus.STATUS_CODE_ERROR
KINDS = {Span.SPAN_KIND_SERVER: "SERVER", Span.SPAN_KIND_CLIENT: "CLIENT"}


@dataclass
class Received:
    """A span. Times are in seconds of the wall clock; ids in hex, "" for none."""

    trace_id: str
    span_id: str
    parent: str
    name: str
    kind: str
    start: float
    end: float
    attributes: dict[str, Any]
    events: list[tuple[str, float, dict[str, Any]]]
    links: list[tuple[str, str]]
    error: str
    state: str
    resource: dict[str, Any]


def value_of(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [value_of(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def values_of(attributes: Any) -> dict[str, Any]:
    return {each.key: value_of(each.value) for each in attributes}


def received_in(message: bytes) -> list[Received]:
    """The spans of one message."""
    found = []
    for part in ExportTraceServiceRequest.FromString(message).resource_spans:
        resource = values_of(part.resource.attributes)
        for scope in part.scope_spans:
            for span in scope.spans:
                assert len(span.trace_id) == 16
                assert len(span.span_id) == 8
                events = [(each.name, each.time_unix_nano / 1e9, values_of(each.attributes)) for each in span.events]
                found.append(
                    Received(
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.name,
                        KINDS[span.kind],
                        span.start_time_unix_nano / 1e9,
                        span.end_time_unix_nano / 1e9,
                        values_of(span.attributes),
                        events,
                        [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                        span.status.message if span.status.code == ERROR else "",
                        span.trace_state,
                        resource,
                    )
                )
    return found


@dataclass
class Collector:
    """``status`` is what it answers, and ``location`` where it sends whoever asks; it waits for ``moves`` before, which says whether it stands still."""

    status: int = 200
    location: str = ""
    delay_s: float = 0.0
    spans: list[Received] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    moves: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.moves.set()
        mine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                with suppress(ConnectionResetError):  # by an edge that has been killed
                    super().handle()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                mine.take(self.path, gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(mine.status)
                self.send_header("content-type", "application/x-protobuf")
                if mine.location:
                    self.send_header("location", mine.location + self.path)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        # Who closes it waits until it looks again whether it is to end.
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def take(self, path: str, body: bytes) -> None:
        self.moves.wait(60)
        time.sleep(self.delay_s)
        self.paths.add(path)
        self.messages.append(body)
        if self.status == 200:
            self.spans += received_in(body)

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *_: object) -> None:
        self.moves.set()
        self._server.shutdown()
        self._server.server_close()

    def traces(self) -> dict[str, list[Received]]:
        """The spans by their trace, each in the order of their beginnings."""
        found: dict[str, list[Received]] = defaultdict(list)
        for span in list(self.spans):
            found[span.trace_id].append(span)
        return {
            name: sorted(spans, key=lambda each: (each.kind != "SERVER", each.start)) for name, spans in found.items()
        }

    def wait_for(self, trace_id: str, spans: int, timeout_s: float = 30) -> list[Received]:
        """The spans of a trace, once there are so many."""
        until = time.monotonic() + timeout_s
        while len(found := self.traces().get(trace_id, [])) < spans:
            assert time.monotonic() < until, f"{len(found)} of {spans} spans of {trace_id}: {found}"
            time.sleep(0.02)
        return found


def main() -> None:
    """A collector in a process of its own."""
    with Collector() as collector:
        print(f"collector on {collector.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
