"""The pool and the breaker of one server, with connections that do as they are told."""

from __future__ import annotations

import asyncio
import socket

import pytest

from edge.redis.node import BACKOFF_S, POOL, LinkBroken, Node, RedisUnavailable, Refused

GET = (b"GET", b"k")
LATER = None


class FakeLink:
    """``open`` and ``ask`` wait for the gate; `reply` is given, or raised."""

    made: list[FakeLink]

    def __init__(self, address: str, gate: asyncio.Event, reply: object) -> None:
        self.address = address
        self.gate = gate
        self.reply = reply
        self.usable = False
        self.aborted = False

    async def open(self) -> None:
        await self.gate.wait()
        if isinstance(self.reply, LinkBroken):
            raise LinkBroken
        self.usable = True

    async def ask(self, command: tuple, until: float | None) -> object:
        await self.gate.wait()
        if command == (b"PING",):
            return b"PONG"
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply

    def abort(self) -> None:
        self.usable = False
        self.aborted = True


class Bench:
    def __init__(self, host: str = "127.0.0.1", stall_s: float = 0.05) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.reply: object = b"reply"
        self.refusing: set[str] = set()
        self.links: list[FakeLink] = []
        self.told: list[str] = []
        self.node = Node(
            host,
            1,
            self.make,
            open_s=1,
            stall_s=stall_s,
            changed=lambda node, why: self.told.append(f"{node.state} {why}"),
        )

    def make(self, host: str, address: str, port: int) -> FakeLink:
        reply = LinkBroken() if address in self.refusing else self.reply
        self.links.append(FakeLink(address, self.gate, reply))
        return self.links[-1]

    async def up(self) -> Bench:
        await self.node.revive()
        assert self.node.state == "up"
        return self


def test_one_connection_serves_one_after_the_other():
    async def main() -> None:
        bench = await Bench().up()
        for _ in range(10):
            assert await bench.node.ask(GET, LATER) == b"reply"
        assert len(bench.links) == 1
        await bench.node.close()
        assert bench.links[0].aborted

    asyncio.run(main())


def test_a_cancelled_call_closes_its_connection():
    async def main() -> None:
        bench = await Bench().up()
        bench.gate.clear()
        task = asyncio.ensure_future(bench.node.ask(GET, LATER))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bench.links[0].aborted
        assert bench.node.connections == 0
        bench.gate.set()
        assert await bench.node.ask(GET, LATER) == b"reply"
        assert len(bench.links) == 2

    asyncio.run(main())


def test_a_connection_whose_caller_left_before_it_was_open_goes_to_the_pool():
    async def main() -> None:
        bench = await Bench().up()
        bench.gate.clear()
        tasks = [asyncio.ensure_future(bench.node.ask(GET, LATER)) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert len(bench.links) == 3
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        bench.gate.set()
        await asyncio.sleep(0.01)
        assert [link.aborted for link in bench.links] == [True, False, False], "the first was asked already"
        assert bench.node.connections == 2
        assert await bench.node.ask(GET, LATER) == b"reply"
        assert len(bench.links) == 3

    asyncio.run(main())


def test_a_full_pool_is_busy_at_once_and_that_is_no_failure():
    async def main() -> None:
        bench = await Bench().up()
        bench.gate.clear()
        tasks = [asyncio.ensure_future(bench.node.ask(GET, LATER)) for _ in range(POOL + 20)]
        await asyncio.sleep(0.01)
        bench.gate.set()
        replies = await asyncio.gather(*tasks, return_exceptions=True)
        assert replies.count(b"reply") == POOL
        assert {reply.reason for reply in replies if isinstance(reply, RedisUnavailable)} == {"busy"}
        assert bench.node.state == "up"
        assert bench.node.connections == POOL

    asyncio.run(main())


def test_what_came_unasked_closes_a_resting_connection():
    async def main() -> None:
        bench = await Bench().up()
        bench.links[0].usable = False
        assert await bench.node.ask(GET, LATER) == b"reply"
        assert bench.links[0].aborted
        assert len(bench.links) == 2

    asyncio.run(main())


def test_failures_in_a_row_open_the_breaker_and_only_reviving_closes_it():
    async def main() -> None:
        bench = await Bench().up()
        for _ in range(4):
            bench.node.fault("broken")
        assert await bench.node.ask(GET, LATER) == b"reply"
        for _ in range(4):
            bench.node.fault("broken")
        assert bench.node.state == "up", "not in a row"
        bench.node.fault("broken")
        assert bench.node.state == "open"
        assert bench.told == ["up reached", "open broken"]
        assert bench.links[0].aborted
        wait = bench.node.due - asyncio.get_running_loop().time()
        assert 0 < wait <= BACKOFF_S[1]
        await bench.node.revive()
        assert bench.told[2:] == ["up reached"]

    asyncio.run(main())


def test_deadlines_missed_together_are_one_stall():
    async def main() -> None:
        bench = await Bench(stall_s=0.03).up()
        for _ in range(16):
            bench.node.fault("timeout")
        assert bench.node.state == "up"
        await asyncio.sleep(0.04)
        bench.node.fault("timeout")
        assert bench.node.state == "open"

    asyncio.run(main())


@pytest.mark.parametrize(("code", "state", "kept"), [("NOAUTH", "open", False), ("OOM", "up", True), ("X", "up", True)])
def test_error_replies(code, state, kept):
    async def main() -> None:
        bench = await Bench().up()
        bench.links[0].reply = bench.reply = Refused(code, "")
        for _ in range(10):
            with pytest.raises(Refused):
                await bench.node.ask(GET, LATER)
        assert bench.node.state == state
        assert (len(bench.links) == 1) is kept

    asyncio.run(main())


def test_a_server_that_is_away_is_told_of_once_and_tried_less_and_less():
    async def main() -> None:
        bench = Bench()
        bench.refusing = {"127.0.0.1"}
        waits = []
        for _ in range(8):
            await bench.node.revive()
            waits.append(bench.node.due - asyncio.get_running_loop().time())
        assert bench.told == ["unready broken"]
        assert all(0.19 < wait <= 2.0 for wait in waits)
        assert waits[0] < 0.21
        assert bench.node.connections == 0
        bench.refusing.clear()
        await bench.node.revive()
        assert bench.told == ["unready broken", "up reached"]

    asyncio.run(main())


def test_a_name_with_several_addresses(monkeypatch):
    """The first that answers; and when the name leads elsewhere later, that."""
    found = ["::1", "127.0.0.2"]

    async def main() -> None:
        bench = Bench("redis.example")

        async def look_up(*_: object, **__: object) -> list:
            return [(socket.AF_INET, 1, 6, "", (address, 1)) for address in found]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
        bench.refusing = {"::1"}
        await bench.up()
        assert [link.address for link in bench.links] == ["::1", "127.0.0.2"]
        await bench.node.refresh()
        assert bench.node.state == "up"
        found[:] = ["127.0.0.3"]
        await bench.node.refresh()
        assert bench.node.state == "open"
        await bench.node.revive()
        assert bench.links[-1].address == "127.0.0.3"

    asyncio.run(main())


def test_a_name_server_that_hangs_is_asked_once_at_a_time(monkeypatch):
    async def main() -> None:
        bench = Bench("redis.example")
        asked = 0

        async def look_up(*_: object, **__: object) -> list:
            nonlocal asked
            asked += 1
            await asyncio.sleep(30)
            return []

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
        monkeypatch.setattr("edge.redis.node.REVIVE_S", 0.05)
        for _ in range(3):
            await bench.node.revive()
        assert asked == 1
        assert bench.told == ["unready timeout"]
        await bench.node.close()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
