"""What the edge costs, measured on real processes beside nginx and beside other gateways.

``make bench`` prints the whole table in about five minutes, ``python -m benchmarks json streams --seconds 2`` a part of
it, ``--write`` keeps it in RESULTS.md. Linux only (it reads /proc); needs wrk and nginx. ``make bench-peers`` installs
the other gateways.

CPU microseconds per request (user and system time of the server's processes over a load) is the figure that survives
noisy machines. Server and load are pinned to different cores where the machine has two; compare ratios within one run.
"""
