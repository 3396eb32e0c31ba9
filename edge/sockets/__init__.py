"""WebSockets: relayed between a client and a provider, message by message.

``peer.py`` is one side of one: frames to messages and back, without I/O. ``handshake.py`` reads a client's wish for
one, ``link.py`` is a provider's side, ``opening.py`` finds the provider that takes the handshake. ``relay.py`` is the
connection as a whole. What its messages say is known to ``realtime.py`` and ``responses.py``, what the responses in it
cost to ``tab.py``.
"""
