"""``python tools/build_manifests.py [--check]``: deploy/kubernetes/base and components, from the chart beside them.

The chart's values are the one source. What it renders with them is the base; what it has more or otherwise with
monitoring, or with Redis, is a component of kustomize each: new objects as they are, changed ones as patches. Needs
helm (``make tools``). ``--check`` writes nothing and ends with 1 if something differs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "kubernetes"
RELEASE = "llm-edge-agent"
COMPONENTS = {"monitoring": ["monitoring.enabled=true"], "redis": ["redis.enabled=true"]}
KUBERNETES = "1.34.0"
WRITTEN = "# Written by tools/build_manifests.py from the chart.\n"
HELMS = ("helm.sh/", "app.kubernetes.io/managed-by")
"""Labels and annotations that are Helm's own."""

Object = dict[str, Any]


def helm() -> str | None:
    return shutil.which("helm", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def rendered(*settings: str) -> dict[str, Object]:
    """The objects by kind and name, without what is Helm's own."""
    program = helm()
    if program is None:
        sys.exit("helm is not here: make tools")
    command = [program, "template", RELEASE, str(FOLDER / "chart"), "--kube-version", KUBERNETES]
    for each in settings:
        command += ["--set", each]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - helm
    if done.returncode != 0:
        sys.exit(done.stderr)
    found = [without_helms(each) for each in yaml.safe_load_all(done.stdout) if each]
    return {f"{each['kind']}-{each['metadata']['name']}".lower(): each for each in found}


def without_helms(what: Any) -> Any:
    if isinstance(what, list):
        return [without_helms(each) for each in what]
    if not isinstance(what, dict):
        return what
    kept = {name: without_helms(each) for name, each in what.items() if not name.startswith(HELMS)}
    return {name: each for name, each in kept.items() if name != "annotations" or each}


class Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    style = "|" if "\n" in data else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


Dumper.add_representer(str, text)


def written(what: Object) -> str:
    return WRITTEN + yaml.dump(what, Dumper=Dumper, sort_keys=False, width=120)


def kustomization(kind: str, resources: list[str], patches: list[str]) -> str:
    whole: Object = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    if kind == "Component":
        whole = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
    if resources:
        whole["resources"] = resources
    if patches:
        whole["patches"] = [{"path": each} for each in patches]
    return written(whole)


def files() -> Iterator[tuple[str, str]]:
    """What there is to be, by its path below the folder."""
    base = rendered()
    for name, each in base.items():
        yield f"base/{name}.yaml", written(each)
    yield "base/kustomization.yaml", kustomization("Kustomization", [f"{name}.yaml" for name in base], [])
    for component, settings in COMPONENTS.items():
        objects = rendered(*settings)
        new = [name for name in objects if name not in base]
        changed = [name for name in objects if name in base and objects[name] != base[name]]
        for name in [*new, *changed]:
            yield f"components/{component}/{name}.yaml", written(objects[name])
        lists = [f"{name}.yaml" for name in new], [f"{name}.yaml" for name in changed]
        yield f"components/{component}/kustomization.yaml", kustomization("Component", *lists)


def main() -> int:
    wanted = dict(files())
    there = {
        path.relative_to(FOLDER).as_posix(): path
        for part in ("base", "components")
        for path in (FOLDER / part).rglob("*.yaml")
    }
    differing = [name for name, what in wanted.items() if name not in there or there[name].read_text() != what]
    surplus = [name for name in there if name not in wanted]
    if "--check" in sys.argv:
        print("\n".join([*differing, *surplus]))
        return 1 if differing or surplus else 0
    for name in surplus:
        there[name].unlink()
    for name in differing:
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(wanted[name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
