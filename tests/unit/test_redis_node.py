"""The pool and the breaker of one server, with connections that do as they are told."""

from __future__ import annotations

import asyncio
import socket

import pytest

from edge.redis.node import BACKOFF_S, Node
from edge.redis.pipe import MAX_WAITING, Command, RedisUnavailable, pack
from edge.redis.resp import LinkBroken

GET = pack("GET", "k")
PING = pack("PING")


class Wire(asyncio.Transport):
    """What a connection is to its pipe. Each write is kept; what `reply` gives for a PING and a GET comes next."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.writes: list[bytes] = []
        self.closed = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        reply = b"+PONG\r\n" * data.count(PING) + self.bench.reply * data.count(GET)
        if reply:
            asyncio.get_running_loop().call_soon(self.receive, reply)

    def receive(self, data: bytes) -> None:
        if not self.closed:
            self.protocol.data_received(data)


class FakeLink:
    """``open`` waits for the gate."""

    def __init__(self, bench: Bench, address: str) -> None:
        self.bench = bench
        self.address = address
        self.wire = Wire(bench)

    async def open(self) -> Wire:
        await self.bench.gate.wait()
        if self.address in self.bench.refusing:
            raise LinkBroken
        return self.wire

    def abort(self) -> None:
        self.wire.closed = True

    @property
    def aborted(self) -> bool:
        return self.wire.closed


class Asked(Command):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(GET, "read")
        self.told: list[object] = []

    def replied(self, reply: object) -> None:
        self.told.append(reply)

    def failed(self, trouble: RedisUnavailable) -> None:
        self.told.append(trouble.reason)


class Bench:
    def __init__(self, host: str = "127.0.0.1", stall_s: float = 0.05) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.reply = b"$5\r\nreply\r\n"
        self.refusing: set[str] = set()
        self.links: list[FakeLink] = []
        self.told: list[str] = []
        self.node = Node(
            host,
            1,
            self.make,
            lambda node, why: self.told.append(f"{node.state} {why}"),
            lambda node, command, refused: command.failed(RedisUnavailable("error", refused.code)),
            open_s=1,
            stall_s=stall_s,
        )

    def make(self, host: str, address: str, port: int) -> FakeLink:
        self.links.append(FakeLink(self, address))
        return self.links[-1]

    async def up(self) -> Bench:
        await self.node.revive()
        assert self.node.state == "up"
        return self

    def ask(self, count: int = 1) -> list[Asked]:
        """So many commands, in one turn of the loop; each that is not even tried is told why."""
        commands = [Asked() for _ in range(count)]
        for command in commands:
            if reason := self.node.send(command):
                command.told.append(reason)
        return commands

    async def get(self) -> object:
        (command,) = self.ask()
        await turns()
        (told,) = command.told
        return told

    @property
    def wire(self) -> Wire:
        return self.links[-1].wire


async def turns(count: int = 8) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_one_connection_serves_one_after_the_other():
    async def main() -> None:
        bench = await Bench().up()
        for _ in range(10):
            assert await bench.get() == b"reply"
        assert len(bench.links) == 1
        await bench.node.close()
        assert bench.links[0].aborted

    asyncio.run(main())


def test_what_is_asked_in_one_turn_goes_out_in_one_write_and_each_gets_its_own_reply():
    async def main() -> None:
        bench = await Bench().up()
        bench.reply = b""
        commands = bench.ask(50)
        await turns()
        assert bench.wire.writes == [PING, GET * 50]
        replies = b"".join(b"$2\r\n%02d\r\n" % number for number in range(50))
        for at in range(0, len(replies), 7):
            bench.wire.receive(replies[at : at + 7])
        assert [command.told for command in commands] == [[b"%02d" % number] for number in range(50)]

    asyncio.run(main())


def test_who_leaves_leaves_its_place_behind():
    async def main() -> None:
        bench = await Bench().up()
        bench.reply = b""
        first, second = bench.ask(2)
        await turns()
        first.cancel()
        bench.wire.receive(b"$5\r\nfirst\r\n$6\r\nsecond\r\n")
        assert (first.told, second.told) == ([], [b"second"])
        assert not bench.wire.closed

    asyncio.run(main())


@pytest.mark.parametrize("leaving", [[0], [1], [2], [0, 1, 2]])
def test_who_leaves_in_the_turn_it_asked_in_takes_no_place(leaving):
    """What did not go out has no reply, and must not be given the next one's."""

    async def main() -> None:
        bench = await Bench().up()
        bench.reply = b""
        commands = bench.ask(3)
        for number in leaving:
            commands[number].cancel()
        await turns()
        stay = [command for number, command in enumerate(commands) if number not in leaving]
        assert b"".join(bench.wire.writes[1:]) == GET * len(stay)
        (later,) = bench.ask()
        await turns()
        bench.wire.receive(b"".join(b"$1\r\n%d\r\n" % number for number in range(len(stay) + 1)))
        assert [each.told for each in (*stay, later)] == [[b"%d" % number] for number in range(len(stay) + 1)]
        assert not any(commands[number].told for number in leaving)

    asyncio.run(main())


