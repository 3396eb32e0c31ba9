"""deploy/compose: files that are of their schema, and in agreement with each other and with the program."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
import yaml

from edge.config.file import parse

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "compose"
COMPOSE = yaml.safe_load((FOLDER / "compose.yml").read_text())
SERVICES: dict[str, dict] = COMPOSE["services"]
JOBS = {"redis-cluster", "jaeger-folder"}
"""Those that end."""
PUBLISHED = {"edge", "grafana", "jaeger"}


def edge_yaml(folder: Path) -> str:
    """The edges' configuration, with secrets in this folder."""
    for name in SERVICES["edge"]["secrets"]:
        (folder / name).write_text(
            {"redis_url": "redis://:secret@redis:6379", "edge_keys": '{"keys": []}'}.get(name, "x" * 48)
        )
    return (FOLDER / "edge.yaml").read_text().replace("/run/secrets/", f"{folder}/")


def test_it_is_of_the_specifications_schema():
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not here")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(FOLDER / "compose.yml")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_limits_and_its_health_is_looked_at(name):
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory"}
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    if name in JOBS:
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["healthcheck"]["test"][0] == "CMD"
    assert ("ports" in service) == (name in PUBLISHED)
    if "build" not in service:
        assert re.search(r":v?\d+\.\d+", service["image"]), "an image without a version"
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert (FOLDER / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], source
    assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])


def test_what_people_reach_is_on_loopback_unless_said_otherwise():
    for name in PUBLISHED:
        (port,) = SERVICES[name]["ports"]
        assert port.startswith(("127.0.0.1:", "${EDGE_ADDRESS:-127.0.0.1}:")), port
    assert SERVICES["edge"]["deploy"]["replicas"] == 2
    assert "8080-8081" in SERVICES["edge"]["ports"][0]


def test_the_variables_are_those_of_the_example():
    used = set(re.findall(r"\$\{(\w+)", (FOLDER / "compose.yml").read_text()))
    used |= set(re.findall(r"^provider (\w+)", (FOLDER / "prepare").read_text(), re.MULTILINE))
    example = dict(re.findall(r"^(\w+)=(.*)$", (FOLDER / ".env.example").read_text(), re.MULTILINE))
    assert used == set(example)
    for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", (FOLDER / "compose.yml").read_text()):
        assert example[name] == default, name


def test_every_secret_is_made_and_used():
    made = set(re.findall(r"\bgive (\w+)", (FOLDER / "prepare").read_text()))
    made |= set(re.findall(r"^provider \w+ (\w+)", (FOLDER / "prepare").read_text(), re.MULTILINE))
    used = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    assert made == used == set(COMPOSE["secrets"])
    assert {Path(each["file"]).name for each in COMPOSE["secrets"].values()} == made
    named = set(re.findall(r"/run/secrets/(\w+)", (FOLDER / "edge.yaml").read_text()))
    assert named == set(SERVICES["edge"]["secrets"])


def test_the_edges_configuration_agrees_with_the_services(tmp_path):
    config = parse(edge_yaml(tmp_path), "edge.yaml", {}, insecure=True)
    server = config.server
    grace = SERVICES["edge"]["stop_grace_period"]
    assert server.drain_delay_s + server.drain_s < int(grace.removesuffix("s"))
    assert SERVICES["edge"]["ports"][0].endswith(f":{server.port}")
    assert config.cache.redis is not None
    assert config.cache.redis.cluster
    nodes = [SERVICES[f"redis-{n}"] for n in (1, 2, 3)]
    assert all("redis" in node["networks"]["redis"]["aliases"] for node in nodes)
    addresses = [f"{node['networks']['redis']['ipv4_address']}:6379" for node in nodes]
    assert SERVICES["redis-cluster"]["entrypoint"][2:] == addresses
    (pool,) = COMPOSE["networks"]["redis"]["ipam"]["config"]
    fixed = {ip_address(each.partition(":")[0]) for each in addresses}
    assert all(address in ip_network(pool["subnet"]) for address in fixed)
    assert not any(address in ip_network(pool["ip_range"]) for address in fixed), "it would be given to another first"
    assert "redis://:%s@redis:6379" in (FOLDER / "prepare").read_text()
    receiver = yaml.safe_load((FOLDER / "jaeger.yml").read_text())["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    assert config.telemetry.tracing.otlp_endpoint == f"http://jaeger:{receiver.rpartition(':')[2]}"


def test_redis_keeps_what_was_spent_and_forgets_answers():
    conf = dict(re.findall(r"^([a-z-]+) (.+)$", (FOLDER / "redis/redis.conf").read_text(), re.MULTILINE))
    assert (conf["maxmemory"], conf["maxmemory-policy"]) == ("2gb", "allkeys-lru")
    assert (conf["appendonly"], conf["cluster-enabled"]) == ("yes", "yes")
    assert conf["save"]
    assert "requirepass" not in conf


def test_prometheus_scrapes_every_edge_and_keeps_thirty_days(tmp_path):
    told = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert told["global"]["scrape_interval"] == "15s"
    assert "--storage.tsdb.retention.time=30d" in SERVICES["prometheus"]["command"]
    (job,) = told["scrape_configs"]
    assert job["job_name"] == "edge", "which the rules ask for"
    (found,) = job["dns_sd_configs"]
    assert found["names"] == ["edge"]
    assert SERVICES["edge"]["ports"][0].endswith(f":{found['port']}")
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not here (Debian: prometheus)")
    for volume in SERVICES["prometheus"]["volumes"]:
        source, _, place = volume.partition(":")
        if source.startswith("."):
            shutil.copy(FOLDER / source, tmp_path / Path(place.removesuffix(":ro")).name)
    # The key is a file that is not here.
    path = tmp_path / "compose.yml"
    (tmp_path / "key").touch()
    path.write_text(path.read_text().replace("/run/secrets/edge_admin_key", str(tmp_path / "key")))
    done = subprocess.run(["promtool", "check", "config", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_is_told_where_its_sources_are():
    sources = (ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text()
    environment = SERVICES["grafana"]["environment"]
    for variable in re.findall(r"url: \$(\w+)", sources):
        host, port = re.fullmatch(r"http://(\w+):(\d+)", environment[variable]).groups()
        assert host in SERVICES
        assert port in {"prometheus": "9090", "jaeger": "16686"}[host]
    assert environment["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_password"


def test_jaeger_keeps_its_spans_on_its_volume():
    told = yaml.safe_load((FOLDER / "jaeger.yml").read_text())
    kept = told["extensions"]["jaeger_storage"]["backends"]["kept"]["badger"]
    assert kept["ephemeral"] is False
    assert {Path(place).parent for place in kept["directories"].values()} == {Path("/badger")}
    assert "jaeger:/badger" in SERVICES["jaeger"]["volumes"]
    assert told["exporters"]["jaeger_storage_exporter"]["trace_storage"] == "kept"
    page = told["extensions"]["jaeger_query"]["http"]["endpoint"].rpartition(":")[2]
    assert SERVICES["jaeger"]["ports"][0].endswith(f":{page}")
    health = told["extensions"]["healthcheckv2"]["http"]["endpoint"].rpartition(":")[2]
    assert f":{health}/" in SERVICES["jaeger"]["healthcheck"]["test"][-1]
