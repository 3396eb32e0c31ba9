"""``edge bench``: the latency targets on this machine."""

from edge.bench.load import Seen, ask, percentile, run_loop
from edge.bench.processes import BenchError
from edge.bench.targets import Measured, Row, measure, table

__all__ = ["BenchError", "Measured", "Row", "Seen", "ask", "measure", "percentile", "run_loop", "table"]
