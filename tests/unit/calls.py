"""A call without a server, for what looks at requests alone."""

from __future__ import annotations

import json

from edge import config
from edge.guard.validate import Reading, check_body
from edge.head import Head, varying_of
from edge.replies import ClientCall
from edge.routes import match
from edge.state import build_state

STATE = build_state(config.Config())


class Asked(ClientCall):
    """A request as the gateway has it after the checks of its body; its reply goes nowhere."""

    def start(self, status, lines, size):
        pass

    def write(self, data):
        pass

    def end(self):
        pass

    def abort(self):
        pass

    def congested(self):
        return False

    def when_room(self, room):
        pass


def unread(path: str, headers=(), query=b"") -> Asked:
    """A request of which only the head has been read."""
    target = path.encode() + (b"?" + query if query else b"")
    fields = [(name.encode(), value.encode()) for name, value in headers]
    return Asked(Head(match(path.encode()), "POST", target, query, fields), varying_of(fields), "", 0.0, STATE)


def asked(body, path="/v1/chat/completions", headers=(), query=b"") -> Asked:
    call = unread(path, headers, query)
    call.body = body if isinstance(body, bytes) else json.dumps(body).encode()
    check_body(call, Reading(call.body))
    return call
