"""A cluster's layout, from what its servers say of it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.redis.topology import merge, parse_address, parse_nodes, parse_redirection

# As Redis 7.0.15 wrote it: three primaries, a replica, one on its way out, a slot on its way to another.
TEXT = b"""\
07c37dfeb235213a872192d90877d0cd55635b91 127.0.0.1:30004@31004,host4 slave e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca 0 1426238317239 4 connected
67ed2db8d677e59ec4a4cefb06858cf2a1a89fa1 127.0.0.1:30002@31002,host2 master - 0 1426238316232 2 connected 5461-10922 [93-<-e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca]
292f8b365bb7edb5e285caf0b7e6ddc7265d2f4f 127.0.0.1:30003@31003,,shard-id=aa master - 0 1426238318243 3 connected 10923-16383
6ec23923021cf3ffec47632106199cb7f496ce01 127.0.0.1:30005@31005,host5 master,noaddr - 0 1426238316232 5 disconnected
824fe116063bc5fcf9f4ffd895bc17aee7731ac3 127.0.0.1:30006@31006,host6 handshake - 0 1426238317741 6 disconnected
e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca :30001@31001,host1 myself,master - 0 0 1 connected 0-5459 5460 [93->-67ed2db8d677e59ec4a4cefb06858cf2a1a89fa1]
"""


def test_a_real_answer():
    view = parse_nodes(TEXT, "10.0.0.1")
    assert view.members == {("127.0.0.1", 30004), ("127.0.0.1", 30002), ("127.0.0.1", 30003), ("10.0.0.1", 30001)}
    owners = view.owners()
    assert len(owners) == 16384
    assert {owners[0], owners[93], owners[5460]} == {("10.0.0.1", 30001)}
    assert {owners[5461], owners[10922]} == {("127.0.0.1", 30002)}
    assert {owners[10923], owners[16383]} == {("127.0.0.1", 30003)}


def test_with_tls_a_name_is_preferred_and_an_address_still_leads_to_it():
    view = parse_nodes(TEXT, "10.0.0.1", prefer_names=True)
    assert view.members == {("host4", 30004), ("host2", 30002), ("127.0.0.1", 30003), ("host1", 30001)}
    assert view.aliases["127.0.0.1", 30002] == view.aliases["host2", 30002] == ("host2", 30002)


def test_of_two_claims_the_newer_one_counts():
    """A server that was frozen through a failover does not know yet that it lost its slots."""
    old = TEXT.replace(b"slave e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca 0 1426238317239 4", b"slave - 0 1 4")
    new = TEXT.replace(
        b"slave e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca 0 1426238317239 4 connected",
        b"master - 0 1426238317239 7 connected 0-5460",
    ).replace(b"0-5459 5460", b"")
    for views in ([old, new], [new, old]):
        merged = merge([parse_nodes(each, "127.0.0.1") for each in views])
        owners = merged.owners()
        assert owners[0] == owners[5460] == ("127.0.0.1", 30004)
        assert owners[5461] == ("127.0.0.1", 30002)


def line(*slots: str, address: str = "127.0.0.1:7000@17000", epoch: str = "1") -> bytes:
    return f"id {address} myself,master - 0 0 {epoch} connected {' '.join(slots)}\n".encode()


@pytest.mark.parametrize(
    "text",
    [
        None,
        5,
        b"",
        b"+OK",
        b"\xff" * 1000,
        line(),
        line("0-99999"),
        line("5-1"),
        line("-1"),
        line("0-"),
        line("\u0661".encode().decode()),
        line("0-16383", address="127.0.0.1:0@1"),
        line("0-16383", address="127.0.0.1:70000@1"),
        line("0-16383", address="127.0.0.1"),
        line("0-16383", address=f"{'a' * 300}:7000"),
        line("0-16383", epoch="-1"),
        line("0-16383", epoch="9" * 5000),
        b"".join(line(*(f"0-{n}" for n in range(1, 16384)), address=f"127.0.0.1:{p}@1") for p in (7000, 7001)),
    ],
    ids=lambda text: str(text)[:40],
)
def test_what_is_no_layout_is_refused(text):
    with pytest.raises(ValueError, match=r"no node has slots|not a list|more claims"):
        parse_nodes(text, "127.0.0.1")


def test_the_largest_answer_takes_no_time():
    text = b"".join(line(*["0-16383"] * 16384, address=f"127.0.0.1:{7000 + n}@1") for n in range(30))
    began = time.process_time()
    parse_nodes(text, "127.0.0.1").owners()
    assert time.process_time() - began < 2


@settings(max_examples=300)
@given(st.binary(max_size=300), st.lists(st.text("0123456789-[]<> ,@:.ab\n", max_size=40), max_size=9))
def test_anything_else_raises_nothing_else(data, words):
    for text in (data, " ".join(words).encode(), line(*words)):
        try:
            view = parse_nodes(text, "h")
        except ValueError:
            continue
        assert len(view.owners()) == 16384


@pytest.mark.parametrize(
    ("detail", "found"),
    [
        ("3999 127.0.0.1:6381", (3999, ("127.0.0.1", 6381))),
        ("0 :6381", (0, ("asked", 6381))),
        ("0 ?:6381", (0, ("asked", 6381))),
        ("16383 ::1:6381", (16383, ("::1", 6381))),
        ("1 host.example:6381", (1, ("host.example", 6381))),
        ("16384 127.0.0.1:6381", None),
        ("-1 127.0.0.1:6381", None),
        ("x 127.0.0.1:6381", None),
        ("1 127.0.0.1", None),
        ("1 127.0.0.1:", None),
        ("1 127.0.0.1:x", None),
        ("1 a b:1", None),
        ("1", None),
        ("", None),
    ],
)
def test_redirections(detail, found):
    assert parse_redirection(detail, "asked") == found


def test_addresses():
    assert parse_address("a:1", "h") == ("a", 1)
    assert parse_address("1", "h") is None
    assert parse_address("a\n:1", "h") is None
