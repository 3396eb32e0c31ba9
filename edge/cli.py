"""The command line: ``edge serve``, ``edge demo``, ``edge check`` and their like."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import platform
import select
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from edge import __version__
from edge._fast import COMPILED
from edge.config import Cache, Config, Provider
from edge.config.file import ConfigError, Reading, read, resolve
from edge.config.rules import problems
from edge.config.schema import json_schema
from edge.errors import EdgeError
from edge.resolved import resolved
from edge.server.descriptors import open_standard_streams
from edge.server.sparing import UNWANTED, without

__all__ = ["main"]

BUILD = "compiled" if COMPILED else "pure"
OTHERWISE = "Default: EDGE_CONFIG, else OPENAI_API_KEY and ANTHROPIC_API_KEY."


ELSEWHERE = {
    "cache": "edge.cli_running",
    "health": "edge.cli_running",
    "import": "edge.migration.commands",
    "key": "edge.cli_keys",
    "logs": "edge.cli_logs",
    "prices": "edge.cli_prices",
    "usage": "edge.cli_running",
}
"""Commands that other modules have, each under its own name but for ``import``."""


class Commands(click.Group):
    """Imports those of `ELSEWHERE` when they are asked for: they would be in the memory of every worker."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in ELSEWHERE and cmd_name not in self.commands:
            module = import_module(ELSEWHERE[cmd_name])
            self.add_command(getattr(module, "migrate" if cmd_name == "import" else cmd_name))
        return super().get_command(ctx, cmd_name)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """LLM Edge Agent: one fast, observable edge in front of OpenAI, Anthropic and every compatible API."""
    open_standard_streams()


ANNOUNCED = "[edge demo: a simulator answers, no model]"


def listen_options(command: click.decorators.FC) -> click.decorators.FC:
    command = click.option(
        "--workers", type=click.IntRange(1, 256), help="Number of workers instead of server.workers."
    )(command)
    command = click.option("--host", help="Address to listen on instead of server.host.")(command)
    return click.option("--port", type=click.IntRange(0, 65535), help="Port instead of server.port.")(command)


@main.command()
@click.option("-c", "--config", "path", help=f"Configuration file (YAML, TOML or JSON). {OTHERWISE}")
@listen_options
@click.option("--insecure", is_flag=True, help="Allow serving without keys on an address that others can reach.")
@click.option("--watch", is_flag=True, help="Reread the file when it changes, as on SIGHUP.")
def serve(
    path: str | None, host: str | None, port: int | None, workers: int | None, insecure: bool, watch: bool
) -> None:
    """Serve the gateway.

    Without a file, the providers come from OPENAI_API_KEY and ANTHROPIC_API_KEY. SIGTERM drains and stops the edge,
    SIGHUP rereads the file, and SIGUSR2 upgrades to newly installed code without refusing a connection.
    """
    path = path or os.environ.get("EDGE_CONFIG") or None

    def read() -> Reading:
        return resolve(path, insecure=insecure, adjust=lambda config: listening(config, host, port, workers))

    try:
        reading = read()
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    run(reading, path, read, insecure=insecure, can_upgrade=True, watching=watch)


@main.command()
@listen_options
def demo(host: str | None, port: int | None, workers: int | None) -> None:
    """Serve in front of a simulator: no key, no network, no cost."""
    simulator = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "edge.simulator", "--port", "0", "--follow-stdin", "--announce", ANNOUNCED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert simulator.stdout is not None  # noqa: S101 - it is a pipe
        line = simulator.stdout.readline()
        if not line.startswith("simulator on "):
            raise click.ClickException("the simulator did not start")
        base_url = line.removeprefix("simulator on ").strip() + "/v1"
        tell(f"No provider keys are used: a simulator answers, at {base_url}")
        tell("Costs are what the imitated providers would charge; nothing is charged.")
        providers = {
            "openai": Provider(dialect="openai", base_url=base_url, priced_as="openai"),
            "anthropic": Provider(dialect="anthropic", base_url=base_url, priced_as="anthropic"),
        }
        config = listening(Config(providers=providers, cache=Cache(mode="all")), host, port, workers)
        if found := problems(config):
            raise click.ClickException("; ".join(what for _, what in found))
        reading = Reading(config, [])
        run(reading, None, lambda: reading)
    finally:
        simulator.terminate()
        simulator.wait(timeout=5)


