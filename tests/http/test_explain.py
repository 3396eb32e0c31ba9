"""A running edge tells what would become of a request."""

from __future__ import annotations

import json

from tests.harness import Client, Edge, running
from tests.http.test_accounting import lines
from tests.http.test_hits import CHAT, ask, body_for, config, key, states


def test_explaining_tells_who_is_asked_and_what_is_stored_and_counts_nothing(simulator, front, tmp_path):
    body = body_for(CHAT)
    asked = f"/admin/api/explain?key=minute&path={CHAT}"

    def explained(path: str = asked) -> dict:
        status, _, found = ask(client, path, body, key("admin"))
        assert status == 200, found
        return json.loads(found)

    edge = Edge(tmp_path, config(simulator, "admin", "a", "minute"), front=front)
    with running(edge), Client(edge.port) as client:
        before = explained()
        assert [explained() for _ in range(10)][-1]["limits"] == before["limits"]
        assert (before["key"], before["limits"]["requests_per_minute"], before["cache"]["verdict"]) == (
            "minute",
            5,
            "miss",
        )
        assert [each["first"] for each in before["candidates"]] == [True]
        assert states([ask(client, CHAT, body, key("minute"))]) == ["miss"]
        after = explained()
        assert after["limits"]["requests_left"] == before["limits"]["requests_left"] - 1
        assert (after["cache"]["verdict"], after["cache"]["key"]) == ("memory", before["cache"]["key"])
        assert explained("/admin/api/explain")["key"] == "admin"
        assert ask(client, "/admin/api/explain?key=nobody", body, key("admin"))[0] == 400
        assert ask(client, "/admin/api/explain?path=/v1/models", body, key("admin"))[0] == 404
        assert ask(client, asked, body, key("a"))[0] == 403


def test_the_log_tells_how_upstreams_stood_when_a_sampled_request_was_sent(simulator, front, tmp_path):
    settings = config(simulator, "a", cache={"mode": "all"})
    settings["telemetry"] = {"log": {"route_sample": 1.0}}
    edge = Edge(tmp_path, settings, front=front)
    with running(edge), Client(edge.port) as client:
        body = body_for(CHAT)
        assert states([ask(client, CHAT, body, key("a")) for _ in range(2)]) == ["miss", "memory"]
        sent, hit = lines(edge, 2)
        assert sent["route"]["first"] == sent["route"]["upstreams"][0]["upstream"]
        assert sent["route"]["strategy"]
        assert "route" not in hit
