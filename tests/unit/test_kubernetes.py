"""deploy/kubernetes: the chart and what is rendered of it, by the schemas of Kubernetes, and by what the program knows."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from edge import __version__
from edge.cli import main
from edge.config.file import parse
from edge.routes import RESERVED, match
from edge.server.access import ACCESS, ALIVE, READY
from edge.telemetry.families import FAMILIES

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
CHART = FOLDER / "chart"
OLDEST, VERSION = "1.30", "1.34"
PATHS = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
OPERATORS = {"ServiceMonitor", "PrometheusRule"}
"""Kinds of Prometheus's operator, which Kubernetes has no schema of."""


def objects(folder: str) -> dict[str, dict]:
    found = [yaml.safe_load(path.read_text()) for path in sorted((FOLDER / folder).glob("*.yaml"))]
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found if "metadata" in each}


BASE = objects("base")
REDIS = objects("components/redis")
MONITORING = objects("components/monitoring")
ALL = {**BASE, **MONITORING, **REDIS}
NAME = "llm-edge-agent"


def pod(which: dict) -> dict:
    return which["spec"]["template"]["spec"]


def program(name: str) -> str:
    found = shutil.which(name, path=PATHS)
    if found is None:
        pytest.skip(f"{name} is not here (make tools)")
    return found


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rendered(chart: Path = CHART, **values: object) -> dict[str, dict]:
    """What a chart has of these values, by kind and name; it is of Kubernetes' schemas, the oldest and a newer one."""
    command = [program("helm"), "template", NAME, str(chart), "--kube-version", f"{VERSION}.0", "-f", "-"]
    done = subprocess.run(command, input=yaml.safe_dump(values), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = [each for each in yaml.safe_load_all(done.stdout) if each]
    validate(told)
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in told}


def edges_config(component: str, folder: Path):
    """What the edges would read, with the files of secrets in this folder."""
    text = objects(component)[f"ConfigMap/{NAME}"]["data"]["edge.yaml"]
    for path in set(re.findall(r"file:(/\S+)|keys_file: (/\S+)", text)):
        place = next(filter(None, path))
        name = Path(place).name
        content = {"url": "redis://:secret@redis:6379", "keys.json": '{"keys": []}'}.get(name, "x" * 48)
        (folder / name).write_text(content)
        text = text.replace(place, str(folder / name))
    return parse(text, "edge.yaml", {}, insecure=True)


def test_base_and_components_are_what_the_chart_renders():
    """After a change: python tools/build_manifests.py"""
    program("helm")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/build_manifests.py"), "--check"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_helm_takes_the_chart_and_refuses_values_that_it_does_not_know():
    helm = program("helm")
    run(helm, "lint", "--strict", str(CHART))
    for wrong in ("replica=3", "redis.replicas=2", "service.type=Elsewhere"):
        command = [helm, "template", "edge", str(CHART), "--kube-version", f"{VERSION}.0", "--set", wrong]
        assert subprocess.run(command, capture_output=True, timeout=60).returncode != 0, wrong


def test_everything_that_can_be_set_renders():
    told = rendered(
        redis={"enabled": True},
        monitoring={"enabled": True},
        ingress={"enabled": True, "tlsSecretName": "tls"},
        autoscaling={"inFlight": 100},
        config={"server": {"drain_s": 120, "drain_delay_s": 7}},
    )
    assert pod(told[f"Deployment/{NAME}"])["terminationGracePeriodSeconds"] >= 5 + 7 + 120
    hurried = rendered(preStopSeconds=3, config={"server": {"drain_s": 0}})
    assert pod(hurried[f"Deployment/{NAME}"])["terminationGracePeriodSeconds"] == 3 + 10
    metrics = told[f"HorizontalPodAutoscaler/{NAME}"]["spec"]["metrics"]
    (of_pods,) = [each["pods"]["metric"]["name"] for each in metrics if each["type"] == "Pods"]
    assert of_pods in {family.name for family in FAMILIES}
    paths = [each["path"] for each in told[f"Ingress/{NAME}"]["spec"]["rules"][0]["http"]["paths"]]
    assert all(match(f"{path.removesuffix('/v1')}/v1/models".encode()).route.lists for path in paths)
    assert not any(path.strip("/").split("/")[0] in RESERVED for path in paths)
    fixed = rendered(autoscaling={"enabled": False}, replicas=1, networkPolicy={"enabled": False})
    assert fixed[f"Deployment/{NAME}"]["spec"]["replicas"] == 1
    assert not {name for name in fixed if name.startswith(("HorizontalPodAutoscaler", "NetworkPolicy"))}


