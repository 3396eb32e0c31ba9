"""Reading the configuration."""

from __future__ import annotations

import gc

import pytest

from edge.config import Config, Secret
from edge.config.file import ConfigError, from_environment, load, parse, read, resolve

MINIMAL = "providers: {openai: {dialect: openai, base_url: 'https://api.example/v1', api_keys: [sk-canary]}}\n"


def errors(text: str, source: str = "edge.yaml", env: dict | None = None, **options) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, source, env or {}, **options)
    return caught.value.errors


@pytest.mark.parametrize("wanted", [True, False])
def test_no_garbage_is_looked_for_while_a_file_is_read(tmp_path, wanted, monkeypatch):
    at_work = []
    monkeypatch.setattr("edge.config.file.problems", lambda config, **_: at_work.append(gc.isenabled()) or [])
    path = tmp_path / "edge.yaml"
    path.write_text(MINIMAL)
    enabled = gc.isenabled()
    (gc.enable if wanted else gc.disable)()
    try:
        for reader in (read, load, resolve):
            reader(str(path), {})
            assert gc.isenabled() == wanted, "it is as it was"
        with pytest.raises(ConfigError):
            parse("a: [", "edge.yaml", {})
        assert gc.isenabled() == wanted
    finally:
        (gc.enable if enabled else gc.disable)()
    assert at_work == [False] * 3


def test_defaults():
    config = parse(MINIMAL, "edge.yaml", {})
    assert config.server.host == "127.0.0.1"
    assert config.server.port == 8080
    assert config.server.max_body_bytes == 35651584
    assert config.auth.open
    assert (config.resilience.connect_s, config.resilience.first_content_s, config.resilience.attempt_s) == (
        3,
        120,
        300,
    )
    assert (config.resilience.idle_s, config.resilience.total_s) == (60, 600)
    assert (config.resilience.retries, config.resilience.retry_budget) == (2, 0.2)
    assert config.providers["openai"].max_connections == 100


def test_yaml_toml_and_json_read_the_same():
    yaml = parse(MINIMAL + "server: {port: 81}\nmodels: {a: {upstreams: [{to: openai/x}]}}", "e.yaml", {})
    toml = parse(
        '[server]\nport = 81\n[providers.openai]\ndialect = "openai"\nbase_url = "https://api.example/v1"\n'
        'api_keys = ["sk-canary"]\n[[models.a.upstreams]]\nto = "openai/x"',
        "e.toml",
        {},
    )
    json = parse(
        '{"server":{"port":81},"providers":{"openai":{"dialect":"openai","base_url":"https://api.example/v1",'
        '"api_keys":["sk-canary"]}},"models":{"a":{"upstreams":[{"to":"openai/x"}]}}}',
        "e.json",
        {},
    )
    assert yaml == toml == json


def test_every_error_comes_at_once_with_path_line_and_suggestion():
    text = """\
server: {prot: 1, port: 99999}
auth:
  mode: key
  keys:
    - {id: a, digests: [nonsense]}
    - {id: b}
providers:
  openai:
    dialect: openai
    base_url: https://x
    api_keys: ["${MISSING}", 7]
models:
  smart:
    upstreams: [{to: openai/x, wieght: 2}]
telemetry: {log: {level: infos}}
resilience: {idle_s: 0}
tracing: {}
"""
    found = errors(text)
    for expected in (
        "line 1: server.prot: unknown key, did you mean port?",
        "line 1: server.port: must be a whole number from 0 to 65535 (got 99999)",
        "line 3: auth.mode: must be one of keys, none, did you mean keys?",
        "line 5: auth.keys[0].digests[0]: must be 'sha256:' and 64 hexadecimal digits",
        "line 6: auth.keys[1]: has neither 'digests' nor 'certificates': nobody could be it",
        "line 11: providers.openai.api_keys[0]: the environment variable MISSING is not set",
        "line 11: providers.openai.api_keys[1]: must be text: the secret",
        "line 14: models.smart.upstreams[0].wieght: unknown key",
        "line 15: telemetry.log.level: must be one of debug, info, warning, error, did you mean info?",
        "line 16: resilience.idle_s: must be a number above 0, 86400 at most (got 0)",
        "line 17: tracing: unknown key",
    ):
        assert any(line.startswith(expected) for line in found), (expected, found)
    assert len(found) == 11


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("server: [1", "line 1"),
        ("a: 1\na: 2", "line 2: a: the key appears twice"),
        ("server:\n  port: 1\n  port: 2", "line 3: server.port: the key appears twice"),
        ("- 1", "must be a mapping"),
        ("server: 5", "line 1: server: must be a mapping"),
        ("", "providers: at least one provider is needed"),
        ("!!python/object/apply:os.system [ls]", "a word that begins with ! has no meaning here"),
    ],
)
def test_what_is_no_configuration(text, expected):
    assert any(expected in line for line in errors(text))


