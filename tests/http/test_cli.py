"""The commands, as a user types them."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from edge.config.file import load
from tests.harness import Edge, Process, clean_environment, free_port, providers, running, wait_until_ready

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[2]


def edge_command(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge", *arguments]
    return subprocess.run(command, env=clean_environment(**env), capture_output=True, text=True, timeout=60)


def test_version_says_which_build():
    assert re.fullmatch(r"edge \d+\.\d+\.\d+ \((compiled|pure)\), Python 3\.\d+\.\d+\n", edge_command("version").stdout)
    assert "(pure)" in edge_command("version", EDGE_PURE_PYTHON="1").stdout


def test_key_new_gives_a_key_that_its_line_lets_in(simulator, tmp_path):
    got = edge_command("key", "new", "team-a").stdout
    token = re.search(r"key \(shown once\): (lea_team-a_[A-Za-z0-9]{32})\n", got)[1]
    line = re.search(r"config line: +- (.*)", got)[1]
    assert token not in line
    path = tmp_path / "edge.yaml"
    path.write_text(f"auth:\n  keys:\n    - {line}\nproviders: {json.dumps(providers(simulator.url))}\n")
    assert edge_command("check", str(path)).returncode == 0
    assert edge_command("key", "new", "Not An Id").returncode != 0


def test_explain_tells_what_would_become_of_a_request_and_sends_nothing(tmp_path):
    path, request = tmp_path / "edge.yaml", tmp_path / "request.json"
    providers = "{a: {dialect: openai, base_url: http://127.0.0.1:9/v1, api_keys: [sk-canary]}}"
    key = f'{{id: k, models: [m], digests: ["sha256:{"0" * 64}"]}}'
    path.write_text(f"providers: {providers}\nmodels: {{m: {{upstreams: [{{to: a/b}}]}}}}\nauth: {{keys: [{key}]}}")
    request.write_text('{"model": "m", "messages": [{"role": "user", "content": "canary"}]}')
    told = edge_command("explain", str(request), "-c", str(path), "--key", "k")
    assert told.returncode == 0, told.stderr
    assert "upstream   a/b: asked first" in told.stdout
    assert "canary" not in told.stdout
    request.write_text('{"model": "other", "messages": []}')
    refused = edge_command("explain", str(request), "-c", str(path), "--key", "k", "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["refused"]["code"] == "model_not_allowed"
    assert "no key 'x'" in edge_command("explain", str(request), "-c", str(path), "--key", "x").stderr
    assert edge_command("explain", str(request), "-c", str(path), "--path", "/health").returncode == 1


def test_check_prints_what_a_file_resolves_to_or_every_error(tmp_path):
    path = tmp_path / "edge.yaml"
    path.write_text(
        "providers: {a: {dialect: openai, base_url: http://x/v1, api_keys: [sk-canary]}}\nmodels: {m: {upstreams: [{to: a/b}]}}"
    )
    got = edge_command("check", str(path))
    assert got.returncode == 0
    assert "model      m -> a/b" in got.stdout
    assert "canary" not in got.stdout
    path.write_text("server: {prt: 1}\nproviders: {a: {dialect: openai}}")
    got = edge_command("check", str(path))
    assert got.returncode == 2
    assert "line 1: server.prt: unknown key, did you mean port?" in got.stderr
    assert "line 2: providers.a: the key 'base_url' is missing" in got.stderr
    assert "Traceback" not in got.stderr


def test_check_notes_what_is_hardly_meant_and_strict_refuses_it(tmp_path):
    path = tmp_path / "edge.yaml"
    path.write_text(
        "providers:\n  a:\n    dialect: openai\n    base_url: http://a.example.com\n    api_keys: ['${NOPE}', $KEY]\n"
        "cache: {redis: {url: 'redis://:${NOPE}@redis:6379'}}\n"
    )
    got = edge_command("check", str(path))
    assert (got.returncode, got.stdout) == (2, "")
    assert "line 5: providers.a.api_keys[0]: the environment variable NOPE is not set" in got.stderr
    assert "line 6: cache.redis.url: the environment variable NOPE is not set" in got.stderr
    for env, arguments in (({"NOPE": "sk-canary"}, []), ({}, ["--without-secrets"])):
        got = edge_command("check", *arguments, str(path), **env)
        assert got.returncode == 0, got.stderr
        assert "note       line 4: providers.a.base_url: goes to a public host without TLS" in got.stdout
        assert "note       line 4: providers.a.base_url: has no path: /v1 is added" in got.stdout
        assert "note       line 5: providers.a.api_keys[1]: has a variable that nothing replaces" in got.stdout
        assert "openai at http://a.example.com/v1" in got.stdout
        got = edge_command("check", "--strict", *arguments, str(path), **env)
        assert (got.returncode, got.stdout) == (2, "")
        assert "3 problems" in got.stderr
        assert "canary" not in got.stderr
    path.write_text(path.read_text().replace("http://a.example.com", "https://a.example.com/v1").replace(", $KEY", ""))
    assert edge_command("check", "--strict", str(path), NOPE="sk-canary").returncode == 0


def test_the_variables_of_a_kubernetes_service_stop_nothing(simulator):
    """Of Services called edge, edge-config and edge-front; and a secret that a file left its line end in."""
    env = {f"{name}_PORT": "tcp://10.0.0.1:8080" for name in ("EDGE", "EDGE_CONFIG", "EDGE_FRONT")}
    env |= {"EDGE_SERVICE_HOST": "10.0.0.1", "EDGE_SERVICE_PORT": "8080", "OPENAI_API_KEY": "sk-canary\r\n"}
    env = clean_environment(**env, OPENAI_BASE_URL=simulator.url.replace("http://", "HTTP://"))
    process = Process(sys.executable, "-m", "edge", "serve", "--port", "0", env=env)
    try:
        url = process.wait_for(r'"address":"(http://[^"]+)"')[1]
        wait_until_ready(url)
        before = simulator.count()
        body = {"model": "gpt-5", "messages": [{"role": "user", "content": "x"}]}
        assert httpx2.post(f"{url}/v1/chat/completions", json=body).status_code == 200
        entry = simulator.entry(before)
        assert ["authorization", "Bearer sk-canary"] in entry["headers"]
    finally:
        process.stop()


def test_init_writes_what_check_accepts_and_never_over_a_file(tmp_path):
    path = tmp_path / "edge.yaml"
    assert edge_command("init", str(path)).returncode == 0
    got = edge_command("check", str(path))
    assert got.returncode == 0, got.stderr
    assert "smart -> openai/gpt-5" in got.stdout
    assert load(str(path), {}).cache.mode == "off", "until somebody says so"
    assert "gpt-* -> openai" in got.stdout
    assert "any other, in the anthropic dialect -> anthropic" in got.stdout
    got = edge_command("init", str(path))
    assert got.returncode == 1
    assert "already exists" in got.stderr


def test_the_schema_accepts_what_check_accepts_and_refuses_what_it_refuses(tmp_path):
    schema = tmp_path / "schema.json"
    schema.write_text(edge_command("schema").stdout)
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    edge_command("init", str(good))
    bad.write_text(good.read_text().replace("workers: 1", "wokers: 1"))
    references = tmp_path / "references.yaml"
    references.write_text(good.read_text().replace("port: 8080", 'port: "${PORT:-8080}"'))

    def accepts(path):
        command = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(schema), str(path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60).returncode == 0

    assert accepts(good)
    assert accepts(references)
    assert not accepts(bad)
    assert edge_command("check", str(bad)).returncode == 2


def test_doctor_tells_how_things_are(simulator, tmp_path):
    got = edge_command("doctor")
    assert got.returncode == 0, got.stdout
    for expected in ("build", "python", "httpx2", "certificates", "prices         of 20", "OPENAI_API_KEY"):
        assert expected in got.stdout
    path = tmp_path / "edge.json"
    path.write_text(json.dumps({"providers": providers(simulator.url)}))
    got = edge_command("doctor", "-c", str(path), "--reach")
    assert got.returncode == 0
    assert got.stdout.count("provider ") == 2
    assert re.search(r"version anthropic +the client's, else 2023-06-01", got.stdout)
    pinned = {**providers(simulator.url)["anthropic"], "headers": {"Anthropic-Version": "2026-10-21"}}
    path.write_text(json.dumps({"providers": {"new": pinned}}))
    assert re.search(r"version new +2026-10-21, pinned; .*temperature", edge_command("doctor", "-c", str(path)).stdout)
    path.write_text(json.dumps({"providers": providers(f"http://127.0.0.1:{free_port()}")}))
    got = edge_command("doctor", "-c", str(path), "--reach")
    assert got.returncode == 1
    assert "Connection refused" in got.stdout


def test_bench_says_of_every_target_whether_it_is_met():
    """Its form and its exit code; how fast this machine is says nothing about a change."""
    got = edge_command("bench", "--quick")
    *table, verdict = got.stdout.splitlines()[1:]
    has_redis = shutil.which("redis-server") is not None
    assert table[0].split() == ["target", "ours", "verdict", "published"]
    rows = {line.split("  ")[0]: re.split(" {2,}", line)[1:] for line in table[1:]}
    assert list(rows) == [
        "total overhead, p50",
        "total overhead, p99",
        "the same by x-edge-overhead-ms, p99",
        "the same by Server-Timing, p99",
        "memory hit, p99",
        "Redis hit, p99",
        "routing, a name not seen before, p99",
        "server layer: a refusal, p99",
        "provider transform: a request and its answer, p99",
        "requests a second",
        "connections at once",
    ], got.stderr
    for what, (target, ours, met, published) in rows.items():
        assert re.match(r"(< |>= )?[\d,.-]+( ms)?$", target), what
        assert re.match(r"(< )?[\d.]+ ms$|-$", published), what
        assert met in ("met", "missed", "-")
        unjudged = ("lost in the noise", "no redis-server here") if met == "-" else ()
        assert ours in unjudged or re.match(r"[\d,.]+( |$)|\d+% were hits", ours), what
    assert (rows["Redis hit, p99"][1] == "no redis-server here") == (not has_redis)
    missed = [what for what, row in rows.items() if row[2] == "missed"]
    assert got.returncode == bool(missed)
    assert verdict.startswith(f"missed: {'; '.join(missed)}" if missed else ("all targets are met", "not judged: "))
    if verdict.startswith("not judged: "):
        assert {row[2] for row in rows.values()} == {"-"}


def test_serve_without_anything_says_what_to_do():
    got = edge_command("serve")
    assert got.returncode == 1
    assert "OPENAI_API_KEY" in got.stderr
    assert "edge demo" in got.stderr


def test_serve_refuses_an_open_address_without_keys():
    got = edge_command("serve", "--host", "0.0.0.0", OPENAI_API_KEY="x")
    assert got.returncode == 1
    assert "--insecure" in got.stderr


def test_serve_refuses_its_own_address_as_an_upstream():
    port = free_port()
    got = edge_command("serve", "--port", str(port), OPENAI_API_KEY="x", OPENAI_BASE_URL=f"http://localhost:{port}/v1")
    assert got.returncode == 1
    assert "own address" in got.stderr


def test_a_port_in_use_is_said_plainly(simulator):
    port = simulator.url.rpartition(":")[2]
    got = edge_command("serve", "--port", port, OPENAI_API_KEY="x")
    assert got.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in got.stderr
    assert "Traceback" not in got.stderr


def test_two_edges_do_not_share_a_port(edge):
    """SO_REUSEPORT would let them, and each would get some of the connections."""
    got = subprocess.run(
        [sys.executable, "-m", "edge", "serve", "--port", str(edge.port)],
        env=clean_environment(OPENAI_API_KEY="x"), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert got.returncode == 1
    assert f"cannot listen on 127.0.0.1:{edge.port}: Address already in use" in got.stderr


def test_a_missing_file_and_an_unreadable_secret_are_said_plainly(tmp_path):
    got = edge_command("serve", "-c", str(tmp_path / "nope.yaml"))
    assert (got.returncode, "No such file" in got.stderr, "Traceback" in got.stderr) == (1, True, False)
    path = tmp_path / "edge.yaml"
    path.write_text("providers: {a: {dialect: openai, base_url: http://x/v1, api_keys: ['file:/nope/key']}}")
    got = edge_command("serve", "-c", str(path))
    assert got.returncode == 1
    assert "providers.a.api_keys[0]: the secret file cannot be read: No such file or directory" in got.stderr
    path.write_text("providers: {a: {dialect: openai, base_url: https://x/v1, ca_file: /nope/ca.pem}}")
    got = edge_command("serve", "-c", str(path))
    assert (got.returncode, "ca_file" in got.stderr, "Traceback" in got.stderr) == (1, True, False)


def test_elsewhere_every_line_of_the_log_is_json(simulator, tmp_path):
    edge = Edge(tmp_path, {"providers": providers(simulator.url)})
    with running(edge):
        httpx2.post(f"{edge.url}/v1/chat/completions", json={"model": "gpt-5", "messages": []})
        edge.process.process.send_signal(signal.SIGHUP)
        edge.process.wait_for("reloading")
    for line in edge.process.lines:
        assert json.loads(line)["event"], line


def test_keys_of_the_environment_are_configuration_enough(simulator):
    env = clean_environment(OPENAI_API_KEY="sk-canary", OPENAI_BASE_URL=f"{simulator.url}/v1")
    process = Process(sys.executable, "-m", "edge", "serve", "--port", "0", env=env)
    try:
        url = process.wait_for(r'"address":"(http://[^"]+)"')[1]
        wait_until_ready(url)
        before = simulator.count()
        got = httpx2.post(
            f"{url}/v1/chat/completions", json={"model": "gpt-5", "messages": [{"role": "user", "content": "x"}]}
        )
        assert got.status_code == 200
        assert ["authorization", "Bearer sk-canary"] in simulator.entry(before)["headers"]
        assert "curl " not in process.output
        assert "canary" not in process.output
    finally:
        process.stop()


def test_the_demo_takes_its_simulator_along():
    process = Process(sys.executable, "-m", "edge", "demo", "--port", "0")
    try:
        simulator_url = process.wait_for(r"a simulator answers, at (http://[^/]+)")[1]
        wait_until_ready(process.wait_for(r'"address":"(http://[^"]+)"')[1])
        assert httpx2.get(f"{simulator_url}/health").status_code == 200
    finally:
        process.stop(signal.SIGINT)
    with pytest.raises(httpx2.TransportError):
        for _ in range(50):
            httpx2.get(f"{simulator_url}/health")


def test_the_readmes_python_runs_as_it_stands(simulator):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    process = Process(sys.executable, "-m", "edge", "demo", "--port", "0")
    try:
        url = process.wait_for(r'"address":"(http://[^"]+)"')[1]
        wait_until_ready(url)
        code = code.replace("http://127.0.0.1:8080", url)
        got = subprocess.run(
            [sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, timeout=60
        )
        assert got.returncode == 0, got.stderr
        assert len(got.stdout.splitlines()) == 2
    finally:
        process.stop()


def test_logs_have_no_prompt_and_no_key(simulator, tmp_path):
    made = Edge(tmp_path, {"providers": providers(simulator.url), "telemetry": {"log": {"level": "debug"}}})
    with running(made):
        headers = {"authorization": "Bearer canary-canary-canary", "x-request-id": "mine-1", "x-custom": "canary"}
        body = {"model": "gpt-x", "messages": [{"role": "user", "content": "canary"}], "user": "canary"}
        httpx2.post(f"{made.url}/v1/chat/completions?canary=1", json=body, headers=headers)
        httpx2.post(
            f"{made.url}/v1/chat/completions", content=b'{"canary', headers={"content-type": "application/json"}
        )
        httpx2.post(f"{made.url}/v1/canary/x", json={})
        made.process.wait_for('"request_id":"mine-1"')
    lines = [json.loads(line) for line in made.process.lines if line.startswith("{")]
    assert "canary" not in made.process.output
    assert "sk-upstream" not in made.process.output
    (line,) = [line for line in lines if line.get("request_id") == "mine-1"]
    assert line["status"] == 200
    assert line["model"] == "gpt-x"
    assert line["output_tokens"] > 0


def test_metrics_have_the_form_promtool_wants(edge_with_traffic):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not here (Debian: prometheus)")
    text = httpx2.get(f"{edge_with_traffic.url}/metrics").text
    got = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    complaints = [line for line in (got.stdout + got.stderr).splitlines() if line.startswith("edge_")]
    assert complaints == []


def test_metrics_count_requests_tokens_and_time(edge_with_traffic):
    text = httpx2.get(f"{edge_with_traffic.url}/metrics").text
    for expected in (
        r'edge_requests_total{code="200",endpoint="/v1/chat/completions",model="smart",provider="openai",stream="false",tenant=""} \d',
        r'edge_requests_total{code="200",endpoint="/v1/messages",model="wise",provider="anthropic",stream="true",tenant=""} \d',
        r'edge_request_duration_seconds_count{endpoint="/v1/messages",outcome="ok",stream="true"} \d',
        r'edge_overhead_seconds_count{cache="",endpoint="/v1/chat/completions"} \d',
        r'edge_upstream_duration_seconds_count{model="smart",provider="openai"} \d',
        r'edge_tokens_total{model="smart",provider="openai",tenant="",type="input"} \d',
        r'edge_tokens_total{model="wise",provider="anthropic",tenant="",type="output"} \d',
        r'edge_build_info{compiled="(true|false)",python="3\.\d+\.\d+",version="\d+\.\d+\.\d+"} 1\.0',
    ):
        assert re.search(f"^{expected}", text, re.MULTILINE), expected


@pytest.fixture
def edge_with_traffic(edge):
    said = [{"role": "user", "content": "hi"}]
    httpx2.post(f"{edge.url}/v1/chat/completions", json={"model": "smart", "messages": said})
    httpx2.post(f"{edge.url}/v1/messages", json={"model": "wise", "max_tokens": 20, "messages": said, "stream": True})
    return edge


def test_any_asgi_server_can_serve_it(simulator, tmp_path):
    path = tmp_path / "edge.json"
    path.write_text(json.dumps({"providers": providers(simulator.url)}))
    port = free_port()
    process = Process(
        *(sys.executable, "-m", "uvicorn", "--factory", "edge.server.asgi:create_app", "--port", str(port)),
        *("--log-level", "warning"),
        env=clean_environment(EDGE_CONFIG=str(path)),
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url)
        for _ in range(20):
            got = httpx2.post(
                f"{url}/v1/chat/completions", json={"model": "gpt-5", "messages": [{"role": "user", "content": "x"}]}
            )
            assert got.status_code == 200
        counts = re.findall(r"^edge_requests_total{.*} (\d+)", httpx2.get(f"{url}/metrics").text, re.MULTILINE)
        assert counts == ["20"]
    finally:
        process.stop()
