"""R2, R8 and R9 in short forms: each prints its N."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.fault_proxy import FaultProxy, Faults
from tests.harness import Canned, Client, Edge, chunked, providers, running, until

pytestmark = pytest.mark.early

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}


def body(model: str, stream: bool, mark: str = "") -> bytes:
    said = [{"role": "user", "content": f"hi {mark}"}]
    return json.dumps({"model": model, "stream": stream, "max_tokens": 900, "messages": said}).encode()


def open_files(edge: Edge) -> int:
    """Of the edge's worker."""
    pid = edge.process.pid
    (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return len(list(Path(f"/proc/{worker}/fd").iterdir()))


@pytest.mark.alone
def test_r2_every_cancel_reaches_the_upstream(simulator, tmp_path, stalls):
    """Four phases, FIN and RST, stream and not, both dialects, twelve at a time."""
    phases = {  # name: model, stream, what the client waits for
        "waiting for the head": ("sim-hang", False, None),
        "waiting for content": ("sim-hang-1", True, None),
        "inside the answer": ("sim-words-200-tps-40", True, b"data:"),
        "between events": ("sim-words-30-hang-9", True, b"data:"),
        "before a slow answer": ("sim-ttft-5000", False, None),
    }
    edge = Edge(tmp_path, {"providers": providers(simulator.url)}, forked=False)
    cases = [
        (phase, how, api, f"nonce:r2{number:05}")
        for number, (phase, how, api) in enumerate(
            [(p, h, a) for p in phases for h in ("fin", "rst") for a in PATHS for _ in range(15)]
        )
    ]
    random.Random(2).shuffle(cases)
    left: dict[str, float] = {}

    def one(case) -> None:
        phase, how, api, nonce = case
        model, stream, mark = phases[phase]
        client = Client(edge.port)
        client.post(PATHS[api], body(model, stream, nonce))
        if mark is not None:
            client.read_until(mark)
        time.sleep(0.1 + random.random() * 0.1)
        left[nonce] = time.monotonic()
        if how == "rst":
            client.reset()
        else:
            client.sock.close()

    with running(edge):
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(one, cases))
        time.sleep(0.5)
    entries = {entry["nonce"]: entry for entry in simulator.ledger() if entry["nonce"] in left}
    assert len(entries) == len(cases)
    unseen = [nonce for nonce, entry in entries.items() if entry["left"] is None]
    delays = sorted(entries[nonce]["left_at"] - left[nonce] for nonce in left if nonce not in unseen)
    p99, worst = delays[len(delays) * 99 // 100], delays[-1]
    print(
        f"\nR2: {len(cases) - len(unseen)} of {len(cases)} cancels seen by the upstream, p99 {p99 * 1000:.0f} ms, ",
        end="",
    )
    print(f"max {worst * 1000:.0f} ms")
    assert unseen == []
    assert p99 <= 0.1 + stalls.granted_s
    assert worst <= 0.5 + stalls.granted_s


def test_r1_nobody_gets_anybody_elses_answer(simulator, tmp_path):
    """Small pools, both dialects, streams and JSON, a fifth of the clients leaving at a random moment."""
    edge = Edge(tmp_path, {"providers": providers(simulator.url, max_connections=6)})
    counts = Counter()

    def many(number: int) -> None:
        rng = random.Random(number)
        client = Client(edge.port)
        for turn in range(120):
            api, stream = rng.choice(list(PATHS)), rng.random() < 0.5
            nonce = f"nonce:r1x{number:02}x{turn:04}"
            pace = rng.choice(["", "-ttft-5", "-tps-2000", "-drip-300"])
            client.post(PATHS[api], body(f"sim-words-{rng.randint(1, 12)}{pace}", stream, nonce))
            if rng.random() < 0.2:
                time.sleep(rng.random() * 0.01)
                (client.reset if rng.random() < 0.5 else client.sock.close)()
                client = Client(edge.port)
                counts["left"] += 1
                continue
            status, headers = client.head()
            got = client.body(headers).decode()
            counts[
                "right"
                if status == 200 and nonce.removeprefix("nonce:") in got and got.count("nonce:") == 1
                else "wrong"
            ] += 1
        client.sock.close()

    with running(edge), ThreadPoolExecutor(16) as pool:
        list(pool.map(many, range(16)))
    print(f"\nR1: {counts['right']} answers, {counts['left']} clients left, {counts['wrong']} wrong answers")
    assert counts["wrong"] == 0
    assert counts["right"] > 1000


def test_r8_silent_upstreams_end_at_their_own_clocks(simulator, tmp_path, stalls):
    """A stall at each phase, twenty-four at a time; then the pool has all its connections again."""
    clocks = {"connect_s": 1, "first_content_s": 1.5, "idle_s": 2, "total_s": 3}
    kinds = {  # model: stream, seconds, status
        "sim-hang": (True, 1.5, 504),
        "sim-hang-0": (True, 1.5, 504),
        "sim-hang-1": (True, 1.5, 504),
        "sim-words-30-hang-9": (True, 2.0, 200),
        "sim-words-30-stall-9": (True, 2.0, 200),
        "sim-words-900-tps-20": (True, 3.0, 200),
        "sim-hang-40": (False, 3.0, 504),
        "sim-drip-5-ttft-100": (False, 0.9, None),  # a slow answer is no silent one
    }
    edge = Edge(tmp_path, {"providers": providers(simulator.url, max_connections=24), "resilience": clocks})
    wrong: list[str] = []
    ended = Counter()

    def one(case) -> None:
        model, (stream, seconds, status) = case
        begun = time.monotonic()
        with Client(edge.port) as client:
            client.post(PATHS["chat"], body(model, stream))
            got, headers = client.head()
            answer = client.body(headers)
        took = time.monotonic() - begun
        ended[model] += 1
        if status is None:
            return
        if got != status or abs(took - seconds) > 0.25 + stalls.granted_s:
            wrong.append(f"{model}: {got} after {took:.2f} s instead of {status} after {seconds}")
        if status == 200 and (b'"timeout"' not in answer or b"[DONE]" in answer):
            wrong.append(f"{model}: ends {answer[-100:]!r}")

    def all_places(_: int) -> int:
        content, fields = body("sim-ttft-300", False), {"content-type": "application/json"}
        return httpx2.post(f"{edge.url}{PATHS['chat']}", content=content, headers=fields).status_code

    with running(edge):
        assert all_places(0) == 200  # what is opened once is open, and one connection of the pool
        before = open_files(edge)
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(one, [case for case in kinds.items() for _ in range(12)]))
        with ThreadPoolExecutor(24) as pool:
            fine = list(pool.map(all_places, range(24)))
        until(lambda: open_files(edge) <= before + 23)  # the others of the pool
        after = open_files(edge)
    assert fine == [200] * 24, "every place in the pool is back"
    print(
        f"\nR8: {sum(ended.values())} silent upstreams over {len(kinds)} kinds, {len(wrong)} off their clock by more than "
        f"250 ms; {before} open files before, {after} after"
    )
    assert wrong == []


