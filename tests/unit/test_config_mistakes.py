"""What people get wrong in a configuration, and what they are told."""

from __future__ import annotations

import re

import pytest

from edge.config import Config
from edge.config.file import ConfigError, parse
from edge.config.words import settings_of, unknown_key

P = "providers: {openai: {dialect: openai, base_url: 'https://api.example/v1', api_keys: [sk-canary-0123456789]}}\n"
K = "auth: {keys: [{id: a, digests: ['sha256:" + "a" * 64 + "'], %s}]}\n" + P
M = P + "models: {smart: {%s}}\n"
U = "upstreams: [{to: openai/gpt-5}]"
JARGON = re.compile(
    r"`|regex|\bint\b|\bstr\b|\bfloat\b|\bbool\b|\bdict\b|scalar|mapping values|token|block end|flow|NoneType|expected"
)
"""Words of parsers and of Python, which no message has."""

MISTAKES = {
    # YAML
    "a tab": ("server:\n\tport: 1\n" + P, "line 2: there is a tab: YAML is indented with spaces"),
    "an unclosed quote": ('server:\n  host: "127.0.0.1\n' + P, "line 2: a quotation mark that opens here is never closed"),
    "text behind a quote": ("server: \n  host: 'it's'\n" + P, "line 2: text behind a closing quotation mark"),
    "an unclosed bracket": ("auth: {keys: [\nserver: {port: 1}\n", "line 1: a bracket that opens here is not closed"),
    "a reference in braces": ("server: {host: ${HOST}}\n" + P, "line 1: a bracket that opens here is not closed, a comma is missing, or a ${NAME} needs quotes"),
    "two colons": ("server: host: x\n" + P, "line 1: a ':' where none can be: mend the indentation, or put the text in quotes"),
    "one blank too few": ("server:\n  port: 1\n host: x\n" + P, "line 3: the indentation does not fit the lines above"),
    "a line without a colon": ("server: {port: 1}\nproviders\nmodels: {}\n", "line 3: a line without ':'"),
    "a star": ("models:\n  a:\n    fallbacks: [*]\n" + P, "line 3: text that begins with * or & needs quotes"),
    "a starred pattern": ("x: [*-mini]\n" + P, "line 1: text that begins with * or & needs quotes"),
    "an at sign": ("server: {host: @x}\n" + P, "line 1: text that begins with @, % or a backquote needs quotes"),
    "a backslash": ('server: {host: "C:\\path"}\n' + P, r"line 1: a backslash in double quotes: write \\, or use single quotes"),
    "a tag": ("server: {host: !secret x}\n" + P, "line 1: a word that begins with ! has no meaning here"),
    "two documents": (P + "---\nserver: {}\n", "line 2: the file holds more than one document"),
    "a list beside keys": ("server: {port: 1}\n- a\n", "line 2: the indentation does not fit"),
    "a zero byte": ("server: {host: \x00}\n" + P, "has a character that text has not"),
    "a key twice": ("server:\n  port: 1\n  port: 2\n" + P, "line 3: server.port: the key appears twice"),
    # Structure
    "nothing below a key": ("server:\nport: 1\n" + P, "line 1: server: must be a mapping (it is empty: what belongs to it is indented below it)"),
    "a key on the wrong level": ("port: 81\n" + P, "line 1: port: unknown key here; it belongs below server: mend the indentation"),
    "a section on the wrong level": ("server:\n  keys: []\n" + P, "line 2: server.keys: unknown key here; it belongs below auth: mend the indentation"),
    "providers as a list": ("providers:\n  - {dialect: openai}\n", "line 1: providers: must be a mapping, with a name and a ':' before each of its parts (got a list)"),
    "a list as the file": ("- a\n", "the file: must be a mapping (got a list)"),
    "a string for a section": ("cache: all\n" + P, "line 1: cache: must be a mapping (got text)"),
    "a missing key": ("providers: {a: {dialect: openai}}\n", "line 1: providers.a: the key 'base_url' is missing"),
    # Other programs' words
    "LiteLLM": ("model_list:\n  - model_name: x\n" + P, "line 1: model_list: unknown key: this is LiteLLM's form: here 'providers' has the addresses"),
    "LiteLLM's settings": ("litellm_settings: {}\n" + P, "line 1: litellm_settings: unknown key: this is LiteLLM's form"),
    "api_key": (P.replace("api_keys", "api_key"), "line 1: providers.openai.api_key: unknown key, did you mean api_keys?"),
    "api_base": (P.replace("base_url", "api_base"), "line 1: providers.openai.api_base: unknown key, did you mean base_url?"),
    "baseUrl": (P.replace("base_url", "baseUrl"), "providers.openai.baseUrl: unknown key, did you mean base_url?"),
    "rpm": (K % "rpm: 5", "auth.keys[0].rpm: unknown key, did you mean requests_per_minute?"),
    "a typo": ("resilence: {}\n" + P, "line 1: resilence: unknown key, did you mean resilience?"),
    "a typo in a typo": ("telemetry: {log: {levle: info}}\n" + P, "telemetry.log.levle: unknown key, did you mean level?"),
    # Types and ranges
    "a number in quotes": ('server: {port: "8080"}\n' + P, "server.port: must be a whole number from 0 to 65535 (got a number in quotes: leave them out)"),
    "a word for a number": ("server: {workers: auto}\n" + P, "server.workers: must be a whole number from 1 to 256 (got text)"),
    "a fraction": ("server: {workers: 1.5}\n" + P, "server.workers: must be a whole number from 1 to 256 (got 1.5)"),
    "out of range": ("server: {port: 99999}\n" + P, "server.port: must be a whole number from 0 to 65535 (got 99999)"),
    "zero seconds": ("resilience: {idle_s: 0}\n" + P, "resilience.idle_s: must be a number above 0, 86400 at most (got 0)"),
    "a unit": ("resilience: {idle_s: 60s}\n" + P, "resilience.idle_s: must be a number above 0, 86400 at most (got text)"),
    "yes for true": ("cache: {join: yes}\n" + P, "cache.join: must be true or false (got the word yes)"),
    "off for false": (K % "admin: off", "auth.keys[0].admin: must be true or false (got the word off)"),
    "a boolean for a word": ("cache: {mode: true}\n" + P, "cache.mode: must be one of off, deterministic, all"),
    "a wrong word": ("cache: {mode: on}\n" + P, "cache.mode: must be one of off, deterministic, all"),
    "a typo in a word": ("auth: {mode: key}\n" + P, "auth.mode: must be one of keys, none, did you mean keys?"),
    "another dialect": (P.replace("dialect: openai", "dialect: azure"), "providers.openai.dialect: must be one of openai, anthropic"),
    "a number for text": (K % "tenant: 7", "auth.keys[0].tenant: must be text (got 7: put it in quotes)"),
    "a date for text": (P.replace("api_keys", "query: {api-version: 2024-10-21}, api_keys"), "providers.openai.query.api-version: must be text (got a date: put it in quotes)"),
    "a string for a list": (M % f"{U}, fallbacks: gpt-4o", "models.smart.fallbacks: must be a list (got a single value: put it in square brackets)"),
    "a secret for a list": (P.replace("[sk-canary-0123456789]", "sk-canary-0123456789"), "providers.openai.api_keys: must be a list (got a single value: put it in square brackets)"),
    "a mapping for a list": (M % "upstreams: {to: openai/gpt-5}", "models.smart.upstreams: must be a list (got a mapping: put '- ' before each part)"),
    "a string for an upstream": (M % "upstreams: [openai/gpt-5]", "models.smart.upstreams[0]: must be a mapping, as in {to: ...} (got text)"),
    "an empty list": (M % "upstreams: []", "models.smart.upstreams: is empty: at least one is needed"),
    "too many": ((K % "admin: true").replace("digests: [", "digests: [a, b, "), "auth.keys[0].digests: has 3 parts, and may have 2"),
    "a key for its digest": ("auth: {keys: [{id: a, digests: [lea_a_canary]}]}\n" + P, "auth.keys[0].digests[0]: must be 'sha256:' and 64 hexadecimal digits, as 'edge key new' prints it: not the key itself"),
    "a name with a blank": (P.replace("{openai:", "{Open AI:"), "providers.Open AI: must be 1 to 64 lower-case letters, digits, - and _, a letter or digit first"),
    "a NUL": (P.replace("openai:", "a: {dialect: openai, base_url: 'https://a.example/v1', ca_file: \"a\\0\"}, openai:"), "providers.a.ca_file: has a NUL in it, or half of a character"),
    "a NUL in the name of a secret": (P.replace("sk-canary-0123456789", '"file:/canary\\0"'), "providers.openai.api_keys[0]: has a NUL in it, or half of a character"),
    "a NUL in the name of a trace": ('telemetry: {trace_file: "a\\0"}\n' + P, "telemetry.trace_file: has a NUL in it, or half of a character"),
    # References
    "an unset variable": (P.replace("sk-canary-0123456789", '"${NOPE}"'), "providers.openai.api_keys[0]: the environment variable NOPE is not set"),
    "two unset variables": (P.replace("sk-canary-0123456789", '"${NOPE}${NEITHER}"'), "the environment variables NOPE, NEITHER are not set"),
    "an empty variable": (P.replace("sk-canary-0123456789", '"${EMPTY}"'), "providers.openai.api_keys[0]: the environment variable EMPTY is not set"),
    "a Service's variable": ('server: {port: "${EDGE_PORT}"}\n' + P, "the variable holds an address, as Kubernetes sets it for a Service of that name"),
    "a variable of the wrong type": ('server: {port: "${CANARY}"}\n' + P, "server.port: must be a whole number from 0 to 65535 (got text from the environment)"),
    "a missing file": (P.replace("sk-canary-0123456789", "file:/nope/key"), "the secret file cannot be read: No such file or directory"),
    # Rules
    "everybody and keys": (K.replace("auth: {", "auth: {mode: none, ") % "admin: true", "auth.mode: is 'none', which lets everybody in, but there are keys"),
    "names that nobody shows": (K % "certificates: ['DNS:a']", "auth.keys[0].certificates: needs 'server.tls.client_ca'"),
    "a name of no kind": (K % "certificates: [billing]", "auth.keys[0].certificates[0]: must be a name that a certificate has: 'DNS:', 'URI:', 'email:', 'IP:' or 'subject:' and what it is"),
    "a key that nobody could be": ("auth: {keys: [{id: a}]}\n" + P, "auth.keys[0]: has neither 'digests' nor 'certificates'"),
    "a name of two": ("server: {tls: {cert: a, key: b, client_ca: c}}\nauth: {keys: [{id: a, certificates: ['DNS:a.b']}, {id: b, certificates: ['IP:::1', 'DNS:A.b']}]}\n" + P, "auth.keys[1].certificates[1]: this name is used twice"),
    "no such provider": (M % "upstreams: [{to: opanai/gpt-5}]", "models.smart.upstreams[0].to: there is no provider 'opanai'"),
    "no such alias": (M % f"{U}, fallbacks: [gpt-4o]", "models.smart.fallbacks[0]: falls back to 'gpt-4o', which is no alias"),
    "no scheme": (P.replace("https://", ""), "providers.openai.base_url: must be an http:// or https:// URL with a host, as https://HOST/v1"),
    "/v1 twice": (P.replace("/v1", "/v1/v1"), "providers.openai.base_url: has /v1 twice"),
    "no Redis address": (P + "cache: {redis: {url: localhost:6379}}", "cache.redis.url: must be redis://host:port or rediss://host:port"),
}  # fmt: skip
ENVIRON = {"EMPTY": " \n", "EDGE_PORT": "tcp://10.0.0.1:8080", "CANARY": "canary"}