def test_a_configuration_may_name_variables_and_files_of_other_secrets():
    told = rendered(
        env=[{"name": "OPENAI_API_KEY", "valueFrom": {"secretKeyRef": {"name": "providers", "key": "openai"}}}],
        envFrom=[{"secretRef": {"name": "more"}}],
        volumes=[{"name": "authority", "configMap": {"name": "authority"}}],
        volumeMounts=[{"name": "authority", "mountPath": "/etc/edge/authority", "readOnly": True}],
        secretName="mine",
    )
    deployment = pod(told[f"Deployment/{NAME}"])
    (edge,) = deployment["containers"]
    assert [each["name"] for each in edge["env"]] == ["EDGE_CONFIG", "OPENAI_API_KEY"]
    assert edge["envFrom"] == [{"secretRef": {"name": "more"}}]
    assert {each["name"] for each in edge["volumeMounts"]} == {each["name"] for each in deployment["volumes"]}
    assert {"secretName": "mine", "defaultMode": 0o440} in [each.get("secret") for each in deployment["volumes"]]


def test_who_asks_an_edge_with_tls_for_health_or_metrics_asks_by_https():
    tls = {"cert": "/etc/edge/secrets/tls.crt", "key": "/etc/edge/secrets/tls.key"}
    for config, scheme in (({}, "HTTP"), ({"server": {"tls": tls}}, "HTTPS")):
        told = rendered(config=config, monitoring={"enabled": True, "tlsConfig": {"serverName": "edge"}})
        (edge,) = pod(told[f"Deployment/{NAME}"])["containers"]
        assert {edge[f"{probe}Probe"]["httpGet"]["scheme"] for probe in ("startup", "liveness", "readiness")} == {
            scheme
        }
        (endpoint,) = told[f"ServiceMonitor/{NAME}"]["spec"]["endpoints"]
        assert (endpoint["scheme"], endpoint["tlsConfig"]) == (scheme.lower(), {"serverName": "edge"})
        (port,) = told[f"Service/{NAME}"]["spec"]["ports"]
        assert port["appProtocol"] == scheme.lower()
    # What asks for health has no certificate to show: a pod would never become ready.
    tls |= {"client_ca": "/etc/edge/secrets/ca.crt"}
    with pytest.raises(AssertionError, match="client_certificates"):
        rendered(config={"server": {"tls": tls}})
    rendered(config={"server": {"tls": {**tls, "client_certificates": "optional"}}})


def test_the_notes_of_an_installation_have_the_address_by_which_it_serves(tmp_path):
    """They are rendered as what is in a ConfigMap, since helm shows notes of what it installs alone."""
    chart = shutil.copytree(CHART, tmp_path / "chart")
    (chart / "files/notes").write_text((chart / "templates/NOTES.txt").read_text())
    (chart / "templates/notes.yaml").write_text(
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\ndata: {said: {{ tpl (.Files.Get "files/notes") . | toJson }}}\n'
    )
    tls = {"cert": "/etc/edge/secrets/tls.crt", "key": "/etc/edge/secrets/tls.key"}
    for config, address in (
        ({}, f"http://{NAME}.default/v1"),
        ({"server": {"tls": tls}}, f"https://{NAME}.default:80/v1"),
    ):
        assert address in rendered(chart, config=config)["ConfigMap/notes"]["data"]["said"]


