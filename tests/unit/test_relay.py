"""A relay between two ends, without sockets."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import pytest

from edge import config
from edge.config import Config
from edge.errors import ShuttingDown
from edge.head import Head
from edge.relaying import Standing
from edge.routes import SOCKET_PATHS
from edge.server.compose import compose
from edge.sockets import relay as module
from edge.sockets.peer import Closed, Message
from edge.sockets.relay import FOLLOWS, OPEN, Relay
from edge.sockets.tab import Due
from edge.sockets.talk import Talk
from tests.unit.calls import Asked
from tests.unit.relays import Asker, End


class Echo(Talk):
    """Hands on whatever comes, holds what comes behind a ``wait``, and answers a ``what``."""

    def __init__(self, relay):
        self.relay = relay

    def asked(self, message):
        if message.data == b"wait":
            self.relay.hold()
        if message.data == b"what":
            self.relay.tell(Message(b"this"))
        else:
            self.relay.forward(message)

    def told(self, message):
        self.relay.tell(message)

    def error_event(self, error):
        return Message(error.code.encode())


def relayed(test):
    """Run with a relay whose ends are open, and what it is made of."""

    async def run():
        gateway = compose(Config()).gateway
        found = SOCKET_PATHS[b"/v1/responses"]
        call = Asked(Head(found, "GET", b"/v1/responses", b"", []), {}, "", 0.0, gateway.state)
        client, provider, asker = End(), End(), Asker()
        relay = Relay(gateway.office, call, client, "", asker, Standing(gateway, call))
        relay.start(Echo(relay), "")
        relay._link, relay._state = provider, OPEN
        test(relay, client, provider, asker)
        relay.cancel()

    asyncio.run(run())


def test_what_comes_behind_a_message_that_is_held_keeps_its_order():
    def test(relay, client, provider, _):
        for data in (b"1", b"wait", b"2", b"3"):
            relay.came(client, Message(data))
        assert (provider.said, client.reads) == ([b"1", b"wait"], False)
        relay.release()
        assert (provider.said, client.reads) == ([b"1", b"wait", b"2", b"3"], True)

    relayed(test)


def test_an_end_that_takes_nothing_has_the_other_paused_until_it_does():
    def test(relay, client, provider, _):
        for one, other in ((client, provider), (provider, client)):
            other.takes = False
            relay.came(one, Message(b"x"))
            assert not one.reads
            assert other.reads
            other.takes = True
            relay.room(other)
            assert one.reads

    relayed(test)


def test_a_client_that_takes_no_answers_is_not_read():
    def test(relay, client, provider, _):
        client.takes = False
        relay.came(client, Message(b"x"))
        assert client.reads  # that is for the provider
        relay.came(client, Message(b"what"))
        assert (client.said, client.reads, provider.reads) == ([b"this"], False, False)
        relay.room(provider)
        assert not client.reads
        client.takes = True
        relay.room(client)
        assert (client.reads, provider.reads) == (True, True)

    relayed(test)


def test_an_answer_that_redis_has_brought_pauses_its_client_too():
    def test(relay, client, provider, _):
        client.takes = False
        relay.came(client, Message(b"wait"))
        relay.tell(Message(b"this"))
        relay.release()
        assert not client.reads
        client.takes = True
        relay.room(client)
        assert client.reads

    relayed(test)


@pytest.mark.parametrize(("begun", "charged"), [("", None), ("resp_1", 5)])
def test_a_provider_that_refuses_our_key_is_paid_for_what_has_begun_alone(begun, charged):
    def test(relay, client, provider, _):
        own = config.Provider(dialect="openai", base_url="http://127.0.0.1:9")
        voice = config.Model(upstreams=[config.Target(to="openai/gpt-realtime")])
        state = compose(Config(providers={"openai": own}, models={"voice": voice})).gateway.state
        head = Head(SOCKET_PATHS[b"/v1/responses"], "GET", b"/v1/responses", b"", [(b"host", b"localhost")])
        grant = state.grant(state.auth.identify(head, {}, ()), "voice", head.route)
        due = Due(grant.upstreams[0], grant, 5)
        due.id = begun
        assert relay.tab.open(due, 10, lambda *_: None)
        relay.gone(provider, Closed(3000, "invalid_request_error.invalid_api_key"))
        assert client.closed[0] == 1011
        usage = relay.call.ledger.usage
        assert (usage if usage is None else usage.input) == charged

    relayed(test)


def test_parts_and_what_waits_are_counted_among_what_is_held():
    def test(relay, client, provider, _):
        buffers = relay._office.desk.buffers
        relay.holds(client, 100)
        relay.holds(provider, 10)
        assert buffers.held == 110
        relay.came(client, Message(b"wait"))
        relay.came(client, Message(b"12345"))
        assert buffers.held == 119  # what is to be sent, and what waits behind it
        relay.release()
        assert buffers.held == 110
        relay.holds(client, 0)
        assert buffers.held == 10
        relay.holds(client, relay.call.state.max_buffered_bytes)
        assert client.closed[0] == 1013
        assert buffers.held > 0  # until the call is settled, by who has asked

    relayed(test)


@pytest.mark.parametrize(
    ("whose", "closed", "client_code", "provider_code"),
    [
        ("client", Closed(4001, "why"), 4001, 4001),
        ("client", Closed(1006), None, 1001),
        ("client", Closed(1002, "no mask", broke=True), 1002, 1001),
        ("provider", Closed(1013, "later"), 1013, 1013),
        ("provider", Closed(1006), 1011, 1001),
        ("provider", Closed(1007, "no text", broke=True), 1011, 1007),
    ],
)
def test_one_end_closes_the_other_once(whose, closed, client_code, provider_code):
    def test(relay, client, provider, asker):
        gone = client if whose == "client" else provider
        relay.gone(gone, closed)
        relay.gone(client if gone is provider else provider, Closed(1000))
        relay.came(client, Message(b"late"))
        if client_code is not None:
            assert client.closed[0] == client_code
        assert provider.closed[0] == provider_code
        assert provider.said == []
        assert asker.told == 1
        assert relay.call.ledger.particulars.startswith(b',"ended_by":')

    relayed(test)


def test_an_edge_that_ends_closes_both_and_tells_nobody_who_has_asked_for_it():
    def test(relay, client, provider, asker):
        relay.call.ledger.error = ShuttingDown()
        relay.cancel()
        assert (client.closed[0], provider.closed[0], asker.told) == (1001, 1001, 0)

    relayed(test)


def test_a_defect_of_ours_is_told_to_the_client_wherever_it_is_met():
    for where in ("asked", "told", "closed", "renewed", "reserved"):

        def test(relay, client, provider, asker, where=where):
            defect = ZeroDivisionError(where)

            def fails(*_):
                raise defect

            if where in ("asked", "told"):
                setattr(relay._talk, where, fails)
                relay.came(client if where == "asked" else provider, Message(b"x"))
            elif where == "closed":
                with patch.object(module, "told_by", fails):
                    relay.gone(provider, Closed(1000))
            elif where == "renewed":
                with patch.object(relay._rights, "heed", fails, create=True):
                    relay._look()
            else:
                relay.tab._asking.append(due := Due(None, None, 5))
                due.sent = False
                relay.tab._told(due, fails, None)
            assert client.said[-1:] == [b"internal_error"], where
            assert (client.closed[0], provider.closed[0]) == (1011, 1001), where
            assert (asker.told, asker.error) == (1, defect), where
            assert relay.call.ledger.error.code == "internal_error"
            assert relay.call.ledger.particulars.startswith(b',"ended_by":"failed","close_code":1011')

        relayed(test)


def test_a_defect_in_the_books_of_a_connection_leaves_no_end_open():
    def test(relay, client, provider, asker):
        with patch.object(relay.tab, "close", side_effect=ZeroDivisionError):
            relay.gone(client, Closed(1000))
        assert (client.closed[0], provider.closed[0], asker.told) == (1000, 1000, 1)

    relayed(test)


def test_every_state_leads_to_the_end():
    for state, follows in FOLLOWS.items():
        assert not follows or max(FOLLOWS) in follows, state
