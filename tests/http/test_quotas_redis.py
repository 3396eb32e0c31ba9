"""Limits on tokens and money of several machines that share a Redis, whatever becomes of that."""

from __future__ import annotations

import os
import signal
import threading
import time

import httpx2
import pytest

from edge.guard.shared_quotas import SETTLE, TAKE
from tests.harness import WAIT_S, Edge, running, until
from tests.http.test_quotas import COST, TOKENS, Provider, alive, ask, asked_by_many, configuration, key, left, lose
from tests.http.test_quotas import workers_of as workers
from tests.redis_servers import RedisCluster, RedisServer, stopping


@pytest.fixture
def provider(tmp_path):
    with Provider() as made:
        made.file = str(tmp_path / "spend.sqlite")
        yield made
        made.released.set()


@pytest.fixture
def server(tmp_path):
    made = RedisServer(tmp_path / "redis")
    with stopping(made):
        yield made


class Machines:
    """Edges that share a Redis and nothing else."""

    def __init__(self, folder, provider, url, limited, *, count=2, cluster=False, workers=2, **limits):
        self.made = []
        for number in range(count):
            config = configuration(provider, limited, key("boss", admin=True), workers=workers)
            config["cache"] = {"redis": {"url": url, "cluster": cluster, "timeout_ms": 2000}}
            config["limits"] = {"file": str(folder / f"spend-{number}.sqlite"), **limits}
            self.made.append(Edge(folder, config))

    def __enter__(self):
        self._running = running(*self.made)
        self._running.__enter__()
        return self.made

    def __exit__(self, *error):
        return self._running.__exit__(*error)


def budget(dollars):
    return key("k", budget={"usd": dollars, "per": "day"})


def test_two_machines_spend_one_budget_to_the_end_and_not_beyond(provider, server, tmp_path):
    with Machines(tmp_path, provider, server.url(), budget(8)) as edges:
        statuses = asked_by_many(edges, 640)
        admitted = statuses.count(200)
        print(f"2 machines of 2 workers, {len(statuses)} requests: {admitted} admitted, {admitted * COST:.2f} of 8 USD")
        assert set(statuses) == {200, 429}
        assert 8 * 0.98 <= admitted * COST <= 8
        assert all(ask(edge).status_code == 429 for edge in edges)
    # What was spent is in Redis: another machine, with a file of its own, goes on there.
    (tmp_path / "other").mkdir()
    with Machines(tmp_path / "other", provider, server.url(), budget(8), count=1) as (edge,):
        assert ask(edge).status_code == 429


def test_two_machines_admit_the_tokens_of_one_minute(provider, server, tmp_path):
    limit = 8000
    with Machines(tmp_path, provider, server.url(), key("k", tokens_per_minute=limit)) as edges:
        begun = time.monotonic()
        statuses = asked_by_many(edges, 800)
        took = time.monotonic() - begun
        admitted, allowed = statuses.count(200) * TOKENS, limit * (1 + took / 60)
        print(f"2 machines, {len(statuses)} requests in {took:.1f} s: {admitted} tokens of {allowed:.0f} admitted")
        assert limit * 0.98 <= admitted <= allowed * 1.02


def test_a_cluster_of_three_counts_as_one_server_does(provider, tmp_path):
    cluster = RedisCluster(tmp_path / "redis", 3, 0)
    limited = key("k", tenant="t", tokens_per_minute=1_000_000, budget={"usd": 4, "per": "month"})
    with stopping(cluster), Machines(tmp_path, provider, cluster.url, limited, cluster=True) as edges:
        statuses = asked_by_many(edges, 320)
        admitted = statuses.count(200)
        print(f"a cluster of 3, {len(statuses)} requests: {admitted} admitted, {admitted * COST:.2f} of 4 USD")
        assert set(statuses) == {200, 429}
        assert 4 * 0.98 <= admitted * COST <= 4


def test_what_others_add_does_not_shorten_the_life_of_a_reservation(server):
    keys = [f"e:{{limit-1}}:{name}" for name in ("tokens", "spent", "held", "taken", "settled")]
    ends_ms = str(int(time.time() + 86400) * 1000)

    def run(script, *words):
        count = 5 if script is SETTLE else 4
        return server.cli("EVAL", script.decode(), str(count), *keys[:count], *words)

    assert run(TAKE, "long:500", "10", "1000", "500", "100000", "3600000").startswith("taken ")
    assert run(TAKE, "short:5", "10", "1000", "5", "100000", "60000").startswith("taken ")
    assert int(run(SETTLE, "w", "1", "1", "", "0", "0", "5", "0", "1000", "7", ends_ms)) == 1
    for name in keys[2:]:
        assert int(server.cli("PTTL", name)) > 3_600_000
    assert int(run(SETTLE, "w", "2", "2", "long:500", "500", "10", "10", "0", "1000", "400", ends_ms)) == 1
    assert (server.cli("GET", keys[1]).strip(), server.cli("GET", keys[2]).strip()) == ("407", "5")


