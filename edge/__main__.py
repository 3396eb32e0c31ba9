"""``python -m edge``, and the commands ``edge`` and ``llm-edge-agent``."""

from edge.server.sparing import UNWANTED, promise, without

__all__ = ["main"]

promise()
with without(UNWANTED):
    from edge.cli import main

if __name__ == "__main__":
    main()