def test_r8_a_black_hole_instead_of_a_connection(tmp_path, stalls):
    """A listener whose queue is full answers no SYN: the connect clock counts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        edge = Edge(
            tmp_path,
            {
                "providers": providers(f"http://127.0.0.1:{listener.getsockname()[1]}"),
                "resilience": {"connect_s": 1, "retries": 0},
            },
        )
        with running(edge), Client(edge.port) as client:
            begun = time.monotonic()
            client.post(PATHS["chat"], body("gpt-4o", False))
            assert client.head()[0] == 502
            assert time.monotonic() - begun == pytest.approx(1, abs=0.25 + stalls.granted_s)
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize("api", PATHS)
def test_r9_streams_pass_unchanged_at_every_split_and_line_end(simulator, tmp_path, api):
    whole = httpx2.post(simulator.url + PATHS[api], content=body("sim-words-4", True)).content
    forms = {"LF": whole, "CRLF": whole.replace(b"\n", b"\r\n"), "CR": whole.replace(b"\n", b"\r")}
    pieces: list[list[bytes]] = [[]]
    with Canned(lambda _seen, _connection: chunked(pieces[0])) as upstream:
        edge = Edge(tmp_path, {"providers": providers(upstream.url)})
        splits = 0
        with running(edge), Client(edge.port) as client:
            for stream in forms.values():
                cuts = range(1, len(stream), 3)
                for cut in [*cuts, None]:
                    # None: one byte at a time.
                    pieces[0] = [stream[:cut], stream[cut:]] if cut else [stream[i : i + 1] for i in range(len(stream))]
                    client.post(PATHS[api], body("gpt-4o" if api == "chat" else "claude-x", True))
                    status, headers = client.head()
                    assert status == 200
                    assert client.body(headers) == stream
                    splits += 1
    print(f"\nR9, {api}: {splits} splits over {len(forms)} line ends: 0 bytes changed")


class TestNetworks:
    """The edge behind a network that misbehaves, both ways."""

    @pytest.fixture
    def proxied(self, simulator, tmp_path):
        with FaultProxy(int(simulator.url.rpartition(":")[2])) as proxy:
            edge = Edge(
                tmp_path,
                {"providers": providers(proxy.url), "resilience": {"total_s": 6, "idle_s": 2, "first_content_s": 2}},
            )
            with running(edge):
                yield edge, proxy

    def ask(self, edge, model="sim-words-20", stream=True):
        with Client(edge.port) as client:
            client.post(PATHS["chat"], body(model, stream))
            status, headers = client.head()
            return status, client.body(headers)

    def test_slices_and_latency_change_nothing(self, simulator, proxied):
        edge, proxy = proxied
        whole = httpx2.post(simulator.url + PATHS["chat"], content=body("sim-words-20", True)).content
        proxy.faults = Faults(slice_bytes=50, latency_s=0.001)
        assert self.ask(edge) == (200, whole)
        proxy.faults = Faults(slice_bytes=7)
        assert self.ask(edge) == (200, whole)

    @pytest.mark.parametrize("kind", ["reset_after", "cut_after"])
    def test_a_connection_that_breaks_is_never_a_complete_answer(self, proxied, kind):
        edge, proxy = proxied
        for after in (0, 100, 400, 1200, 2500):
            proxy.faults = Faults(**{kind: after})
            status, got = self.ask(edge)
            assert status == 502 or (status == 200 and b"[DONE]" not in got and b'"error"' in got)
            status, _ = self.ask(edge, stream=False)
            assert status in (502, 200)
            proxy.faults = Faults()
            assert self.ask(edge)[0] == 200

    def test_refused_and_swallowed_connections(self, proxied, stalls):
        edge, proxy = proxied
        proxy.faults = Faults(refuse=True)
        assert self.ask(edge)[0] == 502
        proxy.faults = Faults(black_hole=True)
        begun = time.monotonic()
        assert self.ask(edge)[0] == 504
        assert time.monotonic() - begun == pytest.approx(2, abs=0.3 + stalls.granted_s)
        proxy.faults = Faults()
        assert self.ask(edge)[0] == 200

    def test_a_half_closed_upstream_is_a_closed_one(self, proxied):
        edge, proxy = proxied
        proxy.faults = Faults(half_close=True)
        status, got = self.ask(edge, "sim-words-30-cut-9")
        assert status == 200
        assert b"upstream_stream_broken" in got

    def test_a_slow_network_towards_the_client_holds_nothing_up(self, simulator, tmp_path, stalls):
        edge = Edge(tmp_path, {"providers": providers(simulator.url)})
        with running(edge), FaultProxy(edge.port, Faults(latency_s=0.02, slice_bytes=2000)) as proxy:
            slow = threading.Thread(target=self.ask, args=(proxy, "sim-words-400"))
            slow.start()
            begun = time.monotonic()
            assert self.ask(edge)[0] == 200
            assert time.monotonic() - begun < 1 + stalls.granted_s
            slow.join(30)
            assert not slow.is_alive()