def errors(text: str, source: str = "edge.yaml") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, source, ENVIRON)
    return caught.value.errors


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_in_a_sentence(name):
    text, expected = MISTAKES[name]
    found = errors(text)
    assert any(line.startswith(expected) or expected in line for line in found), found
    for line in found:
        assert "canary" not in line
        assert not JARGON.search(line.replace(expected, "")), line
        assert not JARGON.search(expected)


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        ('{"server": {"port": 1},}', "edge.json", "line 1: "),
        ('{\n"a": 1,\n"a": 2}', "edge.json", "the key 'a' appears twice"),
        ("[server]\nport = ", "edge.toml", "invalid value at its end"),
        ("[server]\nport = 1\nport = 2\n", "edge.toml", "line 3: "),
    ],
)
def test_json_and_toml_name_the_line(text, source, expected):
    (line,) = errors(text, source)
    assert line.startswith(expected)


def test_half_of_a_character_that_json_has_cut_in_two_is_no_text():
    text = '{"telemetry": {"trace_file": "\\ud800"}, "server": {"host": "\\udfff"}, "providers": {}}'
    wrong = [line.partition(": has a NUL in it, or half of a character") for line in errors(text, "edge.json")]
    assert {where for where, found, _ in wrong if found} == {"telemetry.trace_file", "server.host"}


