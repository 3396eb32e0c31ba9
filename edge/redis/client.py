"""The client of Redis or a Redis Cluster, for what can be done without: it never makes a request wait for long.

A command has one deadline, no retry, and at most one redirection; every trouble is `RedisUnavailable`. Who asks is
called back: there is no task, no future and no timer for a command, and one clock for all. Whether a server is worth
asking is known before: one task, the probe, connects, finds the cluster's layout and repairs, and no command waits for
it. redis-py's own clients are not used, only its connections: its cluster client takes the whole cluster down on one
broken connection and initialises it again inside the next command.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from redis.crc import key_slot

from edge.config import Redis
from edge.hooks import Meter
from edge.redis.link import RedisLink
from edge.redis.node import REASONS, UP, Awaited, Log, Node
from edge.redis.pipe import Command, RedisUnavailable, pack
from edge.redis.resp import Refused, Reply
from edge.redis.topology import SLOTS, Address, View, merge, parse_nodes, parse_redirection
from edge.redis.url import redis_address, tls_for

__all__ = ["REASONS", "RedisClient", "RedisUnavailable"]

PROBE_S = 2.0
"""Bounds one round of the probe, and the wait of `RedisClient.start`."""
TICK_S = 1.0
GAP_S = 0.2
SETTLE_S = 0.3
"""So long a round waits for servers that are being revived, while others can be asked."""
SURVEYED = 3
"""So many servers are asked for the cluster's layout each round."""
MAX_KNOWN = 256
"""Servers remembered, so that any of them leads back to the cluster. Pods get new addresses for ever."""
OPEN_TIMES = 10
"""A connection may take so many times a command's deadline to open: a TLS handshake and a login are several turns.
No command waits for longer than its own."""

LAYOUT = frozenset({"ASK", "CLUSTERDOWN", "MOVED", "READONLY", "TRYAGAIN"})
"""Error replies that say that the layout, or a server's role, is not what we think."""
CODES = LAYOUT | frozenset("BUSY ERR LOADING MASTERDOWN MISCONF NOAUTH NOPERM NOREPLICAS OOM WRONGPASS".split())
"""What an error reply's first word may be in a log; anything else is ERR."""
REFUSING = frozenset(
    "CLUSTERDOWN LOADING MASTERDOWN MISCONF MOVED NOAUTH NOPERM NOREPLICAS OOM READONLY WRONGPASS".split()
)
"""Those by which a server says that it does not read, or write, at all."""
A_CLUSTER = "redis is a cluster, but cache.redis.cluster is not set"