def test_a_killed_worker_s_reservations_expire_and_what_was_spent_stays(provider, server, tmp_path):
    with Machines(tmp_path, provider, server.url(), budget(10), count=1) as (edge,):
        assert [ask(edge).status_code for _ in range(20)] == [200] * 20
        threads = [threading.Thread(target=lose, args=(edge,)) for _ in range(8)]
        for each in threads:
            each.start()
        until(lambda: provider.answered >= 28)
        held = server.cli("KEYS", "*taken*").split()
        assert int(server.cli("ZCARD", held[0])) == 8
        assert 0 < int(server.cli("PTTL", held[0])) <= 720_000, "they expire"
        for pid in workers(edge):
            os.kill(pid, signal.SIGKILL)
        for each in threads:
            each.join(WAIT_S)
        until(lambda: alive(edge))
        # As if their time were over.
        for member in server.cli("ZRANGE", held[0], "0", "-1").split():
            server.cli("ZADD", held[0], "1", member)
        until(lambda: left(edge) == pytest.approx(9.6 - 0.016, abs=0.006))
        assert server.cli("ZCARD", held[0]) == "0"


def test_while_redis_is_away_each_machine_may_spend_its_part_of_the_rest(provider, server, tmp_path):
    with Machines(tmp_path, provider, server.url(), budget(4)) as edges:
        before = asked_by_many(edges, 64).count(200)
        # One after the other: what each hears last is what was spent, and not what many were about to spend.
        before += [ask(edge).status_code for _ in range(8) for edge in edges].count(200)
        time.sleep(2.5)  # the machines have met: each looks about once a second
        server.kill()
        until(lambda: all(ask(edge).status_code in (200, 429) for edge in edges))
        during = asked_by_many(edges, 320).count(200)
        spent = provider.answered * COST
        print(f"{before} requests with Redis and {during} without: {spent:.2f} of 4 USD spent by two machines")
        assert 4 * 0.9 <= spent <= 4 * 1.02
        server.start()
        # A server that has forgotten everything is told what was spent without it.
        tokens = [ask(edge).status_code for edge in edges]
        assert set(tokens) <= {200, 429}


@pytest.mark.parametrize("frozen", [False, True], ids=["killed", "frozen"])
def test_where_it_is_wanted_nothing_is_let_through_without_redis(provider, server, tmp_path, frozen):
    with Machines(tmp_path, provider, server.url(), budget(4), count=1, workers=1, on_redis_loss="refuse") as (edge,):
        assert ask(edge).status_code == 200
        if frozen:
            server.signal(signal.SIGSTOP)
        else:
            server.kill()
        got = ask(edge)
        assert got.status_code == 503
        assert "cannot be looked up" in got.json()["error"]["message"]
        if frozen:
            server.signal(signal.SIGCONT)
        else:
            server.start()
        until(lambda: ask(edge).status_code == 200)


def test_a_redis_that_freezes_and_comes_back_knows_what_was_spent_meanwhile(provider, server, tmp_path):
    with Machines(tmp_path, provider, server.url(), budget(20), count=1, workers=1) as (edge,):
        assert [ask(edge).status_code for _ in range(10)] == [200] * 10
        server.signal(signal.SIGSTOP)
        assert [ask(edge).status_code for _ in range(10)] == [200] * 10
        server.signal(signal.SIGCONT)

        def spent():
            names = server.cli("KEYS", "*spent*").split()
            return sum(int(server.cli("GET", name)) for name in names) / 1e12

        until(lambda: spent() == pytest.approx(20 * COST), 20)
        time.sleep(1.5)
        assert spent() == pytest.approx(20 * COST), "each counts once"
        held = server.cli("KEYS", "*held*").split()
        until(lambda: all(server.cli("GET", name) in ("0", "") for name in held), 20)


def test_what_is_in_redis_names_nobody(provider, server, tmp_path):
    with Machines(tmp_path, provider, server.url(), budget(4), count=1) as (edge,):
        assert ask(edge).status_code == 200
        names = server.cli("KEYS", "*")
        assert "limit-" in names
        assert "budget" not in names
        assert ":k" not in names
        assert httpx2.get(f"{edge.url}/health").status_code == 200