def test_where_a_deadline_was_missed_nothing_more_is_asked_and_others_get_their_replies():
    async def main() -> None:
        bench = await Bench().up()
        bench.reply = b""
        late, other = bench.ask(2)
        await turns()
        old = bench.wire
        late.end()
        bench.node.missed(late)
        (new,) = bench.ask()
        await turns()
        assert bench.wire is not old
        assert new.told == []
        old.receive(b"$4\r\nlate\r\n$5\r\nother\r\n")
        assert (late.told, other.told) == ([], [b"other"])
        assert old.closed, "nobody waits there any more"
        bench.wire.receive(b"$3\r\nnew\r\n")
        assert new.told == [b"new"]
        assert bench.node.connections == 1

    asyncio.run(main())


@pytest.mark.parametrize("said", [b"+PONG\r\n", b":1\r\n", b"*1\r\n", b"$9999999\r\n", b"x", b"$3\r\nabcd\r\n"])
def test_what_is_no_reply_to_a_get_ends_the_connection_for_all(said):
    async def main() -> None:
        bench = await Bench().up()
        bench.reply = b""
        commands = bench.ask(3)
        await turns()
        bench.wire.receive(b"$2\r\nok\r\n" + said)
        assert [command.told for command in commands] == [[b"ok"], ["error"], ["error"]]
        assert bench.wire.closed
        bench.reply = b"$5\r\nreply\r\n"
        assert await bench.get() == b"reply"
        assert len(bench.links) == 2

    asyncio.run(main())


def test_a_lost_connection_is_opened_again_by_the_next_command_which_waits_for_it():
    async def main() -> None:
        bench = await Bench().up()
        bench.wire.protocol.connection_lost(None)
        bench.gate.clear()
        commands = bench.ask(3)
        await turns()
        assert len(bench.links) == 2
        commands[1].cancel()
        bench.gate.set()
        await turns()
        assert [command.told for command in commands] == [[b"reply"], [], [b"reply"]]
        assert bench.wire.writes == [PING, GET * 2]

    asyncio.run(main())


def test_too_many_at_once_are_busy_and_that_is_no_failure():
    async def main() -> None:
        bench = await Bench().up()
        commands = bench.ask(MAX_WAITING + 20)
        await turns()
        told = [command.told for command in commands]
        assert told == [[b"reply"]] * MAX_WAITING + [["busy"]] * 20
        assert bench.node.state == "up"
        assert bench.node.connections == 1

    asyncio.run(main())


def test_what_came_unasked_closes_a_resting_connection():
    async def main() -> None:
        bench = await Bench().up()
        bench.wire.receive(b"$4\r\nevil\r\n")
        assert await bench.get() == b"reply"
        assert bench.links[0].aborted
        assert len(bench.links) == 2

    asyncio.run(main())


def test_failures_in_a_row_open_the_breaker_and_only_reviving_closes_it():
    async def main() -> None:
        bench = await Bench().up()
        for _ in range(4):
            bench.node.fault("broken")
        assert await bench.get() == b"reply"
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
        bench.reply = f"-{code} x\r\n".encode()
        told = [await bench.get() for _ in range(10)]
        assert told == (["error"] * 10 if kept else ["error"] * 5 + ["open"] * 5)
        assert bench.node.state == state
        assert (len(bench.links) == 1) is kept

    asyncio.run(main())


def test_that_a_redirection_is_expected_says_nothing_of_whether_writes_are_taken():
    """``ASKING`` is answered by OK whatever the server refuses."""

    async def main() -> None:
        bench = await Bench().up()
        bench.reply = b""
        bench.node.refuses.add("write")
        command = Asked()
        assert bench.node.send(command, asking=True) == ""
        await turns()
        assert bench.wire.writes[1:] == [pack("ASKING") + GET]
        bench.wire.receive(b"+OK\r\n$5\r\nreply\r\n")
        assert command.told == [b"reply"]
        assert bench.node.refuses == {"write"}

    asyncio.run(main())


def test_a_server_that_is_away_is_told_of_once_and_tried_less_and_less():
    async def main() -> None:
        bench = Bench()
        bench.refusing = {"127.0.0.1"}
        clock, waits = asyncio.get_running_loop().time, []
        for _ in range(8):
            began = clock()
            await bench.node.revive()
            waits.append((bench.node.due - clock(), bench.node.due - began))
        assert bench.told == ["unready broken"]
        assert all(least <= 2.0 and most > 0.19 for least, most in waits)
        assert waits[0][0] < 0.21
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
