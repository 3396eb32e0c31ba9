"""A server that speaks Redis's protocol as badly as a test wants it to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

Reply = bytes | None
"""What goes out; None closes the connection. A reply that ends in `CLOSE` is followed by that, in `SILENCE` by nothing
on this connection any more, whatever is asked: replies come in order, so one that does not come holds up all later ones.
"""

CLOSE = b"<close>"
SILENCE = b"<silence>"


class FakeRedis:
    """Answers as `reply(words)` says; the probe's questions properly, unless `reply` gives something for them too.

    With `cluster`, it says that it has all slots. ``asked`` are the commands that came, the probe's left out; each of
    these waits for ``delay_s``, and until ``answers`` is set.
    """

    def __init__(self, reply: Callable[[list[bytes]], Reply], *, cluster: bool = False) -> None:
        self.reply = reply
        self.cluster = cluster
        self.asked: list[list[bytes]] = []
        self.connections = 0
        self.delay_s = 0.0
        self.answers = asyncio.Event()
        self.answers.set()
        self.generation = b"$-1\r\n"
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> FakeRedis:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.02)

    def nodes(self) -> bytes:
        text = f"{'a' * 40} 127.0.0.1:{self.port}@1{self.port} myself,master - 0 0 1 connected 0-16383\n".encode()
        return b"$%d\r\n%b\r\n" % (len(text), text)

    def own(self, words: list[bytes]) -> bytes | None:
        if words[0] == b"PING":
            return b"+PONG\r\n"
        if words[0] == b"CLUSTER":
            return self.nodes() if self.cluster else b"-ERR This instance has cluster support disabled\r\n"
        if words[0] == b"GET" and words[1].endswith(b":gen"):
            return self.generation
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        self.connections += 1
        try:
            while words := await self._read(reader):
                own = self.own(words)
                if own is None:
                    self.asked.append(words)
                    await asyncio.sleep(self.delay_s)
                    await self.answers.wait()
                reply = self.reply(words) if own is None else own
                if reply is None:
                    break
                writer.write(reply.removesuffix(CLOSE).removesuffix(SILENCE))
                await writer.drain()
                if reply.endswith(CLOSE):
                    break
                if reply.endswith(SILENCE):
                    while words := await self._read(reader):
                        self.asked += [words] if self.own(words) is None else []
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    def count(self, word: bytes) -> int:
        """How many of these commands came."""
        return sum(words[0] == word for words in self.asked)

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> list[bytes]:
        head = await reader.readline()
        if not head.startswith(b"*"):
            return []
        words = []
        for _ in range(int(head[1:])):
            size = int((await reader.readline())[1:])
            words.append((await reader.readexactly(size + 2))[:-2])
        return words
