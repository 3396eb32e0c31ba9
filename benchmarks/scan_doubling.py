"""``python -m benchmarks.scan_doubling``: what the scanner takes for a byte of the worst texts, from 1 MB to 8 MB.

Work that grows faster than the text shows as a figure that doubles from column to column.
"""

from __future__ import annotations

import time

__all__ = ["HOSTILE"]

HOSTILE_LINES = r"""
@|a@|a@a.|a@1a.1a.|1|1 |12-|1.|1)(|5551234567 |call 5551234567x |4111 |4111-1111-1111-1112 |::|
a:|fe80:|-|sk-|sk-a-|eyJ|eyJ-|eyJaaaaaaaa.|bearer |bearer a=|Bearer aaaaaaaaaa |-----BEGIN |
-----BEGIN PRIVATE KEY-----|-----BEGIN PRIVATE KEY-----a|+49 |((1|\|\n1|AKIA|AIza|hf_a|GB82 |
DE8937 |1.1.1.1.|0012 34 |é@é.|x=@|"|"-----BEGIN PRIVATE KEY-----|-----END |xoxb-|_
"""

HOSTILE = HOSTILE_LINES.replace("\n", "").split("|")
"""What is repeated: beginnings of everything, over and over, and things that are almost something."""

SIZES = (1_000_000, 2_000_000, 4_000_000, 8_000_000)


def main() -> None:
    from edge._fast import COMPILED, scan_text

    sizes = SIZES if COMPILED else tuple(size // 100 for size in SIZES)
    print("| repeated | " + " | ".join(f"{size / 1e6:g} MB" for size in sizes) + " | |")
    print("|---|" + "---|" * (len(sizes) + 1))
    for unit in HOSTILE:
        costs = []
        for size in sizes:
            data = unit.encode() * (size // len(unit.encode()))
            taken = []
            for _ in range(2):
                began = time.process_time()
                scan_text(data)
                taken.append(time.process_time() - began)
            costs.append(min(taken) / len(data) * 1e9)
        linear = costs[-1] < 3 * costs[0] + 5
        figures = " | ".join(f"{cost:.1f}" for cost in costs)
        print(f"| `{unit}` | {figures} | {'linear' if linear else '**not linear**'} |", flush=True)
    print("\nns of CPU a byte.")


if __name__ == "__main__":
    main()
