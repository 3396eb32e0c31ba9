"""The one switch between the builds."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import edge._fast

SHOW = "import edge._fast as f; print(f.COMPILED, f.scan_json.__module__, f.SSEDecoder.__module__)"


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("EDGE_PURE_PYTHON", "EDGE_REQUIRE_COMPILED")}
    return subprocess.run([sys.executable, "-c", code], env={**kept, **env}, capture_output=True, text=True, timeout=30)


def test_pure_can_be_chosen():
    assert run(SHOW, EDGE_PURE_PYTHON="1").stdout.split() == ["False", "edge._fast._json", "edge._fast._sse"]


def test_compiled_is_what_runs_where_it_is_built():
    pytest.importorskip("edge._fast._json_c", reason="the compiled build is not here")
    assert run(SHOW, EDGE_REQUIRE_COMPILED="1").stdout.split() == ["True", "edge._fast._json_c", "edge._fast._sse_c"]
    assert run(SHOW).stdout.split()[0] == "True"


def test_contradictory_variables_are_an_error():
    got = run(SHOW, EDGE_PURE_PYTHON="1", EDGE_REQUIRE_COMPILED="1")
    assert got.returncode != 0
    assert "contradict" in got.stderr


@pytest.mark.parametrize(
    "missing",
    [
        "edge._fast._chunks_c",
        "edge._fast._head_fields_c",
        "edge._fast._json_c",
        "edge._fast._member_c",
        "edge._fast._scan_c",
        "edge._fast._slots_c",
        "edge._fast._sse_c",
    ],
)
def test_all_modules_are_compiled_or_none_is(missing):
    without = f"import sys; sys.modules['{missing}'] = None; "
    assert run(without + SHOW).stdout.split() == ["False", "edge._fast._json", "edge._fast._sse"]
    got = run(without + SHOW, EDGE_REQUIRE_COMPILED="1")
    assert got.returncode != 0
    assert "EDGE_REQUIRE_COMPILED" in got.stderr


def test_the_pure_build_runs_on_the_stand_in_where_cython_is_missing():
    code = (
        "import sys; sys.modules['cython'] = None\n"
        "from edge._fast import _answer, _balancer, _chunks, _cython, _head, _json, _key, _lfu, _limits, _member, _scan, _slots, _sse\n"
        "modules = [_answer, _balancer, _chunks, _head, _json, _key, _lfu, _limits, _member, _scan, _slots, _sse]\n"
        "assert all(m.cython is _cython for m in modules) and _cython.IS_STAND_IN\n"
        "assert _json.scan_json(b'{\"a\":[1]}') == {'a': (5, 8)}\n"
        "assert _key.canonical({'b': 1.50, 'a': [None]}) == b'o\\x02s\\x01aa\\x01ns\\x01b+\\x01\\x0215'\n"
        "h = _head.ResponseHead(); a = _answer.AnswerReader(h); p = []\n"
        "assert a.read(b'HTTP/1.1 200 OK\\r\\nContent-Length: 1\\r\\n\\r\\na', p) and a.whole and p == [b'a'] and h.status == 200\n"
        "d = _sse.SSEDecoder(); assert d.feed(b'id: 4\\ndata: a\\n\\n') == [(b'message', b'a')]\n"
        "assert d.last_event_id == b'4' and d.retry_ms is None and d.pending == 0\n"
        "m = _member.Member(1, failures=1); b = _balancer.Balancer([m], 'latency'); m.begin(1.0).failed(1.0)\n"
        "assert (b.pick(30.9), b.retry_after(1.0), b.pick(31.0), m.state) == (-1, 30.0, 0, 'open')\n"
        "s = _slots.Slots(bytearray(_slots.Slots.size(1, 4096)), 1, 4096); w = _slots.SlotWriter(s, 1)\n"
        "w.define(0, _slots.HISTOGRAM, (1, 2)); w.histogram(0, b'x').tell(1.5); s.fold(1)\n"
        "assert _scan.scan_text(b'a@b.de 4111 1111 1111 1111 ::1 Bearer a.b.c') == [(0, 6, 0), (7, 26, 3), (27, 30, 5), "
        "(38, 43, 6)]\n"
        "assert s.read()[0][1] == (0, _slots.HISTOGRAM, b'x', [0, 1, 0, 1.5])\n"
        "c = _lfu.LFUCache(9999); assert c.put(b'k', 'v', 1, 9.0, 1.0) and c.get(b'k', 2.0) == 'v'\n"
        "m = _limits.Limits(bytearray(_limits.Limits.size(8, 1)), 8, 1); assert m.take(3, 9, 1, 1, 50) == 0 < m.take(3, 9, 1, 1, 51)\n"
    )
    got = run(code, EDGE_PURE_PYTHON="1")
    assert got.returncode == 0, got.stderr


def test_this_run_says_which_build_it_tests():
    pure = os.environ.get("EDGE_PURE_PYTHON") == "1"
    print(f"\nbuild under test: {'compiled' if edge._fast.COMPILED else 'pure'}")
    assert not (pure and edge._fast.COMPILED)
