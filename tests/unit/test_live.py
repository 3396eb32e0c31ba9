"""Who goes on looking at the live figures when keys change."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest

from edge import config
from edge.server import live
from edge.server.asgi import EdgeApplication
from edge.server.compose import compose

TOKENS = {"root": "lea_root_" + "a" * 32, "other": "lea_other_" + "b" * 32}


def settings(**admins: bool) -> config.Config:
    keys = [
        config.Key(id=name, digests=["sha256:" + sha256(TOKENS[name].encode()).hexdigest()], admin=admin)
        for name, admin in admins.items()
    ]
    provider = config.Provider(dialect="openai", base_url="http://127.0.0.1:9/v1")
    log = config.Log(level="error")
    return config.Config(auth=config.Auth(keys=keys), providers={"p": provider}, telemetry=config.Telemetry(log=log))


class Looking:
    """A client of the live page, by ASGI."""

    def __init__(self, app: EdgeApplication, token: str) -> None:
        self.status = 0
        self.events = asyncio.Queue[bytes]()
        self.over = asyncio.Event()
        path = "/admin/api/live"
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"localhost"), (b"authorization", b"Bearer " + token.encode())],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8080),
            "scheme": "http",
            "http_version": "1.1",
            "root_path": "",
        }
        self._begun = False
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self):
        if not self._begun:
            self._begun = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def _send(self, message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["body"]:
            self.events.put_nowait(message["body"])
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.over.set()


@pytest.mark.parametrize(
    ("after", "goes_on"),
    [({"other": True}, False), ({"root": False, "other": True}, False), ({"root": True}, True)],
    ids=["revoked", "no admin any more", "as before"],
)
def test_a_stream_ends_with_the_right_to_see_it(after, goes_on, monkeypatch):
    monkeypatch.setattr(live, "PERIOD_S", 0.05)
    asyncio.run(look(after, goes_on))


async def look(after: dict[str, bool], goes_on: bool) -> None:
    app = EdgeApplication(compose(settings(root=True, other=True)))
    wanted = asyncio.Queue()
    wanted.put_nowait({"type": "lifespan.startup"})
    started = asyncio.Event()

    async def tell(message) -> None:
        if message["type"].endswith(".complete"):
            started.set()

    life = asyncio.create_task(app({"type": "lifespan"}, wanted.get, tell))
    try:
        await asyncio.wait_for(started.wait(), 20)
        looking = Looking(app, TOKENS["root"])
        assert (await asyncio.wait_for(looking.events.get(), 20)).startswith(b"data: ")
        assert looking.status == 200
        await app.gateway.reload(lambda: (settings(**after), None))
        while not looking.events.empty():
            looking.events.get_nowait()
        if goes_on:
            assert await asyncio.wait_for(looking.events.get(), 20)
            assert not looking.over.is_set()
        else:
            await asyncio.wait_for(looking.over.wait(), 20)
            assert looking.events.empty()
        looking.task.cancel()
    finally:
        started.clear()
        wanted.put_nowait({"type": "lifespan.shutdown"})
        await asyncio.wait_for(started.wait(), 20)
        await life
