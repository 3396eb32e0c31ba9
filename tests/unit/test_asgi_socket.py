"""A WebSocket over ASGI has its turn, and no more of the loop than that."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from unittest.mock import patch

from edge.config import Config
from edge.routes import SOCKET_PATHS
from edge.server import asgi_socket as module
from edge.server.asgi_socket import AT_ONCE, AsgiSocket
from edge.server.compose import compose

MANY = 10 * AT_ONCE


def test_very_many_messages_that_are_ready_are_heard_in_many_turns():
    async def run():
        app = SimpleNamespace(gateway=compose(Config()).gateway)
        scope = {"raw_path": b"/v1/responses", "headers": [], "subprotocols": []}
        made = AsgiSocket(app, SOCKET_PATHS[b"/v1/responses"], scope, None)
        heard, turns, ready = [], [0], [{"type": "websocket.receive", "text": "{}"}] * MANY
        made._relay = SimpleNamespace(came=lambda _, message: heard.append(message), gone=lambda *_: None)
        made._accepted = True

        async def receive():
            return ready.pop() if ready else {"type": "websocket.disconnect", "code": 1000}

        async def other():
            while len(heard) < MANY:
                turns[0] += 1
                await asyncio.sleep(0)

        await asyncio.gather(made._read(receive), other())
        assert (len(heard), turns[0] >= MANY // AT_ONCE) == (MANY, True)

    asyncio.run(run())


def test_a_defect_of_ours_where_the_client_is_read_is_told_to_its_relay():
    async def run():
        failed = []

        def gone(*_):
            raise ZeroDivisionError

        def relay(gateway, call, *_):
            return SimpleNamespace(gone=gone, fail=lambda defect: (failed.append(type(defect)), call.abort()))

        app = SimpleNamespace(gateway=compose(Config()).gateway)
        scope = {"raw_path": b"/v1/responses", "headers": [(b"host", b"localhost")], "subprotocols": []}
        made = AsgiSocket(app, SOCKET_PATHS[b"/v1/responses"], scope, None)
        made._accepted = True
        said = [{"type": "websocket.disconnect", "code": 1000}, {"type": "websocket.connect"}]

        async def receive():
            return said.pop()

        with patch.object(module, "relay", relay):
            await asyncio.wait_for(made.serve(receive), 10)
        assert failed == [ZeroDivisionError]

    asyncio.run(run())
