"""A body that goes on while it comes: no faster than it is taken, and again from its beginning while that is here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from edge.errors import Overloaded
from edge.upload import HIGH, REPEATED, Taker, Upload


class Held:
    """In place of `Buffers`: what is held, and the bound."""

    def __init__(self, most: int = 1 << 30) -> None:
        self.held = 0
        self._most = most

    def hold(self, call, size: int) -> None:
        if self.held + size > self._most:
            raise Overloaded
        self.held += size
        call.buffered += size

    def let_go(self, call, held: int) -> None:
        self.held += held - call.buffered
        call.buffered = held


class Client:
    """In place of a call: whether its client is held back."""

    def __init__(self) -> None:
        self.buffered = 0
        self.back = False

    def hold_back(self, back: bool) -> None:
        assert back is not self.back
        self.back = back


class Provider(Taker):
    """Takes what there is, as often as it is told, while it is ``willing``."""

    def __init__(self, upload: Upload) -> None:
        self.upload = upload
        self.willing = True
        self.got = b""

    def more(self) -> None:
        if self.willing:
            self.got += self.upload.take()


def made(most: int = 1 << 30, size: int = -1) -> tuple[Upload, Client, Held]:
    client, held = Client(), Held(most)
    return Upload(client, held, size), client, held


def on_a_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    return lambda: asyncio.run(test())


async def turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@on_a_loop
async def test_what_comes_is_taken_in_its_order_and_its_end_is_seen():
    upload, _, held = made()
    provider = Provider(upload)
    upload.add(b"before")
    upload.begin(provider)
    await turn()
    assert provider.got == b"before"
    assert not upload.taken()
    upload.add(b" and")
    upload.add(b" after")
    upload.end()
    await turn()
    assert provider.got == b"before and after"
    assert upload.taken()
    assert upload.come == held.held == 16


@on_a_loop
async def test_a_client_is_held_back_while_nobody_takes_what_it_has_sent():
    upload, client, _ = made()
    provider = Provider(upload)
    provider.willing = False
    upload.begin(provider)
    upload.add(b"x" * HIGH)
    assert not client.back
    upload.add(b"x")
    assert client.back
    await turn()
    assert upload.waiting == HIGH + 1
    provider.willing = True
    provider.more()
    assert not client.back
    assert upload.waiting == 0


@on_a_loop
async def test_another_provider_gets_all_of_it_while_that_is_little():
    upload, _, _ = made()
    first, second = Provider(upload), Provider(upload)
    upload.begin(first)
    upload.add(b"one ")
    await turn()
    upload.add(b"two ")
    await turn()
    upload.begin(second)
    upload.add(b"three")
    upload.end()
    await turn()
    assert (first.got, second.got) == (b"one two ", b"one two three")
    assert upload.repeatable


@on_a_loop
async def test_of_more_nothing_is_kept_and_nobody_else_can_be_asked():
    upload, _, held = made()
    upload.begin(Provider(upload))
    most = 0
    for _ in range(100):
        upload.add(b"x" * HIGH)
        most = max(most, held.held)
        await turn()
    assert not upload.repeatable
    assert held.held == 0
    assert most <= REPEATED + HIGH


@on_a_loop
async def test_too_much_is_refused_and_given_back_when_it_is_closed():
    upload, client, held = made(most=1000)
    provider = Provider(upload)
    upload.add(b"x" * 900)
    with pytest.raises(Overloaded):
        upload.add(b"x" * 200)
    upload.close()
    upload.add(b"x" * 900)
    assert upload.take() == b""
    assert provider.got == b""
    assert not upload.repeatable
    held.let_go(client, 0)
    assert held.held == 0


@on_a_loop
async def test_a_client_that_was_held_back_is_read_on_once_nobody_wants_it():
    upload, client, _ = made()
    upload.add(b"x" * (HIGH + 1))
    assert client.back
    upload.close()
    assert not client.back
