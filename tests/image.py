"""``python -m tests.image [FOLDER]``: the steps of deploy/docker/Dockerfile in a tree of Debian's, where no engine runs.

Needs root, debootstrap and the network, and takes some minutes. FOLDER (build/image) keeps the trees; what is in them already is
not made again, but for the edge itself. ``install.sh`` builds the edge in one tree and is run in another, as in the two stages of
the image. There the edge is the first process of a PID namespace, on a root that is mounted read-only, as a user without rights
and without capabilities: it answers, tells its health, and ends with 0 when it is asked to.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import yaml

from tests.harness import Process, Simulator, clean_environment, free_port, providers, running, wait_until_ready
from tests.wheels import REQUESTS, ROOT

SUITE = "bookworm"
STAGES = {
    "build": "python3,ca-certificates,python3-venv,python3-dev,gcc,libc6-dev,binutils",
    "run": "python3,ca-certificates",
}
"""The packages of each stage, in the place of those that the official Python's images have or add."""
COPIED = ("edge", "requirements", "CHANGELOG.md", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py")
NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.so", "*.c", "_compiled")
KEPT = ("PATH", "PIP_CERT", "PIP_INDEX_URL", "PIP_FIND_LINKS", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def settings(name: str) -> dict[str, str]:
    """What the Dockerfile says the image's environment is."""
    said = (ROOT / "deploy/docker/Dockerfile").read_text()
    block = said[said.index(f"\n{name} ") :].split("\nUSER")[0].replace("\\\n", " ")
    return dict(each.split("=", 1) for each in block.split()[1:])


def chroot(tree: Path, *command: str) -> None:
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    env["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    subprocess.run(["chroot", str(tree), *command], env=env, check=True, timeout=1800)


def remove(folder: Path) -> None:
    """Nothing that is mounted below is touched: then nothing is removed at all."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    below = [place for place in mounted if Path(place).is_relative_to(folder.resolve())]
    if below:
        sys.exit(f"{folder} is not removed, since there are mounts in it: {', '.join(below)}")
    if folder.exists():
        shutil.rmtree(folder)


def trees(folder: Path) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, packages in STAGES.items():
        if (folder / name / "made").exists():
            continue
        remove(folder / name)
        # What debootstrap mounts in the tree, /proc for one, is there for it alone, and gone with it however it ends.
        command = [
            "unshare",
            "--mount",
            "debootstrap",
            "--variant=minbase",
            f"--include={packages}",
            SUITE,
            str(folder / name),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=1800)
        (folder / name / "made").touch()
    return folder / "build", folder / "run"


def build(folder: Path) -> Path:
    """The tree that serves."""
    first, second = trees(folder)
    # What was compiled before stays in src/build, and is compiled again only if it has changed.
    stale = [first / "src" / name for name in COPIED if (ROOT / name).is_dir()]
    for path in (*stale, first / "opt/edge", second / "opt/edge"):
        remove(path)
    (first / "src").mkdir(exist_ok=True)
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, first / "src" / name, **({"ignore": NOT_COPIED} if (ROOT / name).is_dir() else {}))
    for tree in (first, second):
        shutil.copy(ROOT / "deploy/docker/install.sh", tree / "install.sh")
        shutil.copy("/etc/resolv.conf", tree / "etc/resolv.conf")
    if (certificates := Path(os.environ.get("PIP_CERT", ""))).is_file():
        shutil.copy(certificates, first / str(certificates).lstrip("/"))
    chroot(first, "/install.sh", "build", "/src")
    shutil.copytree(first / "opt/edge", second / "opt/edge", symlinks=True)
    if "edge:" not in (second / "etc/passwd").read_text():
        chroot(second, "/install.sh", "run")
    return second


def enter(tree: Path) -> tuple[str, ...]:
    """The beginning of a command that runs as the engine would run it."""
    script = (
        f"mount --bind {tree} {tree} && mount -t proc proc {tree}/proc && mount -o remount,bind,ro {tree} && "
        f'exec chroot {tree} setpriv --reuid 10001 --regid 10001 --clear-groups --bounding-set=-all --no-new-privs "$@"'
    )
    return ("unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "sh", "-euc", script, "sh")


def prove(tree: Path) -> None:
    env = {**clean_environment(), **settings("ENV")}
    env["PATH"] = env["PATH"].replace("$PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    simulator = Simulator()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    config = {"server": {"port": port, "drain_s": 5}, "providers": providers(simulator.url)}
    (tree / "etc/edge/edge.yaml").write_text(yaml.safe_dump(config))
    process = Process(*enter(tree), "edge", "serve", env=env, cwd=tree)
    with running(simulator):
        try:
            process.wait_for('"event":"ready"')
            wait_until_ready(url)
            for path, request in REQUESTS.items():
                assert httpx2.post(f"{url}{path}", json=request, timeout=30).status_code == 200
            told = subprocess.run(
                [*enter(tree), "edge", "health", "--url", url],
                env=env,
                cwd=tree,
                capture_output=True,
                text=True,
                timeout=30,
            )
            assert (told.returncode, told.stdout) == (0, "ready\n"), told.stderr
            first = first_of(process.pid)
            status = Path(f"/proc/{first}/status").read_text()
            assert "\nUid:\t10001\t10001\t10001\t10001\n" in status
            mounts = [line.split() for line in Path(f"/proc/{first}/mounts").read_text().splitlines()]
            assert [mount[3].split(",")[0] for mount in mounts if mount[1] == "/"][-1] == "ro"
            assert "\nCapEff:\t0000000000000000\n" in status
            assert status.split("\nNSpid:", 1)[1].split("\n")[0].split()[-1] == "1"
            os.kill(first, signal.SIGTERM)
            begun = time.monotonic()
            assert process.process.wait(15) == 0, process.output
            print(f"SIGTERM to the first process: ended with 0 after {time.monotonic() - begun:.2f} s")
        finally:
            if process.process.poll() is None:
                process.process.kill()
            process.stop()


def first_of(unshare: int) -> int:
    """The first process of the namespace, seen from outside: the child of `unshare`."""
    (child,) = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()
    return int(child)


def size(tree: Path, *parts: str) -> int:
    """Bytes of a layer with these parts of the tree, compressed as registries have it."""
    listed = ["--exclude=./var/cache/apt", "--exclude=./var/lib/apt", "--exclude=./proc", "--exclude=./dev", *parts]
    tar = subprocess.Popen(["tar", "-C", str(tree), "-c", *listed], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    gzip = subprocess.run(["gzip", "-6"], stdin=tar.stdout, capture_output=True, check=True, timeout=300)
    tar.wait()
    return len(gzip.stdout)


def main() -> int:
    missing = [name for name in ("debootstrap", "unshare", "setpriv") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        sys.exit(f"needs root, and {', '.join(missing) or 'has the rest'} (Debian: debootstrap, util-linux)")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build/image"
    tree = build(folder)
    prove(tree)
    print(
        json.dumps({"whole_mb": round(size(tree, ".") / 1e6, 1), "edge_mb": round(size(tree, "./opt/edge") / 1e6, 1)})
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
