"""The matrix: SDKs of the current and the previous major, LangChain, a coding agent, each with its own HTTP stack.

Other environments than this one are looked for in the folder EDGE_CLIENTS names (``make test`` makes them); what is absent
is skipped aloud.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge.guard.auth import new_key
from tests.harness import Edge, clean_environment, providers, running

pytestmark = pytest.mark.heavy

CLIENTS = Path(__file__).parents[1] / "clients"


@pytest.fixture(scope="module")
def urls(simulator, tmp_path_factory):
    config = {
        "providers": providers(simulator.url),
        "models": {
            "smart": {"upstreams": [{"to": "openai/gpt-4o"}]},
            "wise": {"upstreams": [{"to": "anthropic/claude-sonnet-5"}]},
        },
        "resilience": {"retries": 0},  # what the SDKs ask again is counted
    }
    folder = tmp_path_factory.mktemp("edge")
    edge = Edge(folder, config)
    guarded = Edge(folder, {**config, "auth": {"keys": [{"id": "a", "digests": [new_key("a")[1]]}]}})
    with running(edge, guarded):
        yield edge.url, guarded.url, simulator.url


def python_of(environment: str) -> str:
    if environment == "current":
        return sys.executable
    folder = os.environ.get("EDGE_CLIENTS")
    python = Path(folder or "/nowhere") / environment / "bin" / "python"
    if not python.exists():
        pytest.skip(f"EDGE_CLIENTS has no environment '{environment}' (make test makes it)")
    return str(python)


@pytest.mark.parametrize("environment", ["current", "previous"])
def test_the_sdks_of_two_majors_do_what_their_users_do(urls, environment):
    command = [python_of(environment), str(CLIENTS / "matrix.py"), *urls]
    got = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=180)
    assert got.returncode == 0, got.stderr
    found = json.loads(got.stdout.splitlines()[-1])
    results = found["results"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    print(f"\n{versions}: {sum(result == 'ok' for result in results.values())} of {len(results)} scenarios")
    for name in sorted({name.rpartition(" ")[0] for name in results}):
        print(f"  {name:36}" + " ".join(f"{kind} {results[f'{name} {kind}'][:2]:4}" for kind in ("sync", "async")))
    assert {name: result for name, result in results.items() if result != "ok"} == {}


def test_langchain_does_what_its_users_do(urls):
    command = [python_of("langchain"), str(CLIENTS / "langchain.py"), urls[0]]
    got = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=120)
    assert got.returncode == 0, got.stderr
    results = json.loads(got.stdout.splitlines()[-1])
    assert len(results) == 7
    assert {name: result for name, result in results.items() if result != "ok"} == {}


def test_a_coding_agent_through_nodes_http_stack(urls):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not here")
    command = [node, str(CLIENTS / "coding_agent.mjs"), urls[0]]
    got = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=60)
    assert got.stdout.strip() == "ok", got.stderr