def test_yaml_words_are_words_and_only_true_and_false_are_booleans():
    found = errors("auth: {mode: off, keys: no}\nproviders: {on: {dialect: yes, base_url: x, http2: on}}")
    assert "line 1: auth.mode: must be one of keys, none" in found
    assert any("http2: must be true or false (got the word on)" in line for line in found)
    assert parse(MINIMAL.replace("sk-canary", "off"), "e.yaml", {}).providers["openai"].api_keys == [Secret("off")]


def test_references_to_the_environment_and_to_files(tmp_path):
    secret = tmp_path / "key"
    secret.write_text("sk-from-file\n")
    text = f"""
server: {{port: "${{PORT:-81}}", host: "${{HOST}}"}}
providers:
  openai: {{dialect: openai, base_url: "http://${{NAME:-a.example}}/v1", api_keys: ["${{KEY}}", "file:{secret}"]}}
"""
    config = parse(text, "e.yaml", {"HOST": "127.0.0.2", "KEY": "sk-1", "NAME": ""})
    assert (config.server.port, config.server.host) == (81, "127.0.0.2")
    assert config.providers["openai"].base_url == "http://a.example/v1"
    assert config.providers["openai"].api_keys == [Secret("sk-1"), Secret("sk-from-file")]
    found = errors(text.replace(str(secret), "/nope/key"), env={"HOST": "x", "KEY": "y"})
    assert any("the secret file cannot be read: No such file or directory" in line for line in found)


def test_a_section_that_may_be_left_out_is_read_like_any_other(tmp_path):
    secret = tmp_path / "hmac"
    secret.write_text("signed\n")
    text = f"""
providers: {{p: {{dialect: openai, base_url: "http://127.0.0.1:1/v1"}}}}
cache: {{redis: {{url: "redis://:${{REDIS_PASSWORD}}@127.0.0.1:6379", hmac_key: "file:{secret}", ttl_s: 60}}}}
"""
    redis = parse(text, "edge.yaml", env := {"REDIS_PASSWORD": "open sesame"}).cache.redis
    assert redis is not None
    assert redis.url.reveal() == "redis://:open sesame@127.0.0.1:6379"
    assert redis.hmac_key == Secret("signed")
    assert (redis.ttl_s, redis.timeout_ms) == (60, 50)
    (found,) = errors(text.replace("ttl_s", "tll_s"), env=env)
    assert found == "line 3: cache.redis.tll_s: unknown key, did you mean ttl_s?"


def test_secrets_of_an_optional_section_are_read_as_others_are():
    redis = "cache: {redis: {url: 'redis://:${PASSWORD}@127.0.0.1:6379', hmac_key: sk-canary}}\n"
    section = parse(MINIMAL + redis, "edge.yaml", {"PASSWORD": "word"}).cache.redis
    assert section.url == Secret("redis://:word@127.0.0.1:6379")
    assert section.hmac_key == Secret("sk-canary")
    assert (
        parse(MINIMAL + "cache: {redis: {url: 'redis://h', hmac_key: null}}", "e.yaml", {}).cache.redis.hmac_key is None
    )
    (error,) = errors(MINIMAL + "cache: {redis: {url: 'redis://h', claster: true}}")
    assert "cache.redis.claster: unknown key, did you mean cluster?" in error
    assert "must be a mapping" in errors(MINIMAL + "cache: {redis: 'redis://h'}")[0]


