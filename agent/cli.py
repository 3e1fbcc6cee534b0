"""The command line: verbs, exit codes, and the only printing."""

import json
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import NoReturn

import click

from agent import __version__
from agent.client import Client, NotRunning, Refused
from agent.config import Config, ConfigError, load, masked

EXIT_ERROR = 1
EXIT_USAGE = 2
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-c", "--config", "path", default="agent.toml", show_default=True, help="Configuration file.")
@click.version_option(__version__, prog_name="transfer-agent")
@click.pass_context
def cli(context: click.Context, path: str) -> None:
    """Safe delivery of media files."""
    context.obj = path


def configured(verb: Callable[..., None]) -> Callable[..., None]:
    """Gives a verb the valid configuration as its first argument; an invalid one ends with exit code 2."""

    @click.pass_obj
    @wraps(verb)
    def run_verb(path: str, /, **options: object) -> None:
        try:
            config = load(path, os.environ)
        except ConfigError as error:
            _fail("\n".join(error.reasons), EXIT_USAGE)
        verb(config, **options)

    return run_verb


def talking(verb: Callable[..., None]) -> Callable[..., None]:
    """Gives a verb a client of the running agent as its first argument; its refusal ends with exit code 1."""

    @configured
    @wraps(verb)
    def run_verb(config: Config, **options: object) -> None:
        try:
            verb(Client.of(config), **options)
        except (NotRunning, Refused) as error:
            _fail(str(error), EXIT_ERROR)

    return run_verb


as_json = click.option("--json", "as_json", is_flag=True, help="For machines.")


@cli.command()
@click.option("--once", "once_only", is_flag=True, help="Deliver what is there, then exit.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, touch nothing.")
@configured
def run(config: Config, *, once_only: bool, dry_run: bool) -> None:
    """Run in the foreground."""
    from agent import serving  # noqa: PLC0415  a second of imports that the other verbs do without

    try:
        if dry_run:
            for line in serving.dry_run(config):
                click.echo(line)
            return
        code = serving.run(config, lambda: load(config.path, os.environ), once_only=once_only)
    except serving.CannotStart as error:
        _fail(str(error), EXIT_ERROR)
    sys.exit(code)


@cli.command("check-config")
@configured
def check_config(config: Config) -> None:
    """Validate the configuration and print it as it takes effect."""
    click.echo(masked(config))


@cli.command()
@as_json
@talking
def status(client: Client, *, as_json: bool) -> None:
    """What the agent is doing."""
    answer = client.get("/api/status")
    routes = client.get("/api/routes")["routes"]
    if as_json:
        click.echo(json.dumps({**answer, "routes": routes}))
        return
    for route in routes:
        outage = route["outage"]
        state = f"outage: {outage['reason']} since {outage['since']}" if outage else "ok"
        counts = ", ".join(f"{count} {name}" for name, count in route["counts"].items()) or "no files"
        click.echo(f"{route['name']}: {'paused, ' if route['paused'] else ''}{state}; {counts}")
    for file in answer.get("allInProgress") or filter(None, [answer["inProgress"]]):
        click.echo(f"  {file['status']} {file['file']} {file['progressPercentage']} %")
    for file in answer["failedFiles"]:
        click.echo(f"  Failed {file['file']}: {file['error']}")


@cli.command()
@as_json
@talking
def files(client: Client, *, as_json: bool) -> None:
    """The tracked files and the last completed ones."""
    answer = client.get("/api/files")
    if as_json:
        click.echo(json.dumps(answer))
        return
    for file in answer["files"]:
        progress = f"{file['copy_progress']:5.1f} %"
        click.echo(f"{file['status']:<10} {progress} {_size(file['file_size']):>10}  {file['file_path']!r}")


@cli.command()
@as_json
@click.option("--route", default="", help="Only this route.")
@click.option("--since", default="", help="Only what ended since this time (RFC 3339).")
@click.option("--limit", default=100, show_default=True)
@talking
def history(client: Client, *, as_json: bool, route: str, since: str, limit: int) -> None:
    """Delivered and failed transfers, newest first."""
    query = {key: value for key, value in (("route", route), ("since", since)) if value}
    answer = client.get("/api/history", limit=str(limit), **query)
    if as_json:
        click.echo(json.dumps(answer))
        return
    for row in answer["history"]:
        where = row["destination_path"] or row["error"]
        click.echo(f"{row['completed_at']} {row['result']:<9} {row['file_path']!r} -> {where!r}")


@cli.command()
@click.argument("path")
@as_json
@talking
def explain(client: Client, path: str, *, as_json: bool) -> None:
    """Why a file is, or is not, moving."""
    answer = client.explain(path)
    if as_json:
        click.echo(json.dumps(answer))
        return
    for file in answer.get("files", [answer]):
        until = f" (until {file['until']})" if file.get("until") else ""
        click.echo(f"{file['file_path']!r}: {file['status']}: {file['why']}{until}")
        if file.get("error_message"):
            click.echo(f"  last error: {file['error_message']}")


@cli.command()
@click.argument("route")
@talking
def pause(client: Client, route: str) -> None:
    """Stop copying on a route until it is resumed."""
    client.post(f"/api/routes/{route}/pause")


@cli.command()
@click.argument("route")
@talking
def resume(client: Client, route: str) -> None:
    """Go on with a paused route."""
    client.post(f"/api/routes/{route}/resume")


@cli.command()
@click.argument("path", required=False)
@click.option("--all", "all_failed", is_flag=True, help="Every failed file.")
@talking
def retry(client: Client, path: str | None, *, all_failed: bool) -> None:
    """Try a failed file again."""
    if all_failed == (path is not None):
        raise click.UsageError("name one PATH, or use --all")
    client.post("/api/retry" if path is None else f"/api/files/{client.file(path)['id']}/retry")


@cli.command()
@click.argument("path")
@talking
def cancel(client: Client, path: str) -> None:
    """Give a file up until it changes or is retried."""
    client.post(f"/api/files/{client.file(path)['id']}/cancel")


@cli.command()
@talking
def reload(client: Client) -> None:
    """Read the configuration again."""
    client.post("/api/reload")


def _size(size_bytes: float) -> str:
    unit = 0
    while size_bytes >= 1024 and unit < len(UNITS) - 1:  # noqa: PLR2004  binary units
        size_bytes /= 1024
        unit += 1
    return f"{size_bytes:.0f} {UNITS[unit]}" if unit == 0 else f"{size_bytes:.1f} {UNITS[unit]}"


def _fail(text: str, code: int) -> NoReturn:
    click.echo(text, err=True)
    sys.exit(code)


def main() -> None:
    cli(prog_name="transfer-agent")