def test_policies_leave_a_way_to_names_and_from_outside_where_the_service_has_one():
    told = rendered(redis={"enabled": True})
    policies = [each["spec"] for name, each in told.items() if name.startswith("NetworkPolicy/")]
    assert len(policies) == 2
    for policy in policies:
        (names,) = [each for each in policy["egress"] if {"port": 53, "protocol": "UDP"} in each["ports"]]
        assert {"port": 53, "protocol": "TCP"} in names["ports"]
        assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in names["to"], "the cache of names on each machine"
    (inside,) = told[f"NetworkPolicy/{NAME}"]["spec"]["ingress"]
    assert inside["from"] == [{"namespaceSelector": {}}]
    peers = [{"podSelector": {"matchLabels": {"app": "mine"}}}]
    for kind in ("NodePort", "LoadBalancer"):
        (outside,) = rendered(service={"type": kind})[f"NetworkPolicy/{NAME}"]["spec"]["ingress"]
        assert "from" not in outside
        (chosen,) = rendered(service={"type": kind}, networkPolicy={"from": peers})[f"NetworkPolicy/{NAME}"]["spec"][
            "ingress"
        ]
        assert chosen["from"] == peers


def validate(told: list[dict]) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not here")
    for version in (OLDEST, VERSION):
        for each in told:
            if each["kind"] not in OPERATORS:
                kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("folder", ["base", "components/redis", "components/monitoring"])
def test_what_is_rendered_is_of_kubernetes_schemas(folder):
    validate(list(objects(folder).values()))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_built_and_of_kubernetes_schemas(overlay):
    told = list(yaml.safe_load_all(run(program("kustomize"), "build", str(FOLDER / "overlays" / overlay))))
    validate(told)
    assert {each["metadata"].get("namespace") for each in told if each["kind"] != "Namespace"} == {NAME}
    kinds = {f"{each['kind']}/{each['metadata']['name']}": each for each in told}
    assert (f"StatefulSet/{NAME}-redis" in kinds) == (overlay == "production")
    if overlay == "production":
        config = kinds[f"ConfigMap/{NAME}"]["data"]["edge.yaml"]
        assert config == REDIS[f"ConfigMap/{NAME}"]["data"]["edge.yaml"]
        assert set(ALL) <= set(kinds)