class RedisClient:
    """One process's client. ``start`` and ``close`` belong to its event loop."""

    def __init__(self, settings: Redis, meter: Meter, log: Log | None = None) -> None:
        """Connects to nothing yet. `log` is told of changes of state. Raises OSError if ``ca_file`` is unreadable."""
        self._meter = meter
        self._log = log
        self._timeout_s = settings.timeout_ms / 1000
        self._check_s = min(1.0, max(0.25, 4 * self._timeout_s))
        at = redis_address(settings.url.reveal())
        login = {"username": at.username, "password": at.password, "db": at.database}
        self._login: dict[str, Any] = {name: value for name, value in login.items() if value is not None}
        self._tls = tls_for(settings.ca_file) if at.secure else None
        self._seed: Address = (at.host, at.port)
        self._nodes: dict[Address, Node] = {}
        self._members = [self._node(self._seed)]
        self._slots: list[Node | None] = [None] * (SLOTS if settings.cluster else 0)
        self._view = View()
        self._aliases: dict[Address, Address] = {}
        self._watchers: list[Callable[[], Awaitable[None]]] = []
        self._reviving: dict[Node, asyncio.Task[None]] = {}
        self._probing: asyncio.Task[None] | None = None
        self._clocks: deque[Command] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._patient = False
        self._wake = asyncio.Event()
        self._first = asyncio.Event()
        self._closed = False
        self._ready = False
        self._serving = False
        self._foreign = False
        self._noted: set[str] = set()
        meter.level("edge_redis_ready", 0.0)

    def watch(self, watcher: Callable[[], Awaitable[None]]) -> None:
        """Await `watcher` in each round of the probe, about once a second, and in the first. It raises nothing."""
        self._watchers.append(watcher)

    async def start(self) -> None:
        """Start the probe, and wait for its first round, at most `PROBE_S`. Raises nothing."""
        if self._probing is None and not self._closed:
            self._probing = asyncio.get_running_loop().create_task(self._probe())
            await _wait(self._first, PROBE_S)

    async def close(self) -> None:
        """Close every connection; commands in flight fail. Raises nothing."""
        self._closed = True
        tasks = [*self._reviving.values(), *([self._probing] if self._probing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(node.close() for node in self._nodes.values()))
        if self._timer is not None:
            self._timer.cancel()
        self._update_ready()
        await asyncio.sleep(0)  # what was aborted gets to know it

    @property
    def ready(self) -> bool:
        """Whether any server would be asked. In a cluster, that of a given key may still be out of service."""
        return self._ready

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The servers that are known."""
        return tuple(self._nodes.values())

    # Commands.

    def send(self, command: Command, key: bytes) -> str:
        """Have a command about `key` carried out within ``timeout_ms``; "", or one of `REASONS` why it is not even
        tried, and then nothing is told to it.
        """
        if reason := self._send(command, key):
            return reason
        loop = asyncio.get_running_loop()
        command.until = loop.time() + self._timeout_s
        self._clocks.append(command)
        if self._timer is None:
            self._timer = loop.call_at(command.until, self._look)
        return ""

    async def call(self, *words: bytes | str | int, timeout_s: float | None = None) -> Reply:
        """The reply to a command, for who can wait. The first word is in capitals; the key is the second, or a script's
        first. `timeout_s` is by default the setting's ``timeout_ms``. Raises RedisUnavailable and nothing else.
        """
        key = words[3 if words[0] == b"EVAL" else 1]
        command = Awaited(pack(*words), "read" if words[0] == b"GET" else "write")
        if reason := self._send(command, key if isinstance(key, bytes) else str(key).encode()):
            raise RedisUnavailable(reason)
        loop = asyncio.get_running_loop()
        command.until = loop.time() + (self._timeout_s if timeout_s is None else timeout_s)
        timer = loop.call_at(command.until, self._expire, command)
        try:
            return await command.reply()
        finally:
            timer.cancel()

    def _send(self, command: Command, key: bytes) -> str:
        node = self._slots[key_slot(key)] if self._slots else self._members[0]
        if node is None or self._closed:
            return "unready"
        command.asked(self._took)
        return node.send(command) if node.state == UP else node.state

    def _took(self, use: str, outcome: str, seconds: float) -> None:
        self._meter.observe("edge_redis_command_duration_seconds", seconds, use, outcome)

    def _look(self) -> None:
        """One look at the clocks for all that were asked within a deadline: the oldest is the first that is due."""
        self._timer = None
        loop, clocks = asyncio.get_running_loop(), self._clocks
        now = loop.time()
        if clocks and not self._patient and self._late(clocks[0], now):
            # The loop was held up: what has come meanwhile is still to be read.
            self._patient = True
            self._timer = loop.call_later(self._timeout_s / 2, self._look)
            return
        self._patient = False
        while clocks and (clocks[0].until <= now or not clocks[0].live):
            self._expire(clocks.popleft())
        if clocks:
            self._timer = loop.call_at(clocks[0].until, self._look)

    def _expire(self, command: Command) -> None:
        if not command.live:
            return
        command.end()
        if command.owner is not None and not self._late(command, asyncio.get_running_loop().time()):
            command.owner.missed(command)
        command.fail(RedisUnavailable("timeout"))

    def _late(self, command: Command, now: float) -> bool:
        """Whether it was this process that was late by much, for which the server is not to blame."""
        return now - command.until >= max(0.01, self._timeout_s / 2)

    def _refused(self, node: Node, command: Command, refused: Refused) -> None:
        """An error reply: where to ask instead, if anywhere."""
        if refused.code in ("MOVED", "ASK") and self._slots and not command.moved:
            slot, address = parse_redirection(refused.detail, node.host) or (0, None)
            other = self._nodes.get(self._aliases.get(address, address)) if address else None
            if other is not None and other.state == UP:
                if refused.code == "MOVED":
                    self._slots[slot] = other
                    self._view = View()  # so that the next survey is news
                self._wake.set()
                command.moved = True
                if not other.send(command, asking=refused.code == "ASK"):
                    return
        code = refused.code if refused.code in CODES else "ERR"
        if code in REFUSING:
            node.refuses.add(command.use)
            self._tell()
        if code in LAYOUT:
            self._wake.set()
            node.stale = node.stale or code == "READONLY"
            if code == "MOVED" and not self._slots:
                self._foreign = True
                self._note(A_CLUSTER)
        command.fail(RedisUnavailable("error", code))

    # The probe.

    async def _probe(self) -> None:
        while True:
            self._wake.clear()
            try:
                async with asyncio.timeout(PROBE_S):
                    await self._round()
            except TimeoutError:
                pass
            except Exception as error:  # noqa: BLE001 - without the probe there would be no cache until a restart
                self._note("redis probe failed", error=type(error).__name__)
            self._tell(better=True)
            self._first.set()
            await asyncio.sleep(GAP_S)
            await _wait(self._wake, self._rest())

    def _rest(self) -> float:
        """Seconds until the next round, unless something is amiss before."""
        now = asyncio.get_running_loop().time()
        down = [node.due - now for node in self._wanted() if node.state != UP and node not in self._reviving]
        return max(0.0, min([TICK_S - GAP_S, *down]))

    async def _round(self) -> None:
        for _ in range(2):
            # Who has been reached can be asked for the layout, which may name others to be reached.
            await self._survey()
            if not await self._revive():
                break
        await asyncio.gather(*(self._check(node) for node in self._members if node.state == UP))
        for watcher in self._watchers:
            await watcher()

    def _wanted(self) -> Iterable[Node]:
        """Servers to be reached: those of the cluster, and without any of them all that were ever known."""
        return self._members if any(node.state == UP for node in self._members) else list(self._nodes.values())

    async def _revive(self) -> bool:
        """Try those that are down and due. Whether one of them is up now."""
        now = asyncio.get_running_loop().time()
        due = [node for node in self._wanted() if node.state != UP and node.due <= now and node not in self._reviving]
        for node in due:
            task = self._reviving[node] = asyncio.get_running_loop().create_task(node.revive())
            task.add_done_callback(lambda _, node=node: self._reviving.pop(node, None))  # type: ignore[misc]
        if self._reviving:
            patience = SETTLE_S if any(node.state == UP for node in self._members) else PROBE_S / 2
            await asyncio.wait(set(self._reviving.values()), timeout=patience)
        return any(node.state == UP for node in due)

    async def _check(self, node: Node) -> None:
        """A server that nobody asks has to be found frozen too."""
        try:
            async with asyncio.timeout(self._check_s):
                await node.ask(b"PING")
                if node.stale:
                    await node.refresh()
                if not self._slots and (self._foreign or not node.seen):
                    await self._look_at(node)
        except TimeoutError:
            node.trip("timeout")
        except (RedisUnavailable, Refused, OSError, UnicodeError):
            pass  # broken or refused: counted there; no address: it answers where it is

    async def _look_at(self, node: Node) -> None:
        """Is a server that is used as one alone one of a cluster, which refuses what others have?"""
        node.seen = True
        try:
            view = parse_nodes(await node.ask(b"CLUSTER", b"NODES"), node.host)
            self._foreign = len({member for *_, member in view.claims}) > 1
        except (Refused, ValueError) as error:
            if not isinstance(error, Refused) or error.code != "NOPERM":  # who may not ask keeps what it has noticed
                self._foreign = False
        if self._foreign:
            self._note(A_CLUSTER)

    async def _survey(self) -> None:
        """Learn the cluster's layout from a few of its servers."""
        up = [node for node in self._wanted() if node.state == UP]
        if not self._slots or not up:
            return
        answers = await asyncio.gather(*(self._inquire(node) for node in random.sample(up, min(SURVEYED, len(up)))))
        if any(answers):
            await self._apply(merge([view for view in answers if view is not None]))

    async def _inquire(self, node: Node) -> View | None:
        try:
            async with asyncio.timeout(self._check_s):
                text = await node.ask(b"CLUSTER", b"NODES")
            return parse_nodes(text, node.host, prefer_names=self._tls is not None)
        except TimeoutError:
            node.trip("timeout")
        except Refused as refused:
            self._note("redis gives no layout of a cluster", code=refused.code if refused.code in CODES else "ERR")
        except ValueError:
            self._note("redis gives no layout of a cluster", code="")
        except RedisUnavailable:
            pass
        return None

    async def _apply(self, view: View) -> None:
        if view == self._view:
            return
        self._view = view
        self._aliases = view.aliases
        members = [self._node(address) for address in sorted(view.members)]
        for node in set(self._nodes.values()) - set(members):
            node.retire()
        self._members = members
        self._slots = [owner and self._nodes[owner] for owner in view.owners()]
        await self._forget({*view.members, self._seed})
        self._update_ready()

    def _node(self, address: Address) -> Node:
        node = self._nodes.pop(address, None)
        if node is None:
            open_s = min(PROBE_S, OPEN_TIMES * self._timeout_s)
            stall_s = self._timeout_s
            node = Node(*address, self._make, self._changed, self._refused, open_s=open_s, stall_s=stall_s)
        self._nodes[address] = node  # at the end: the first is the one not seen for the longest time
        return node

    async def _forget(self, kept: set[Address]) -> None:
        gone = [each for each, node in self._nodes.items() if each not in kept and node not in self._reviving]
        for address in gone[: max(0, len(self._nodes) - MAX_KNOWN)]:
            await self._nodes.pop(address).close()

    def _make(self, host: str, address: str, port: int) -> RedisLink:
        return RedisLink(host, address, port, self._tls, self._login)

    # What is told.

    def _changed(self, node: Node, why: str) -> None:
        self._update_ready()
        self._wake.set()
        if self._log is not None and node.state == UP:
            self._log.info("redis reached", node=node.name)
        elif self._log is not None:
            self._log.warning("redis out of service", node=node.name, reason=why)

    def _update_ready(self) -> None:
        asked = set(self._slots) if self._slots else self._members
        ready = not self._closed and any(node is not None and node.state == UP for node in asked)
        if ready != self._ready:
            self._ready = ready
            self._noted.clear()
        self._tell()

    def _tell(self, *, better: bool = False) -> None:
        """Tell the metrics whether anything can be read and written; with `better`, also that it can be again: at the
        end of a round, which has asked for something.
        """
        asked = {node for node in self._slots if node is not None} if self._slots else self._members
        usable = self._ready and not self._foreign and any(node.state == UP and not node.refuses for node in asked)
        if usable != self._serving and (better or not usable):
            self._serving = usable
            self._meter.level("edge_redis_ready", float(usable))

    def _note(self, event: str, **fields: str) -> None:
        """Log what has not been logged since the last change of ``ready``. The events and their fields are few."""
        key = f"{event} {fields}"
        if key not in self._noted and self._log is not None:
            self._noted.add(key)
            self._log.warning(event, **fields)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
