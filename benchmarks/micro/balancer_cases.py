"""Picking among ten upstreams that have been measured, are of unequal weight and price, and busy."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from benchmarks.micro.case import Case


def picking(strategy: str) -> Callable[[ModuleType], dict[str, Any]]:
    def setup(module: ModuleType) -> dict[str, Any]:
        member_module = importlib.import_module(module.__name__.replace("balancer", "member"))
        members = [member_module.Member(key) for key in range(1, 11)]
        under_way = []
        for number, member in enumerate(members):
            for _ in range(3):
                attempt = member.begin(1.0)
                attempt.first_content(1.5 + number / 10)
                attempt.finished(5.0, 100.0)
            under_way += [member.begin(5.0) for _ in range(number % 3)]
        weights = [1.0 + number % 3 for number in range(10)]
        prices = [1.0 + number % 4 for number in range(10)]
        balancer = module.Balancer(members, strategy, weights, prices)
        return {"pick": balancer.pick, "under_way": under_way}

    return setup


CASES = [
    Case("balancer", f"{strategy} among 10", picking(strategy), "pick(6.0, 1234567)", limit=1000)
    for strategy in ("round_robin", "failover", "latency", "cost", "least_busy", "affinity")
]