def test_structure_repeated_keys_references_secrets_and_rules_are_told_in_one_run():
    text = """\
server: {port: x, port: 1, hots: y}
auth:
  mode: none
  keys:
    - {id: a, digests: [nonsense], requests_per_minute: none}
    - {id: a, digests: ["sha256:%s"]}
providers:
  openai: {dialect: openai, base_url: "ftp://x", api_keys: ["${MISSING}", "a b", "file:/nope"]}
  other: {dialect: nope, headers: {"a b": c}}
models:
  smart: {upstreams: [{to: nowhere/x}, {to: openai/x}], fallbacks: [gone]}
cache: {redis: {url: "http://x", ttl_s: -1}}
""" % ("b" * 64)
    found = errors(text)
    for expected in (
        "line 1: server.port: the key appears twice",
        "line 1: server.hots: unknown key, did you mean host?",
        "line 3: auth.mode: is 'none'",
        "line 5: auth.keys[0].digests[0]: must be",
        "line 5: auth.keys[0].requests_per_minute: must be a whole number from 1 to 1000000000",
        "line 6: auth.keys[1].id: 'a' is used twice",
        "line 8: providers.openai.base_url: must be an http://",
        "line 8: providers.openai.api_keys[0]: the environment variable MISSING is not set",
        "line 8: providers.openai.api_keys[1]: has a space in it",
        "line 8: providers.openai.api_keys[2]: the secret file cannot be read",
        "line 9: providers.other: the key 'base_url' is missing",
        "line 9: providers.other.dialect: must be one of",
        "line 9: providers.other.headers.a b: is not a header",
        "line 11: models.smart.upstreams[0].to: there is no provider 'nowhere'",
        "line 11: models.smart.fallbacks[0]: falls back to 'gone'",
        "line 12: cache.redis.url: must be redis://",
        "line 12: cache.redis.ttl_s: must be a number above 0, 31536000 at most (got -1)",
    ):
        assert any(line.startswith(expected) for line in found), (expected, found)
    assert len(found) == 17, found
    lines = [int(re.match(r"line (\d+)", line)[1]) for line in found[1:]]
    assert lines == sorted(lines)


def test_nothing_is_told_of_what_only_follows_from_a_mistake():
    """Of what stands in for something wrong: no provider that is missing, no key that is not there."""
    assert len(errors("server: {host: 0.0.0.0}\nauth: {keys: x}\n" + P)) == 1
    assert len(errors("providers: [a]\nmodels: {m: {upstreams: [{to: 5}]}}")) == 2
    assert len(errors("providers: {a: {dialect: x, base_url: 5}}\nmodels: {m: {upstreams: [{to: a/b}]}}")) == 2


@pytest.mark.parametrize("setting", [path for path in settings_of() if path.count(".") == 1])
def test_every_setting_is_found_from_the_wrong_level(setting):
    told = unknown_key(Config, setting.rpartition(".")[2], "")
    assert "did you mean" in told or setting.rpartition(".")[0] in told
