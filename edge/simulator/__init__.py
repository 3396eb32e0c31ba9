"""Fake providers on one port: OpenAI's and Anthropic's APIs, deterministic answers, scriptable faults, a ledger.

For demos, tests and benchmarks. Imports nothing else of edge, so that it cannot share the gateway's mistakes.

* ``POST /v1/chat/completions``, ``/v1/completions``, ``/v1/responses``, ``/v1/embeddings``, ``/v1/messages``,
  ``/v1/messages/count_tokens``; ``GET /v1/models``. JSON and streams.
* A model name that begins with ``sim-`` may carry directives; see `edge.simulator.plan`.
* ``GET /ledger`` tells what was received, what was generated and when a client left; ``DELETE /ledger`` empties it.
"""

from edge.simulator.server import Simulator, serve

__all__ = ["Simulator", "serve"]
