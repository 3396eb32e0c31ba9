"""What the edge costs, measured on real processes: ``make bench``, or ``python -m benchmarks``.

CPU microseconds per request (user and system time of the server process over a wrk run) is the figure that survives
noisy machines. Server and load are pinned to different cores where the machine has two; compare ratios within one run.
"""
