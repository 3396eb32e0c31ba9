"""Keys that are certificates: whose a request is, by what its connection has shown."""

from __future__ import annotations

import contextlib
import json
import ssl
import time

import httpx2
import pytest

from edge import keys as issued
from edge.config.file import ConfigError, read
from edge.guard.auth import new_key
from tests.harness import Client, Edge, providers, running, until
from tests.http.test_tls import certificate, trusting

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
MESSAGES = {"model": "claude-sonnet-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
OTHER, DIGEST_OF_OTHER = new_key("other")
OWN, DIGEST_OF_OWN = new_key("own")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("certificates")
    certificate(made, "server")
    certificate(made, "authority")
    for name in ("billing", "support", "stranger", "operator"):
        certificate(made, name, "authority", f"URI:spiffe://example.com/{name}")
    return made


@pytest.fixture(scope="module")
def edge(simulator, folder, front, tmp_path_factory):
    keys = [
        {"id": "billing", "tenant": "finance", "certificates": ["URI:spiffe://example.com/billing"], "models": ["gpt-*"]},
        {"id": "own", "tenant": "finance", "digests": [DIGEST_OF_OWN]},
        {"id": "support", "certificates": ["subject:CN=support"], "models": ["claude-*"]},
        {"id": "other", "digests": [DIGEST_OF_OTHER]},
        {"id": "operator", "certificates": ["URI:spiffe://example.com/operator"], "admin": True},
    ]  # fmt: skip
    config = {
        "server": {"tls": tls(folder)},
        "auth": {"keys": keys, "failures_per_minute": 1_000_000},
        "providers": providers(simulator.url),
    }
    made = Edge(tmp_path_factory.mktemp("edge"), config, front=front, verify=showing(folder, "stranger"))
    with running(made):
        yield made


def tls(folder) -> dict[str, str]:
    return {"cert": f"{folder}/server.pem", "key": f"{folder}/server.key", "client_ca": f"{folder}/authority.pem"}


def showing(folder, name: str) -> ssl.SSLContext:
    context = trusting(folder)
    context.load_cert_chain(f"{folder}/{name}.pem", f"{folder}/{name}.key")
    return context


@contextlib.contextmanager
def shown(edge, folder, name: str):
    """A raw connection by a client with this certificate."""
    with Client(edge.port) as client:
        client.sock = showing(folder, name).wrap_socket(client.sock, server_hostname="localhost")
        yield client


def post(edge, folder, name: str, asked: dict, **headers: str) -> httpx2.Response:
    path = "messages" if asked is MESSAGES else "chat/completions"
    said = {key.replace("_", "-"): value for key, value in headers.items()}
    with httpx2.Client(verify=showing(folder, name)) as client:
        return client.post(f"{edge.url}/v1/{path}", json=asked, headers=said)


def code(got: httpx2.Response) -> str:
    return got.json()["error"].get("code", got.json()["error"]["type"])


def test_a_certificate_is_a_key_with_its_rights(edge, folder):
    assert post(edge, folder, "billing", CHAT).status_code == 200
    assert post(edge, folder, "billing", MESSAGES).status_code == 403
    assert post(edge, folder, "support", MESSAGES).status_code == 200
    assert post(edge, folder, "support", CHAT).status_code == 403
    got = post(edge, folder, "stranger", CHAT)
    assert (got.status_code, code(got)) == (401, "invalid_api_key")
    assert post(edge, folder, "stranger", CHAT, authorization=f"Bearer {OTHER}").status_code == 200


def test_what_a_client_says_because_it_has_to_say_something_is_passed_over(edge, folder):
    assert post(edge, folder, "billing", CHAT, authorization="Bearer unused").status_code == 200
    assert post(edge, folder, "billing", MESSAGES, x_api_key="unused-and-long-enough").status_code == 403


def test_a_key_beside_a_certificate_is_of_its_tenant(edge, folder):
    assert post(edge, folder, "billing", MESSAGES, x_api_key=OWN).status_code == 200, "the rights are those of the key"
    for headers in ({"authorization": f"Bearer {OTHER}"}, {"x_api_key": OTHER}):
        for _ in range(2):
            got = post(edge, folder, "billing", CHAT, **headers)
            assert (got.status_code, code(got)) == (400, "conflicting_credentials")
    assert post(edge, folder, "support", CHAT, authorization=f"Bearer {OWN}").status_code == 400


def test_the_same_bytes_on_connections_of_others_are_others(edge, folder):
    """What is remembered of a head, or of an Authorization, is not remembered of whose connection it was."""
    expected = {"billing": 200, "support": 403, "stranger": 401}
    with contextlib.ExitStack() as stack:
        clients = {name: stack.enter_context(shown(edge, folder, name)) for name in expected}
        for _ in range(4):
            for name, status in expected.items():
                clients[name].post("/v1/chat/completions", json.dumps(CHAT).encode())
                got, headers = clients[name].head()
                assert got == status, name
                clients[name].body(headers)
        expected = {"billing": 400, "support": 400, "stranger": 200}
        for _ in range(4):
            for name, status in expected.items():
                clients[name].post("/v1/chat/completions", json.dumps(CHAT).encode(), f"authorization: Bearer {OTHER}")
                got, headers = clients[name].head()
                assert got == status, name
                clients[name].body(headers)


def test_pages_know_an_admin_by_its_certificate(edge, folder):
    for name, status in {"operator": 200, "billing": 403, "stranger": 401}.items():
        with httpx2.Client(verify=showing(folder, name)) as client:
            assert client.get(f"{edge.url}/metrics").status_code == status
            assert client.post(f"{edge.url}/admin/api/explain", json=CHAT).status_code == status
    with httpx2.Client(verify=showing(folder, "operator")) as client:
        assert client.post(f"{edge.url}/admin/api/explain", json=CHAT).json()["key"] == "operator"


def test_nobody_without_a_certificate_is_let_in_by_a_key(edge, folder):
    with pytest.raises(httpx2.TransportError), httpx2.Client(verify=trusting(folder)) as client:
        client.post(f"{edge.url}/v1/chat/completions", json=CHAT, headers={"x-api-key": OWN})


def test_a_certificate_that_is_revoked_in_the_keys_file_is_refused_on_its_open_connection(
    simulator, folder, front, tmp_path, stalls
):
    file = str(tmp_path / "keys.json")
    for name in ("billing", "support"):
        issued.issue(file, name, {"certificates": [f"subject:CN={name}"]})
    config = {"server": {"tls": tls(folder)}, "auth": {"keys_file": file}, "providers": providers(simulator.url)}
    edge = Edge(tmp_path, config, front=front, verify=showing(folder, "billing"))

    def status(client: Client) -> int:
        client.post("/v1/chat/completions", json.dumps(CHAT).encode())
        got, headers = client.head()
        client.body(headers)
        return got

    with running(edge), shown(edge, folder, "billing") as client, shown(edge, folder, "support") as other:
        assert (status(client), status(other)) == (200, 200)
        issued.revoke(file, "billing")
        begun = time.monotonic()
        until(lambda: status(client) == 401, 5 + stalls.granted_s)
        assert time.monotonic() - begun < 5 + stalls.granted_s
        assert status(other) == 200


def test_names_without_an_authority_are_refused_at_the_start(simulator, tmp_path):
    import sys

    from tests.harness import Process

    path = tmp_path / "edge.json"
    keys = [{"id": "a", "certificates": ["DNS:a"]}]
    path.write_text(json.dumps({"auth": {"keys": keys}, "providers": providers(simulator.url)}))
    process = Process(sys.executable, "-m", "edge", "serve", "-c", str(path), "--port", "0")
    process.wait_for(r"auth.keys\[0\].certificates: needs 'server.tls.client_ca'")
    assert process.stop() != 0


def test_where_certificates_are_optional_a_key_will_do_and_one_of_a_stranger_s_authority_will_not(
    simulator, folder, front, tmp_path
):
    certificate(tmp_path, "elsewhere")
    keys = [
        {"id": "billing", "certificates": ["URI:spiffe://example.com/billing"]},
        {"id": "own", "digests": [DIGEST_OF_OWN]},
    ]
    config = {
        "server": {"tls": tls(folder) | {"client_certificates": "optional"}},
        "auth": {"keys": keys},
        "providers": providers(simulator.url),
    }
    edge = Edge(tmp_path, config, front=front, verify=trusting(folder))

    def status(context: ssl.SSLContext, **headers: str) -> int:
        with httpx2.Client(verify=context) as client:
            return client.post(f"{edge.url}/v1/chat/completions", json=CHAT, headers=headers).status_code

    with running(edge):
        assert status(trusting(folder)) == 401
        assert status(trusting(folder), **{"x-api-key": OWN}) == 200
        assert status(showing(folder, "billing")) == 200
        assert status(showing(folder, "stranger")) == 401
        assert status(showing(folder, "stranger"), **{"x-api-key": OWN}) == 200
        foreign = trusting(folder)
        foreign.load_cert_chain(f"{tmp_path}/elsewhere.pem", f"{tmp_path}/elsewhere.key")
        with pytest.raises(httpx2.TransportError):
            status(foreign, **{"x-api-key": OWN})


def test_optional_certificates_need_an_authority(tmp_path):
    path = tmp_path / "edge.json"
    told = {"cert": "/a.pem", "key": "/a.key", "client_certificates": "optional"}
    path.write_text(json.dumps({"server": {"tls": told}}))
    with pytest.raises(ConfigError, match=r"server.tls.client_certificates: needs 'server.tls.client_ca'"):
        read(str(path))