@main.command()
@click.argument("path")
@click.option("--strict", is_flag=True, help="Treat notes as errors.")
@click.option(
    "--without-secrets",
    is_flag=True,
    help="Check on a machine without the secrets: their variables and files may be missing.",
)
def check(path: str, strict: bool, without_secrets: bool) -> None:
    """Check a configuration file: print every error, or what it resolves to, with notes on likely mistakes.

    Exits with 2 if there are errors.
    """
    try:
        reading = read(path, secrets=not without_secrets)
        if strict and reading.notes:
            raise ConfigError(path, reading.notes)
        if not without_secrets:
            from edge.server.files import read_files

            read_files(reading.config)
    except ConfigError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    config = reading.config
    click.echo(f"{path}: ok{', secrets left out' if without_secrets else ''}")
    for note in reading.notes:
        click.echo(f"note       {note}")
    click.echo(f"listen     {config.server.host}:{config.server.port}")
    click.echo(f"auth       {'none, on loopback' if config.auth.open else f'{len(config.auth.keys)} keys'}")
    for name, provider in config.providers.items():
        keys = f"{len(provider.api_keys)} key{'s' if len(provider.api_keys) != 1 else ''}"
        priced = f", priced as {provider.priced_as}" if provider.priced_as else ""
        click.echo(f"provider   {name}: {provider.dialect} at {provider.base_url}, {keys}{priced}")
    for line in resolved(config):
        click.echo(line)
    hedge = config.resilience.hedge
    if hedge.enabled:
        click.echo(f"hedging    beside what is late, at most {hedge.budget:.3g} for each request")


@main.command()
@click.argument("file", type=click.File("rb"))
@click.option("-c", "--config", "path", help=f"Configuration to use. {OTHERWISE}")
@click.option("--key", "key_id", help="The id of the key that sends it. Default: a key that may use everything.")
@click.option("--path", "endpoint", help="The path it is posted to. Default: inferred from its fields.")
@click.option("--json", "as_json", is_flag=True, help="Print the same JSON as /admin/api/explain.")
def explain(file: BinaryIO, path: str | None, key_id: str | None, endpoint: str | None, as_json: bool) -> None:
    """Show what would happen to the request whose body is in FILE ('-' for standard input), without sending it.

    Prints its key, the upstreams of its model and which one would be tried first, whether the answer would be cached,
    and what it would cost. Exits with 1 if the request would be refused. POST /admin/api/explain asks a running edge,
    which knows the state of its upstreams.
    """
    from edge.explain import explain as explain_request
    from edge.explain import path_for, table
    from edge.guard.auth import ANYONE
    from edge.state import build_state

    body = file.read()
    try:
        state = build_state(resolve(path, insecure=True).config)
        key = ANYONE if key_id is None else state.auth.named(key_id)
        if key is None:
            raise click.ClickException(f"there is no key '{key_id}'")
        found = explain_request(state, key, endpoint or path_for(body), body)
    except (ConfigError, EdgeError, OSError) as error:
        raise click.ClickException(str(error)) from None
    lines = [msgspec.json.format(msgspec.json.encode(found)).decode()] if as_json else table(found)
    for line in lines:
        click.echo(line)
    sys.exit(found.refused is not None)