def test_the_configuration_is_one_that_the_program_takes(tmp_path):
    config = edges_config("base", tmp_path)
    deployment = pod(BASE[f"Deployment/{NAME}"])
    (edge,) = deployment["containers"]
    assert edge["ports"] == [{"name": "http", "containerPort": config.server.port}]
    stop = edge["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert deployment["terminationGracePeriodSeconds"] > stop + config.server.drain_delay_s + config.server.drain_s
    assert config.cache.redis is None
    with_redis = edges_config("components/redis", tmp_path)
    assert with_redis.cache.redis is not None
    assert with_redis.cache.redis.cluster


def test_the_pods_command_flags_and_variables_are_the_programs():
    (edge,) = pod(BASE[f"Deployment/{NAME}"])["containers"]
    command, *words = edge["args"]
    command: click.Command = main.commands[command]
    command.make_context("serve", words)
    source = (ROOT / "edge/cli.py").read_text()
    assert all(f'"{each["name"]}"' in source for each in edge["env"])
    assert edge["image"].endswith(f":{__version__}")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert edge[probe]["httpGet"]["path"] in (READY if probe == "readinessProbe" else ALIVE)


def test_every_file_of_a_secret_is_mounted_where_the_configuration_looks(tmp_path):
    for component in ("base", "components/redis"):
        deployment = pod(objects(component)[f"Deployment/{NAME}"])
        (edge,) = deployment["containers"]
        places = {each["name"]: each["mountPath"] for each in edge["volumeMounts"]}
        assert set(places) == {each["name"] for each in deployment["volumes"]}
        text = objects(component)[f"ConfigMap/{NAME}"]["data"]["edge.yaml"]
        for place in re.findall(r"(?:file:|keys_file: )(/\S+)", text):
            assert str(Path(place).parent) in places.values(), place
        (config,) = [each["value"] for each in edge["env"] if each["name"] == "EDGE_CONFIG"]
        assert str(Path(config).parent) == places["config"]
        assert Path(config).name in objects(component)[f"ConfigMap/{NAME}"]["data"]


@pytest.mark.parametrize("name", [name for name in ALL if name.split("/")[0] in ("Deployment", "StatefulSet", "Job")])
def test_a_pod_has_no_rights(name):
    told = pod(ALL[name])
    assert told["securityContext"]["runAsNonRoot"] is True
    assert told["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert told["automountServiceAccountToken"] is False
    for container in told["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


def test_selectors_find_the_pods_that_they_are_for():
    labels = {
        name: each["spec"]["template"]["metadata"]["labels"]
        for name, each in ALL.items()
        if "template" in each.get("spec", {})
    }
    edge, redis = labels[f"Deployment/{NAME}"], labels[f"StatefulSet/{NAME}-redis"]
    for name, each in ALL.items():
        spec = each.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector")
        if selector is None:
            continue
        wanted = selector.get("matchLabels", selector)
        pods = redis if name.endswith("-redis") else edge
        assert wanted.items() <= pods.items(), name
        others = [found for found in labels.values() if found is not pods]
        assert not any(wanted.items() <= found.items() for found in others), name


def test_what_is_named_is_there():
    """Ports, services, deployments, accounts and files by the names that others know them by."""
    deployment = BASE[f"Deployment/{NAME}"]
    (edge,) = pod(deployment)["containers"]
    ports = {each["name"] for each in edge["ports"]}
    service = BASE[f"Service/{NAME}"]
    assert {each["targetPort"] for each in service["spec"]["ports"]} <= ports
    (policy,) = BASE[f"NetworkPolicy/{NAME}"]["spec"]["ingress"]
    assert {each["port"] for each in policy["ports"]} == ports
    target = BASE[f"HorizontalPodAutoscaler/{NAME}"]["spec"]["scaleTargetRef"]
    assert f"{target['kind']}/{target['name']}" in BASE
    monitor = MONITORING[f"ServiceMonitor/{NAME}"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert (
        not monitor["selector"]["matchLabels"].items() <= REDIS[f"Service/{NAME}-redis"]["metadata"]["labels"].items()
    )
    (endpoint,) = monitor["endpoints"]
    assert ACCESS[endpoint["path"]] == (("GET", "HEAD"), "admin")
    for each in (*BASE.values(), *REDIS.values()):
        for volume in pod(each)["volumes"] if "template" in each.get("spec", {}) else ():
            if "configMap" in volume:
                assert f"ConfigMap/{volume['configMap']['name']}" in ALL, each["kind"]
    assert f"ServiceAccount/{pod(deployment)['serviceAccountName']}" in BASE
    # The Secrets that are no part of it: what the page has people put there.
    page = (ROOT / "docs/deployment.md").read_text()
    told = set(re.findall(r"--from-file=(\S+)", page))
    config = BASE[f"ConfigMap/{NAME}"]["data"]["edge.yaml"]
    files = set(re.findall(r"/etc/edge/secrets/(\S+)", config))
    assert told == files | {endpoint["authorization"]["credentials"]["key"]}
    of_redis = {
        key for name in REDIS if name.split("/")[0] in ("Deployment", "StatefulSet", "Job") for key in items(name)
    }
    assert all(f"`{key}`" in page for key in of_redis)
    assert of_redis == {"password", "url"}


def items(name: str) -> list[str]:
    """Which keys of Secrets a pod of the component with Redis takes by name."""
    secrets = [volume["secret"] for volume in pod(REDIS[name])["volumes"] if "secret" in volume]
    return [each["key"] for secret in secrets for each in secret.get("items", [])]


def test_prometheus_operator_is_given_the_same_rules_and_grafana_the_same_dashboards():
    for name in ("recording", "alerts"):
        rules = yaml.safe_load((ROOT / f"deploy/prometheus/{name}.yml").read_text())
        assert MONITORING[f"PrometheusRule/{NAME}-{name}"]["spec"] == rules
    (endpoint,) = MONITORING[f"ServiceMonitor/{NAME}"]["spec"]["endpoints"]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "edge"}], "the job that the rules ask for"
    assert endpoint["port"] in {each["name"] for each in BASE[f"Service/{NAME}"]["spec"]["ports"]}
    for path in (ROOT / "deploy/grafana/dashboards").glob("*.json"):
        (text,) = MONITORING[f"ConfigMap/{NAME}-{path.stem}"]["data"].values()
        assert json.loads(text) == json.loads(path.read_text())


def test_redis_is_started_and_joined_by_the_files_of_compose():
    data = REDIS[f"ConfigMap/{NAME}-redis"]["data"]
    for name, text in data.items():
        assert text.strip() == (ROOT / "deploy/compose/redis" / name).read_text().strip()
    stateful = REDIS[f"StatefulSet/{NAME}-redis"]["spec"]
    service = REDIS[f"Service/{NAME}-redis"]
    assert service["spec"]["clusterIP"] == "None"
    assert stateful["serviceName"] == service["metadata"]["name"]
    (join,) = pod(REDIS[f"Job/{NAME}-redis-join"])["containers"]
    nodes = [f"{NAME}-redis-{n}.{NAME}-redis:6379" for n in range(stateful["replicas"])]
    assert join["command"][2:] == nodes
    (edges,) = [
        each["to"] for each in REDIS[f"NetworkPolicy/{NAME}"]["spec"]["egress"] if "podSelector" in each["to"][0]
    ]
    assert edges[0]["podSelector"]["matchLabels"] == stateful["selector"]["matchLabels"]


def test_a_node_that_starts_finds_the_others_by_their_names(tmp_path):
    """Where addresses change with every start: those of the last time are put right in the file that Redis reads."""
    old = "\n".join(
        f"{'abc'[n] * 40} 10.0.0.{n}:6379@16379,redis-{n}.redis,,shard-id={n} {'myself,' if n == 0 else ''}master - 0 0 {n} connected"
        for n in range(3)
    )
    (tmp_path / "nodes.conf").write_text(f"{old}\nvars currentEpoch 3 lastVoteEpoch 0\n")
    stubs = {
        "getent": 'case $2 in redis-0.redis) echo "10.9.9.1 STREAM $2";; redis-1.redis) echo "10.9.9.2 STREAM $2";; *) exit 2;; esac',
        "redis-server": 'cat "$1"',
    }
    (tmp_path / "bin").mkdir()
    for name, script in stubs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "password").write_text("secret")
    (tmp_path / "redis.conf").write_text("port 6379\n")
    env = {
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "PASSWORD_FILE": str(tmp_path / "password"),
        "ANNOUNCE": "redis-0.redis",
        "CONF": str(tmp_path / "redis.conf"),
        "RUN": str(tmp_path / "bin"),
        "NODES": str(tmp_path / "nodes.conf"),
    }
    done = subprocess.run(
        [str(ROOT / "deploy/compose/redis/start")], env=env, capture_output=True, text=True, timeout=10
    )
    assert done.returncode == 0, done.stderr
    assert "cluster-announce-hostname redis-0.redis" in done.stdout
    nodes = (tmp_path / "nodes.conf").read_text()
    addresses = re.findall(r"(\S+):6379@16379,redis-(\d)", nodes)
    assert addresses == [("10.9.9.1", "0"), ("10.9.9.2", "1"), ("10.0.0.2", "2")], (
        "who has no address yet keeps the old one"
    )
    assert nodes.endswith("vars currentEpoch 3 lastVoteEpoch 0\n")


def test_the_builder_says_what_it_needs():
    made = runpy.run_path(str(ROOT / "tools/build_manifests.py"))
    assert set(made["COMPONENTS"]) == {path.name for path in (FOLDER / "components").iterdir()}
