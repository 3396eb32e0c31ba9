"""A gateway that takes over from LiteLLM, with its configuration and the keys that its clients have."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import httpx2

from tests.harness import Process, clean_environment, free_port, wait_until_ready

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
    assert "is there already" in again.stderr

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
