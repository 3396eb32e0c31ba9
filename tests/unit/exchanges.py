"""An exchange without a server, for what looks at requests alone."""

from __future__ import annotations

import json

from edge.exchange import Exchange
from edge.guard.validate import Reading, check_body
from edge.head import Head, varying_of
from edge.routes import match


class Asked(Exchange):
    """A request as the gateway has it after the checks of its body; its reply goes nowhere."""

    def start(self, status, headers, size=None):
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


def asked(body, path="/v1/chat/completions", headers=(), query=b"") -> Asked:
    target = path.encode() + (b"?" + query if query else b"")
    fields = [(name.encode(), value.encode()) for name, value in headers]
    head = Head(match(path.encode()), "POST", target, query, fields)
    exchange = Asked(head, varying_of(fields), "", 0.0)
    exchange.body = body if isinstance(body, bytes) else json.dumps(body).encode()
    check_body(exchange, Reading(exchange.body))
    return exchange
