"""What this machine serves is asked by no proxy, whatever the environment names: not by a test, nor by a program of one."""

import os

for name in ("NO_PROXY", "no_proxy"):
    os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost", "::1")))
