"""The command line: ``edge serve``, ``edge demo``, ``edge check`` and their like."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import click
import msgspec

from edge import __version__
from edge._fast import COMPILED
from edge.config import Config, Provider, problems
from edge.config_file import ConfigError, load, resolve
from edge.guard.auth import new_key

__all__ = ["main"]

BUILD = "compiled" if COMPILED else "pure"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """LLM Edge Agent: one fast, observable edge in front of OpenAI, Anthropic and every compatible API."""


def listen_options(command: click.decorators.FC) -> click.decorators.FC:
    command = click.option("--host", help="Address to listen on instead of server.host.")(command)
    return click.option("--port", type=click.IntRange(0, 65535), help="Port instead of server.port.")(command)


@main.command()
@click.option(
    "-c", "--config", "path", help="Configuration file (YAML, TOML or JSON); else EDGE_CONFIG, else the keys."
)
@listen_options
@click.option("--insecure", is_flag=True, help="Serve without keys on an address that others can reach.")
def serve(path: str | None, host: str | None, port: int | None, insecure: bool) -> None:
    """Serve the gateway.

    Without a file, OPENAI_API_KEY and ANTHROPIC_API_KEY make the providers.
    """
    try:
        config = resolve(path, insecure=True)
        config = listening(config, host, port)
        check_again(config, path, insecure=insecure)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    run(config, insecure=insecure)


@main.command()
@listen_options
def demo(host: str | None, port: int | None) -> None:
    """Serve with a simulator behind: no key, no network, no cost."""
    simulator = subprocess.Popen(
        [sys.executable, "-m", "edge.simulator", "--port", "0", "--follow-stdin"],
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
        click.echo(f"No provider keys are used: a simulator answers, at {base_url}", err=True)
        providers = {
            "openai": Provider(dialect="openai", base_url=base_url),
            "anthropic": Provider(dialect="anthropic", base_url=base_url),
        }
        config = listening(Config(providers=providers), host, port)
        check_again(config, None, insecure=False)
        run(config, insecure=False)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    finally:
        simulator.terminate()
        simulator.wait(timeout=5)


@main.command()
@click.argument("path")
def check(path: str) -> None:
    """Read a configuration file; print every error, or what it resolves to."""
    try:
        config = load(path)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{path}: ok")
    click.echo(f"listen     {config.server.host}:{config.server.port}")
    click.echo(f"auth       {'none, on loopback' if config.auth.open else f'{len(config.auth.keys)} keys'}")
    for name, provider in config.providers.items():
        keys = f"{len(provider.api_keys)} key{'s' if len(provider.api_keys) != 1 else ''}"
        click.echo(f"provider   {name}: {provider.dialect} at {provider.base_url}, {keys}")
    for alias, model in config.models.items():
        click.echo(f"model      {alias} -> {', '.join(target.to for target in model.upstreams)}")


@main.group()
def key() -> None:
    """Keys of this gateway's clients."""


@key.command("new")
@click.argument("id")
def key_new(id: str) -> None:
    """Make a key and print it, once, with the configuration line that holds its digest."""
    try:
        token, digest = new_key(id)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"key (shown once): {token}")
    click.echo(f'config line:      - {{id: {id}, digests: ["{digest}"]}}')


@main.command()
def version() -> None:
    """Print version, build and Python."""
    click.echo(f"edge {__version__} ({BUILD}), Python {platform.python_version()}")


@main.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulator(arguments: tuple[str, ...]) -> None:
    """Serve fake OpenAI and Anthropic providers; see 'edge simulator --help'."""
    os.execv(sys.executable, [sys.executable, "-m", "edge.simulator", *arguments])  # noqa: S606 - our own module


def listening(config: Config, host: str | None, port: int | None) -> Config:
    """`config` with the address of the command line."""
    server = config.server
    if host is not None:
        server = msgspec.structs.replace(server, host=host)
    if port is not None:
        server = msgspec.structs.replace(server, port=port)
    return msgspec.structs.replace(config, server=server)


def check_again(config: Config, path: str | None, *, insecure: bool) -> None:
    """The rules that the command line's address may break. Raises ConfigError."""
    found = problems(config, insecure=insecure)
    if found:
        raise ConfigError(path or "command line", [f"{'.'.join(map(str, where))}: {what}" for where, what in found])


def run(config: Config, *, insecure: bool) -> None:
    """Listen, print how to ask, and serve until a signal ends it."""
    from edge.gateway import Gateway, build_state
    from edge.server.asgi import EdgeApplication
    from edge.server.supervisor import listen
    from edge.server.supervisor import run as run_server
    from edge.telemetry import Fanout
    from edge.telemetry.logs import Logs
    from edge.telemetry.metrics import Metrics

    host, port = config.server.host, config.server.port
    try:
        sock = listen(host, port)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror}") from None
    try:
        state = build_state(config, loopback_only=not insecure)
    except OSError as error:
        raise click.ClickException(f"a provider's ca_file cannot be read: {error.strerror}") from None
    logs, metrics = Logs(config.telemetry.log.level, config.telemetry.log.format), Metrics()
    app = EdgeApplication(Gateway(state, Fanout(metrics, logs)), metrics, logs)
    address = f"http://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}"
    logs.log.info(
        "serving",
        version=__version__,
        build=BUILD,
        address=address,
        auth="none" if config.auth.open else "keys",
        providers=list(config.providers),
    )
    for line in examples(config, address):
        click.echo(line, err=True)
    run_server(app, sock)


def examples(config: Config, address: str) -> list[str]:
    """One curl per configured dialect, to be pasted as it is printed."""
    lines: list[str] = []
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
    """An alias of this dialect, if the configuration has one."""
    for alias, model in config.models.items():
        if config.providers[model.upstreams[0].to.partition("/")[0]].dialect == dialect:
            return alias
    return None