def test_secrets_never_print(tmp_path):
    config = parse(MINIMAL, "e.yaml", {})
    assert "canary" not in repr(config) + str(config)
    # Wrong places and wrong shapes: a key must not come back in an error either.
    for text in (
        MINIMAL.replace("api_keys: [sk-canary]", "api_keys: ['sk canary']"),
        MINIMAL.replace("api_keys: [sk-canary]", "api_keys: {sk-canary: 1}"),
        "auth: {keys: [{id: a, digests: [sk-canary-canary]}]}\n" + MINIMAL.replace("sk-canary", "x"),
        "server: {port: '${K}'}\n" + MINIMAL.replace("sk-canary", "x"),
        "server: {host: sk-canary, port: sk-canary}\n" + MINIMAL.replace("sk-canary", "x"),
    ):
        assert "canary" not in "".join(
            line for line in errors(text, env={"K": "sk-canary"}) if "server.host" not in line
        )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("providers: {a: {dialect: openai, base_url: 'ftp://x'}}", "providers.a.base_url: must be an http"),
        ("providers: {a: {dialect: openai, base_url: 'http://u:p@x'}}", "must have no user"),
        ("providers: {a: {dialect: openai, base_url: 'http://x/v1?a=b'}}", "must have no user, query"),
        ("providers: {a: {dialect: openai, base_url: 'http://x:99999/'}}", "must be an http"),
        ("providers: {A b: {dialect: openai, base_url: 'http://x'}}", "1 to 64 lower-case letters"),
        (
            "providers: {a: {dialect: openai, base_url: 'http://x', headers: {'a b': c}}}",
            "not a header that can be set",
        ),
        ("providers: {a: {dialect: openai, base_url: 'http://x', headers: {host: c}}}", "not a header that can be set"),
        ("providers: {a: {dialect: openai, base_url: 'http://x', headers: {a: \"b\\nc\"}}}", "a header cannot carry"),
        ("providers: {a: {dialect: openai, base_url: 'http://127.0.0.1:8080/v1'}}", "this edge's own address"),
        ("providers: {a: {dialect: openai, base_url: 'http://localhost:8080'}}", "this edge's own address"),
        (MINIMAL + "models: {m: {upstreams: [{to: nope/x}]}}", "there is no provider 'nope'"),
        (MINIMAL + "models: {m: {upstreams: [{to: openai}]}}", "not of the form provider/model"),
        (MINIMAL + "models: {m: {upstreams: []}}", "at least one is needed"),
        (MINIMAL + "models: {m: {strategy: best, upstreams: [{to: openai/a}]}}", "must be one of round_robin"),
        (MINIMAL + "models: {m: {upstreams: [{to: openai/a, weight: 0}]}}", "must be a number from 0.001 to 1000"),
        (MINIMAL + "models: {m: {upstreams: [{to: openai/a}], fallbacks: n}}", "must be a list"),
        (MINIMAL + "models: {m: {upstreams: [{to: openai/a}], fallbacks: {any: [m]}}}", "falls back to itself"),
        (MINIMAL + "models: {m: {upstreams: [{to: openai/a}], fallbacks: {context_length: [n]}}}", "which is no alias"),
        (MINIMAL + "models: {m: {upstreams: [{to: openai/a}], fallbacks: {any: 3}}}", "fallbacks.any: must be a list"),
        (MINIMAL + "resilience: {breaker: {open_s: 9, max_open_s: 8}}", "must be at least 'open_s'"),
        (
            MINIMAL + "models: {m: {upstreams: [{to: openai/a}], fallbacks: [n]}}",
            "falls back to 'n', which is no alias",
        ),
        (MINIMAL + "models: {m: {upstreams: [{to: openai/a}], fallbacks: [m]}}", "falls back to itself"),
        (MINIMAL + "auth: {mode: keys}", "there is no key"),
        (MINIMAL + "server: {host: 0.0.0.0}", "is reachable from outside, and no keys are set"),
        (MINIMAL + "server: {host: example.com}\nauth: {mode: none}", "is reachable from outside"),
    ],
)
def test_rules_across_settings(text, expected):
    assert any(expected in line for line in errors(text)), errors(text)


def test_insecure_allows_an_open_address():
    assert parse(MINIMAL + "server: {host: 0.0.0.0}", "e.yaml", {}, insecure=True).server.host == "0.0.0.0"


def test_keys_with_the_same_id_or_digest_are_refused():
    digest = "sha256:" + "a" * 64
    keys = f"auth: {{keys: [{{id: a, digests: ['{digest}']}}, {{id: a, digests: ['{digest}']}}]}}\n"
    found = errors(keys + MINIMAL)
    assert "line 1: auth.keys[1].id: 'a' is used twice" in found
    assert "line 1: auth.keys[1].digests[0]: this digest is used twice" in found


class TestWithoutAFile:
    def test_each_key_makes_its_provider(self):
        config = from_environment({"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b"})
        assert config.providers["openai"].base_url == "https://api.openai.com/v1"
        assert config.providers["anthropic"].base_url == "https://api.anthropic.com/v1"
        assert from_environment({"OPENAI_API_KEY": "", "ANTHROPIC_API_KEY": ""}) == Config()

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("http://x:1", "http://x:1/v1"),
            ("http://x:1/", "http://x:1/v1"),
            ("http://x/v1", "http://x/v1"),
            ("", "https://api.anthropic.com/v1"),
        ],
    )
    def test_anthropics_base_url_gets_its_v1(self, given, expected):
        config = from_environment({"ANTHROPIC_API_KEY": "b", "ANTHROPIC_BASE_URL": given})
        assert config.providers["anthropic"].base_url == expected

    def test_openais_base_url_is_used_as_it_is(self):
        config = from_environment({"OPENAI_API_KEY": "b", "OPENAI_BASE_URL": "http://x:1/v2/"})
        assert config.providers["openai"].base_url == "http://x:1/v2"

    def test_no_key_at_all_says_what_to_do(self):
        with pytest.raises(ConfigError, match="edge demo"):
            resolve(None, {})

    def test_edge_config_names_the_file(self, tmp_path):
        path = tmp_path / "e.yaml"
        path.write_text(MINIMAL)
        assert resolve(None, {"EDGE_CONFIG": str(path), "ANTHROPIC_API_KEY": "x"}).config == load(str(path), {})

    def test_a_missing_file_is_an_error_that_names_it(self):
        with pytest.raises(ConfigError, match=r"/nope\.yaml: 1 problem\n.*No such file"):
            load("/nope.yaml", {})
