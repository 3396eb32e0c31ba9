"""What the outside sees of the gateway's work. Implements the hooks; wired by the command line and the server."""

from edge.telemetry.fanout import Fanout

__all__ = ["Fanout"]
