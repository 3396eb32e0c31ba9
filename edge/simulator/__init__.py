"""Fake providers on one port: OpenAI's and Anthropic's APIs, deterministic answers, scriptable faults, a ledger.

For demos, tests and benchmarks. Imports nothing else of edge, so that it cannot share the gateway's mistakes.

* ``POST /v1/chat/completions``, ``/v1/completions``, ``/v1/responses``, ``/v1/embeddings``, ``/v1/messages``,
  ``/v1/messages/count_tokens``; ``GET /v1/models``. JSON and streams.
* Requests are refused as the real APIs refuse them; see `edge.simulator.validate`.
* A model name that begins with ``sim-``, a script posted to ``/script`` or the header ``x-sim-plan`` says how to answer
  otherwise, faults included; see `edge.simulator.plan`.
* ``nonce:`` and a word in a prompt is repeated in the answer.
* ``GET /ledger`` tells what was received, what was generated and when a client left; ``DELETE /ledger`` empties it.
"""

from edge.simulator.server import Simulator, serve

__all__ = ["Simulator", "serve"]
