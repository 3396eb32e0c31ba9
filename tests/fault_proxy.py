"""A TCP proxy that does to a connection what networks do: latency, throttling, slices, resets, black holes, half-closes.

asyncio in a thread of its own; the faults are attributes and may change while connections are open.
"""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from dataclasses import dataclass, field

LINGER_RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"


@dataclass
class Faults:
    """``latency_s`` before each piece, and up to ``jitter_s`` more, mostly much less, before those towards the client, of which
    ``reset_share`` are a reset instead; pieces of at most ``slice_bytes``, towards the client no more than ``bytes_per_s``;
    ``reset_after`` bytes towards the client a reset, ``cut_after`` bytes an end, ``black_hole``: take everything, pass
    nothing; ``half_close``: an end is passed on as a half-close instead of closing; ``refuse``: reset on accept.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    reset_share: float = 0.0
    slice_bytes: int = 65536
    bytes_per_s: float = 0.0
    reset_after: int | None = None
    cut_after: int | None = None
    black_hole: bool = False
    half_close: bool = False
    refuse: bool = False


@dataclass
class FaultProxy:
    """Listens on ``port`` in front of ``target_port``. ``connections`` counts what came, ``resets`` those of
    ``reset_share``.
    """

    target_port: int
    faults: Faults = field(default_factory=Faults)
    connections: int = 0
    resets: int = 0

    def __enter__(self) -> FaultProxy:
        self._loop = asyncio.new_event_loop()
        self._gone: list[socket.socket] = []
        ready = threading.Event()

        async def start() -> None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = self._server.sockets[0].getsockname()[1]
            self.url = f"http://127.0.0.1:{self.port}"
            ready.set()

        def run() -> None:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(start())
            self._loop.run_forever()
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(asyncio.sleep(0.05))
            self._loop.close()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        for sock in self._gone:
            sock.close()

    def vanish(self) -> None:
        """From now on no connection is answered, as by a host that is gone: the queue of the listener is full, so the
        kernel drops each SYN. What is connected falls silent.
        """
        self.faults = Faults(black_hole=True)
        asyncio.run_coroutine_threadsafe(self._stop_listening(), self._loop).result(5)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(0)
        self._gone.append(listener)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._gone.append(filler)

    async def _stop_listening(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.faults.refuse:
            self._reset(writer)
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            self._reset(writer)
            return
        ways = (self._pump(reader, up_writer, False), self._pump(up_reader, writer, True))
        tasks = [asyncio.ensure_future(way) for way in ways]
        try:
            # The client's end closes the upstream; the upstream's end closes the client, unless that is a half-close.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[1].done() and self.faults.half_close:
                await tasks[0]
        finally:
            for task in tasks:
                task.cancel()
            for each in (up_writer, writer):
                each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to_client: bool) -> None:
        passed = 0
        try:
            while data := await reader.read(65536):
                while data:
                    faults = self.faults
                    piece, data = data[: faults.slice_bytes], data[faults.slice_bytes :]
                    if to_client and faults.reset_share and random.random() < faults.reset_share:
                        self.resets += 1
                        self._reset(writer)
                        return
                    latency_s = faults.latency_s + (faults.jitter_s * random.random() ** 8 if to_client else 0.0)
                    if to_client and faults.bytes_per_s:
                        latency_s += len(piece) / faults.bytes_per_s
                    if latency_s:
                        await asyncio.sleep(latency_s)
                    if faults.black_hole:
                        continue
                    limit = None
                    if to_client:
                        limit = faults.reset_after if faults.reset_after is not None else faults.cut_after
                    if limit is not None and passed + len(piece) > limit:
                        writer.write(piece[: max(0, limit - passed)])
                        await writer.drain()
                        if faults.reset_after is not None:
                            await asyncio.sleep(0.02)
                            self._reset(writer)
                        elif faults.half_close:
                            writer.write_eof()
                        return
                    writer.write(piece)
                    await writer.drain()
                    passed += len(piece)
            if writer.can_write_eof():
                writer.write_eof()
        except (OSError, RuntimeError):
            return

    @staticmethod
    def _reset(writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        writer.transport.abort()
