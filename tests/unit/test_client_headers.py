"""What goes on of a client's head to a provider, and that it is found again for a head that comes again."""

from __future__ import annotations

import msgspec
import pytest

from edge import config
from edge._fast import KnownHead, RequestHead
from edge.errors import HeaderTooLarge
from edge.head import Head
from edge.routes import match
from edge.upstreams.client_headers import ClientHeaders

SENT = [
    (b"content-type", b"application/json"),
    (b"x-api-key", b"sk-secret"),
    (b"anthropic-beta", b"a-1, b-2"),
    (b"anthropic-new", b"yes"),
    (b"openai-beta", b"c"),
]


def rules(dialect: str, **more: object) -> ClientHeaders:
    given = {"dialect": dialect, "base_url": "http://127.0.0.1:1/v1", **more}
    return ClientHeaders(msgspec.convert(given, config.Provider))


def head(fields: list[tuple[bytes, bytes]], *, kept: bool = True) -> Head:
    form = None
    if kept:
        text = (
            b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n" + b"".join(b"%b: %b\r\n" % pair for pair in fields) + b"\r\n"
        )
        read = RequestHead()
        assert read.read(text) == len(text)
        form = KnownHead(read)
    return Head(match(b"/v1/messages"), "POST", b"/v1/messages", b"", fields, form)


@pytest.mark.parametrize("kept", [True, False])
def test_each_provider_gets_its_own_part_of_a_head_every_time(kept):
    asked = head(SENT, kept=kept)
    passing, merging = rules("anthropic"), rules("anthropic", headers={"anthropic-beta": "z-9"}, drop_headers=["*-new"])
    other = rules("openai")
    for _ in range(3):
        assert passing.lines(asked, False) == (
            b"content-type: application/json\r\nanthropic-beta: a-1, b-2\r\nanthropic-new: yes\r\nopenai-beta: c\r\n"
            b"anthropic-version: 2023-06-01\r\n"
        )
        assert merging.lines(asked, False) == (
            b"content-type: application/json\r\nopenai-beta: c\r\nanthropic-beta: a-1,b-2,z-9\r\n"
            b"anthropic-version: 2023-06-01\r\n"
        )
        assert other.lines(asked, True) == b"content-type: application/json\r\nopenai-beta: c\r\n"


def test_a_head_that_is_not_kept_is_not_remembered_and_one_that_is_is_found_again():
    made, again, once = rules("openai"), head(SENT), head(SENT, kept=False)
    assert made.lines(again, False) is made.lines(again, False)
    assert made.lines(once, False) is not made.lines(once, False)
    assert made.lines(again, False) == made.lines(once, False) != made.lines(again, True)


def test_too_much_of_a_head_is_refused_every_time():
    made, asked = rules("anthropic"), head([(b"anthropic-x", b"y" * 20000)], kept=False)
    for _ in range(2):
        with pytest.raises(HeaderTooLarge):
            made.lines(asked, False)
