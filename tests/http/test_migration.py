"""A gateway that takes over from LiteLLM, with its configuration and the keys that its clients have."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import httpx2
import yaml

from edge.migration.litellm import import_litellm
from tests.harness import (
    PATIENT,
    Edge,
    Process,
    clean_environment,
    free_port,
    providers,
    running,
    until,
    wait_until_ready,
)

CONFIG = """
model_list:
  - model_name: fast
    litellm_params: {{model: openai/gpt-5-mini, api_base: "{url}/v1", api_key: canary-of-the-provider}}
  - model_name: claude
    litellm_params: {{model: anthropic/claude-haiku-4-5, api_base: "{url}", api_key: canary-of-the-provider}}
router_settings: {{model_group_alias: {{gpt-4: fast}}}}
general_settings: {{master_key: os.environ/LITELLM_MASTER_KEY}}
"""
MASTER, VIRTUAL = "sk-master-key-of-old", "sk-virtual-key-of-old"


def test_clients_keep_their_keys_and_their_models(simulator, tmp_path: Path):
    theirs, keys, ours = tmp_path / "config.yaml", tmp_path / "keys.json", tmp_path / "edge.yaml"
    theirs.write_text(CONFIG.format(url=simulator.url))
    digest = sha256(VIRTUAL.encode()).hexdigest()
    keys.write_text(json.dumps({"keys": [{"token": digest, "key_alias": "team-a", "models": ["fast", "gpt-4"]}]}))
    command = [sys.executable, "-m", "edge", "import", "litellm", str(theirs), "--keys", str(keys), "-o", str(ours)]
    environment = clean_environment(LITELLM_MASTER_KEY=MASTER)
    made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    assert "set OPENAI_API_KEY_2 in the environment" in made.stderr
    assert "canary" not in made.stderr + made.stdout + ours.read_text()
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert again.returncode == 1
    assert "already exists" in again.stderr

    url = f"http://127.0.0.1:{(port := free_port())}"
    secret = clean_environment(OPENAI_API_KEY_2="canary-of-the-provider")
    edge = Process(sys.executable, "-m", "edge", "serve", "-c", str(ours), "--port", str(port), env=secret)
    try:
        wait_until_ready(url)

        def ask(model: str, key: str, path: str = "/chat/completions") -> int:
            body = {"model": model, "max_tokens": 16, "messages": [{"role": "user", "content": "Say hello."}]}
            return httpx2.post(
                url + path, json=body, headers={"authorization": f"Bearer {key}"}, timeout=10
            ).status_code

        assert ask("fast", VIRTUAL) == 200
        assert ask("gpt-4", VIRTUAL) == 200
        assert ask("claude", VIRTUAL) == 403
        assert ask("claude", MASTER, "/v1/messages") == 200
        assert ask("fast", "sk-somebody-else-entirely") == 401
    finally:
        edge.stop()


EXAMPLES = {path.stem: path.read_text() for path in sorted((Path(__file__).parents[1] / "litellm").glob("*.yaml"))}
ROUTES = {
    "embedding": ("/embeddings", {"input": "Say hello."}),
    "rerank": ("/rerank", {"query": "hello", "documents": ["Say hello."]}),
    "chat": ("/chat/completions", {"messages": [{"role": "user", "content": "Say hello."}]}),
}


def keyed(token: str) -> dict[str, object]:
    return {"keys": [{"id": "a", "digests": [f"sha256:{sha256(token.encode()).hexdigest()}"]}]}


def test_each_model_of_each_example_answers_a_first_request(simulator, tmp_path: Path):
    """One edge takes the imported configurations one after the other, each with another key, by which it is known. Names for
    the patterns of an example follow ``Ask:`` in its first line.
    """
    edge = Edge(tmp_path, {"providers": providers(simulator.url), "auth": keyed("sk-before-any-example")})
    asked = 0
    with running(edge):
        for name, text in EXAMPLES.items():
            imported = import_litellm(text, {})
            if not imported.serves:
                continue
            config = yaml.safe_load(re.sub(r"\$\{[^}]+\}", "a", imported.yaml))
            for provider in config["providers"].values():
                provider["base_url"] = f"{simulator.url}/v1"
            config["server"].pop("port")
            config.get("cache", {}).pop("redis", None)
            config["resilience"] = {**config.get("resilience", {}), **PATIENT}
            token = f"sk-for-the-example-{name}"
            edge.path.write_text(json.dumps({**config, "auth": keyed(token)}))
            edge.process.process.send_signal(signal.SIGHUP)
            headers = {"authorization": f"Bearer {token}"}
            until(lambda headers=headers: httpx2.get(f"{edge.url}/v1/models", headers=headers).status_code == 200)
            patterns = re.findall(r"[^ ,]+", text.splitlines()[0].partition("Ask: ")[2])
            for model in [*config.get("models", {}), *patterns]:
                path, body = next((ROUTES[kind] for kind in ROUTES if kind in model), ROUTES["chat"])
                answer = httpx2.post(f"{edge.url}/v1{path}", json={"model": model, **body}, headers=headers)
                assert answer.status_code == 200, (name, model, answer.text)
                asked += 1
    assert asked >= 70


def test_the_environment_makes_a_file_that_serves(simulator, tmp_path: Path):
    ours = tmp_path / "edge.yaml"
    environment = clean_environment(OPENAI_API_KEY="sk-canary", OPENAI_BASE_URL=f"{simulator.url}/v1")
    command = [sys.executable, "-m", "edge", "import", "env", "-o", str(ours)]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    check = [sys.executable, "-m", "edge", "check", "--strict", str(ours)]
    checked = subprocess.run(check, env=environment, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
    assert "canary" not in ours.read_text()
    none = subprocess.run(command[:-2], env=clean_environment(), capture_output=True, text=True, timeout=60)
    assert none.returncode == 1
    assert "OPENAI_API_KEY" in none.stderr
