"""``python -m edge.simulator``: the simulator alone, as the command line starts it."""

from __future__ import annotations

import argparse

from edge.simulator.server import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="edge simulator", description="Fake OpenAI and Anthropic providers.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8081, help="0 picks a free one; it is printed either way")
    parser.add_argument("--ttft-ms", type=float, default=0.0, help="time to first token")
    parser.add_argument("--tokens-per-second", type=float, default=0.0, help="0: as fast as possible")
    parser.add_argument("--announce", default="", metavar="TEXT", help="what every sentence begins with")
    parser.add_argument("--follow-stdin", action="store_true", help="end when standard input is closed")
    options = parser.parse_args()
    serve(
        options.host,
        options.port,
        ttft_s=options.ttft_ms / 1000,
        tokens_per_second=options.tokens_per_second,
        announced=options.announce,
        follow_stdin=options.follow_stdin,
    )


if __name__ == "__main__":
    main()
