"""Behaviour, frozen: a corpus is played against a built tree, and what everybody saw is written down.

A tree is seen from outside alone: sockets, configuration files, log lines and ``/metrics``. Nothing here imports
`edge`, so one corpus plays against any checkout, and two trees are compared by what they did.

* ``python -m tests.replay record --edge TREE/.venv/bin/edge --out FILE`` plays, and writes a JSON line per case.
* ``python -m tests.replay compare OLD NEW`` prints what differs and is not listed in ``intended.toml``.
"""
