"""The measurements, section by section. nginx is measured right before what is compared with it."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from benchmarks.caching import cache_section
from benchmarks.idle import idle
from benchmarks.load import CHAT, FOUR_HEADERS, SIXTEEN_HEADERS, Load, Paced, streams, wrk
from benchmarks.peers import peers
from benchmarks.process import CannotStart, Server
from benchmarks.routing import routing_section
from benchmarks.sizing import sizing_section
from benchmarks.start import start_section
from benchmarks.subjects import CHAT_PATH, Edge, Simulator
from benchmarks.table import Report, added_in_turns, in_turns, mark
from benchmarks.translation import translation_section
from benchmarks.yardsticks import Nginx

__all__ = ["SECTIONS"]

Section = Callable[[Report, float], None]


@contextmanager
def beside(maker: Callable[[str], Server], upstream: Server) -> Iterator[Server]:
    server = maker(upstream.url)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def running(*makers: Callable[[str], Server]) -> Iterator[list[Server]]:
    """A simulator as the upstream, and what stands in front of it."""
    with ExitStack() as stack:
        upstream = Simulator()
        stack.callback(upstream.stop)
        yield [upstream, *(stack.enter_context(beside(maker, upstream)) for maker in makers)]


def refusal(url: str, body: str, headers: dict[str, str] | None) -> str:
    """Ask once, as a check before a load: "" for an answer with 200, else its status."""
    request = urllib.request.Request(url, body.encode(), headers or FOUR_HEADERS)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        return f"status {error.code}"
    except OSError as error:
        return type(error).__name__
    return ""


def json_section(report: Report, seconds: float) -> None:
    """Whole answers: what nothing, nginx and the edge cost, and the edge without its compiled modules."""
    report.section("JSON: a chat of 300 bytes, 64 connections, per request")
    alone = Simulator(alone=True)
    try:
        report.row("simulator alone", wrk(alone, alone.url + CHAT_PATH, seconds=seconds))
    finally:
        alone.stop()
    edges = (Edge, partial(Edge, full=True), partial(Edge, pure=True))
    with running(Nginx, *edges) as (_, nginx, edge, full, pure):
        few, *fewer = in_turns(
            report,
            seconds,
            ("nginx, `proxy_pass`, 4 headers", partial(wrk, nginx, nginx.url + CHAT_PATH)),
            ("edge, 4 headers", partial(wrk, edge, edge.url + CHAT_PATH)),
            ("edge, 4 headers, a key with limits, log and prices", partial(wrk, full, full.url + CHAT_PATH)),
        )
        slow = report.row("edge, 4 headers, pure Python", wrk(pure, pure.url + CHAT_PATH, seconds=seconds), few.load)
        sdk = partial(wrk, headers=SIXTEEN_HEADERS)
        _, *more = in_turns(
            report,
            seconds,
            ("nginx, `proxy_pass`, 16 SDK headers", partial(sdk, nginx, nginx.url + CHAT_PATH)),
            ("edge, 16 SDK headers", partial(sdk, edge, edge.url + CHAT_PATH)),
            ("edge, 16 SDK headers, a key with limits, log and prices", partial(sdk, full, full.url + CHAT_PATH)),
        )
    for headers, (plain, whole) in ((4, fewer), (16, more)):
        report.target(f"forwarded JSON, {headers} headers, CPU beside nginx", 1.5, plain.ratio, "x")
        report.target(f"the same with a key that has limits, log and prices, {headers} headers", 1.5, whole.ratio, "x")
    report.target("JSON, pure Python beside compiled", 3.0, slow.cpu_us / fewer[0].load.cpu_us, "x")


def refusals_section(report: Report, seconds: float) -> None:
    """What is answered without asking anybody."""
    report.section("Refusals, per request")
    with running(Nginx, Edge, partial(Edge, keys=True)) as (_, nginx, edge, guarded):
        refuse = partial(wrk, refused=True)
        _, stranger, lost = in_turns(
            report,
            seconds,
            ("nginx, `return 200`", partial(wrk, nginx, f"{nginx.url}/canned")),
            ("edge, 401: a wrong key", partial(refuse, guarded, guarded.url + CHAT_PATH)),
            ("edge, 404: no such route", partial(refuse, edge, f"{edge.url}/v1/uploads")),
        )
    report.target("refusal 401, CPU beside nginx's `return 200`", 1.3, stranger.ratio, "x")
    report.target("refusal 404, CPU beside nginx's `return 200`", 1.3, lost.ratio, "x")


def streams_section(report: Report, seconds: float) -> None:
    """Relayed events, and the first one beyond direct at half load."""
    paced = Paced()
    title = f"Streams: {paced.words + 3} events, {paced.tps} a second, {paced.at_once} at once, per event"
    report.section(f"{title}; latencies are the first content's")
    load = partial(streams, paced=paced)
    with running(Nginx, Edge, partial(Edge, pure=True)) as (upstream, nginx, edge, pure):
        yardstick, ours = in_turns(
            report,
            seconds,
            ("nginx, `proxy_buffering off`", partial(load, nginx, nginx.streams_url + CHAT_PATH)),
            ("edge", partial(load, edge, edge.url + CHAT_PATH)),
        )
        slow = report.row("edge, pure Python", load(pure, pure.url + CHAT_PATH, seconds=seconds), yardstick.load)
        # As many streams as keep the edge's core half busy, if the load's core can carry them.
        events_s = min(0.5 / ours.load.server_core, 0.6 / ours.load.load_core) * ours.load.rate
        half = Paced(at_once=max(4, round(events_s / paced.tps)))
        # Each stream has one first event, so a percentile of those takes longer.
        load = partial(streams, paced=half)
        p50_ms, p99_ms = added_in_turns(
            report,
            2 * seconds,
            (f"direct, {half.at_once} at once", partial(load, upstream, upstream.url + CHAT_PATH)),
            (f"edge, {half.at_once} at once: half load", partial(load, edge, edge.url + CHAT_PATH)),
        )
    report.target("relayed event, CPU beside nginx", 1.5, ours.ratio, "x")
    report.target("streams, pure Python beside compiled", 3.0, slow.cpu_us / ours.load.cpu_us, "x")
    report.target("first content beyond direct at half load, p50", 0.3, p50_ms, "ms")
    report.target("first content beyond direct at half load, p99", 2.0, p99_ms, "ms")


def thousand_section(report: Report, seconds: float) -> None:
    """A thousand slow streams in one worker: is every event in time?"""
    paced = Paced(words=max(20, round(seconds * 10)), tps=10, at_once=1000, spread_s=2.0)
    head = "| | events/s | late p50 ms | late p99 ms | late p99.9 ms | CPU share | errors | RSS MiB |"
    report.section(
        f"{paced.at_once:,} streams at once, {paced.tps} events a second each, one worker", f"{head}\n{'|---' * 8}|"
    )

    def row(name: str, load: Load) -> Load:
        late = " | ".join(f"{value:.2f}" for value in load.late_ms)
        share = load.cpu_us * load.rate / 1e6
        cells = f"{load.rate:,.0f} | {late} | {share:.0%} | {load.errors} | {load.rss_kib / 1024:.0f}"
        report.say(f"| {name}{mark(load.others)} | {cells} |")
        return load

    load = partial(streams, paced=paced, seconds=0.1)
    with running(Nginx, Edge) as (upstream, nginx, edge):
        direct = row("direct", load(upstream, upstream.url + CHAT_PATH))
        row("nginx", load(nginx, nginx.streams_url + CHAT_PATH))
        ours = row("edge", load(edge, edge.url + CHAT_PATH))
    report.target("1,000 streams, added lateness of an event, p99", 20.0, ours.late_ms[1] - direct.late_ms[1], "ms")
    report.target("1,000 streams, failed", 0, ours.errors, "")


def idle_section(report: Report, seconds: float) -> None:
    with running(Edge) as (_, edge):
        idle(report, edge, edge.url, seconds)


def peers_section(report: Report, seconds: float) -> None:
    """Other gateways in front of the same upstream, with what their quick-starts say and no features on."""
    report.section("Other gateways, JSON, 16 connections, per request")
    # Some let known models pass only, and some need seconds for what others do in milliseconds.
    paced = Paced(at_once=16, model="gpt-4o")
    seconds = max(4.0, seconds)
    events: list[tuple[str, Load | str]] = []
    with running() as (upstream,):

        def measure(name: str, server: Server, url: str, streams_url: str, headers: dict[str, str] | None) -> Load:
            load = wrk(server, url, seconds=seconds, headers=headers, connections=16)
            report.row(name, load, yardsticks[0] if yardsticks else None)
            upstream.script(paced.plan)
            try:
                if status := refusal(streams_url, paced.body, headers):
                    events.append((name, f"answers a stream with {status}"))
                else:
                    events.append((name, streams(server, streams_url, paced, seconds=seconds, headers=headers)))
            finally:
                upstream.script("")
            return load

        yardsticks: list[Load] = []
        with beside(Nginx, upstream) as nginx:
            yardsticks.append(measure("nginx", nginx, nginx.url + CHAT_PATH, nginx.streams_url + CHAT_PATH, None))
        with beside(Edge, upstream) as edge:
            measure("edge", edge, edge.url + CHAT_PATH, edge.url + CHAT_PATH, None)
        for peer in peers():
            try:
                with beside(peer.start, upstream) as server:
                    url, headers = server.url + CHAT_PATH, peer.headers(upstream.url)
                    if status := refusal(url, CHAT, headers):
                        raise CannotStart(f"answers with {status}")
                    measure(peer.title, server, url, url, headers)
            except CannotStart as error:
                report.missing(peer.name, str(error))
    report.section(f"Other gateways, streams, {paced.at_once} at once, per event")
    yardstick = events[0][1]
    for name, load in events:
        if isinstance(load, str):
            report.missing(name, load)
        else:
            report.row(name, load, None if load is yardstick else yardstick)


SECTIONS: dict[str, Section] = {
    "json": json_section,
    "refusals": refusals_section,
    "streams": streams_section,
    "thousand": thousand_section,
    "idle": idle_section,
    "start": start_section,
    "sizing": sizing_section,
    "translation": translation_section,
    "cache": cache_section,
    "routing": routing_section,
    "peers": peers_section,
}