@main.command()
@click.argument("trace", type=click.File("rb"))
@click.option(
    "-c", "--config", "paths", multiple=True, required=True, help="A configuration to replay under; can be repeated."
)
@click.option("--seed", default=1, show_default=True, help="Seed for what the trace does not determine.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def replay(trace: BinaryIO, paths: tuple[str, ...], seed: int, as_json: bool) -> None:
    """Show what would have happened to the requests in TRACE, a telemetry.trace_file, under other configurations.

    They pass through the real routing, limits, breakers and cache at their original times, on a virtual clock. Nothing
    is sent.
    """
    from edge.trace import read_trace
    from edge.whatif import recorded, table
    from edge.whatif import replay as run_again

    try:
        lines = read_trace(trace.read())
        columns = {"recorded": recorded(lines)}
        for path in paths:
            columns[path] = run_again(lines, read(path, secrets=False).config, seed)
    except (ConfigError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    told = [msgspec.json.format(msgspec.json.encode(columns)).decode()] if as_json else table(columns)
    for line in told:
        click.echo(line)


@main.command()
@click.argument("path", default="edge.yaml")
def init(path: str) -> None:
    """Write a commented configuration to start from."""
    try:
        with Path(path).open("x", encoding="utf-8") as file:
            file.write((Path(__file__).parent / "config" / "data" / "init.yaml").read_text(encoding="utf-8"))
    except FileExistsError:
        raise click.ClickException(f"{path} already exists") from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None
    click.echo(f"wrote {path}; next: edge check {path}, then edge serve -c {path}")


@main.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    click.echo(json.dumps(json_schema(), indent=2))


@main.command()
@click.option("-c", "--config", "path", help=f"Configuration to examine. {OTHERWISE}")
@click.option(
    "--reach",
    "wanted",
    is_flag=True,
    help="Also connect to each provider, without a request or a key, and log in to Redis.",
)
def doctor(path: str | None, wanted: bool) -> None:
    """Examine this installation: build, Python, libraries, certificates, prices; with --reach, providers and Redis."""
    from edge.doctor import examine, reach, versions

    findings = list(examine())
    try:
        config = resolve(path, insecure=True).config
    except ConfigError as error:
        findings.append(("configuration", "; ".join(error.errors), "bad" if path else "note"))
    else:
        findings.append(
            ("configuration", f"{path or os.environ.get('EDGE_CONFIG') or 'from the environment'}: ok", "ok")
        )
        findings += versions(config)
        if wanted:
            findings += reach(config)
    for name, text, verdict in findings:
        click.echo(f"{verdict:5} {name:14} {text}")
    sys.exit(any(verdict == "bad" for _, _, verdict in findings))


@main.command()
@click.option("--quick", is_flag=True, help="Take eight seconds instead of thirty; the figures are less precise.")
def bench(quick: bool) -> None:
    """Measure latencies on this machine against their targets, in front of a simulator: no key, no network.

    Exits with 1 if a target is missed. On a busy machine nothing is judged. If redis-server is on the PATH, it is
    started to measure hits in Redis.
    """
    from edge.bench import BenchError, measure, table

    click.echo(f"edge {__version__} ({BUILD}), Python {platform.python_version()}, {os.cpu_count()} cores")
    try:
        measured = measure(quick, lambda what: click.echo(f"... {what}", err=True))
    except BenchError as error:
        raise click.ClickException(str(error)) from None
    for line in table(measured.rows):
        click.echo(line)
    missed = [row.what for row in measured.rows if row.met is False]
    unjudged = [row.what for row in measured.rows if row.met is None]
    if not measured.quiet:
        click.echo(f"not judged: the machine is busy, {1 - measured.free:.0%} of its cores' time goes to others")
    elif missed:
        click.echo(f"missed: {'; '.join(missed)}")
    else:
        click.echo("all targets are met" + (f", but for what is not judged: {'; '.join(unjudged)}" if unjudged else ""))
    sys.exit(bool(missed))


@main.command()
def version() -> None:
    """Print version, build and Python."""
    click.echo(f"edge {__version__} ({BUILD}), Python {platform.python_version()}")


@main.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulator(arguments: tuple[str, ...]) -> None:
    """Serve fake OpenAI and Anthropic providers; see 'edge simulator --help'."""
    os.execv(sys.executable, [sys.executable, "-m", "edge.simulator", *arguments])  # noqa: S606 - our own module


def listening(config: Config, host: str | None, port: int | None, workers: int | None) -> Config:
    """`config` with what the command line says of the server."""
    server = config.server
    if host is not None:
        server = msgspec.structs.replace(server, host=host)
    if port is not None:
        server = msgspec.structs.replace(server, port=port)
    if workers is not None:
        server = msgspec.structs.replace(server, workers=workers)
    return msgspec.structs.replace(config, server=server)


def run(
    reading: Reading,
    path: str | None,
    reread: Callable[[], Reading],
    *,
    insecure: bool = False,
    can_upgrade: bool = False,
    watching: bool = False,
) -> None:
    """Serve until a signal ends it, then end this process with the supervisor's exit code."""
    gc.disable()  # until the supervisor freezes what is here: nothing that is imported or made until then is garbage
    with without(UNWANTED):
        from edge.server.launch import StartError, launch

    try:
        code = launch(
            reading,
            path,
            reread,
            lambda address: examples(reading.config, address),
            insecure=insecure,
            can_upgrade=can_upgrade,
            watching=watching,
        )
    except StartError as error:
        raise click.ClickException(str(error)) from None
    sys.exit(code)


def tell(line: str) -> None:
    """A word to who started this. That nobody can or does read it is no reason not to serve."""
    with contextlib.suppress(OSError):
        if select.select([], [2], [], 0)[1]:
            click.echo(line, err=True)


def examples(config: Config, address: str) -> list[str]:
    """The page, and one curl per configured dialect, to be pasted as it is printed."""
    lines = [f"live page: {address}/admin"]
    models = {"openai": "gpt-5-mini", "anthropic": "claude-haiku-4-5"}
    paths = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
    for dialect in dict.fromkeys(provider.dialect for provider in config.providers.values()):
        body: dict[str, object] = {"model": example_model(config, dialect) or models[dialect]}
        if dialect == "anthropic":
            body["max_tokens"] = 64
        body["messages"] = [{"role": "user", "content": "Say hello."}]
        auth = "" if config.auth.open else " -H 'authorization: Bearer YOUR_KEY'"
        lines.append(
            f"curl {address}{paths[dialect]} -H 'content-type: application/json'{auth} -d '{json.dumps(body)}'"
        )
    return lines


def example_model(config: Config, dialect: str) -> str | None:
    """A name that the configuration spells out for this dialect: an alias, else a provider's model."""
    for alias, model in config.models.items():
        if config.providers[model.upstreams[0].to.partition("/")[0]].dialect == dialect:
            return alias
    for provider in config.providers.values():
        for name in provider.models or []:
            if provider.dialect == dialect and not set(name) & set("*?["):
                return name
    return None
