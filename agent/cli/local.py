"""Verbs that need no running agent: run, check-config, verify."""

import gc
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from agent.cli.base import EXIT_ERROR, exit_with, load_config, print_line, with_config
from agent.config.dump import masked
from agent.config.load import load
from agent.model.text import as_unicode


@click.command()
@click.option("--once", "once_only", is_flag=True, help="Deliver what is there, then exit.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, touch nothing.")
@click.option("--bind", help="Instead of [web] bind.")
@click.option("--log-level", help="Instead of [log] level.")
@with_config
def run(path: str, *, once_only: bool, dry_run: bool, bind: str | None, log_level: str | None) -> None:
    """Run in the foreground."""
    given = {"web.bind": bind, "log.level": log_level}
    overrides = {key: value for key, value in given.items() if value is not None}
    config = load_config(path, overrides)
    with _no_search_for_garbage():
        from agent.runtime import main  # noqa: PLC0415  slow to import, and other verbs do without
        from agent.runtime.supervisor import CannotStart  # noqa: PLC0415  likewise

    try:
        if dry_run:
            for line in main.dry_run_lines(config):
                print_line(line)
            return
        code = main.run(config, lambda: load(config.path, os.environ, overrides), once_only=once_only)
    except CannotStart as error:
        exit_with(str(error), EXIT_ERROR)
    sys.exit(code)


@contextmanager
def _no_search_for_garbage() -> Iterator[None]:
    """What is loaded here stays. Searching it takes a tenth of the start, and 50 ms now and then later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@click.command("check-config")
@click.option("--probe", is_flag=True, help="Then try every source and destination with a file of our own.")
@with_config
def check_config(path: str, *, probe: bool) -> None:
    """Validate the configuration and print it as it takes effect."""
    for line in masked(load_config(path)).rstrip("\n").split("\n"):
        print_line(line)
    if probe:
        from agent.runtime import main  # noqa: PLC0415  slow to import, and the check does without

        for line in main.probe_lines(load_config(path)):
            print_line(line)


@click.command()
@click.option("--since", default="", help="Only what was delivered since: RFC 3339, or a duration ago (24h).")
@click.option("--route", default="", help="Only this route.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@with_config
def verify(path: str, *, since: str, route: str, as_json: bool) -> None:
    """Re-read delivered files and compare them with the recorded hashes. Exit 0: all equal."""
    config = load_config(path)
    from agent.journal.errors import JournalError  # noqa: PLC0415  slow to import, and other verbs do without
    from agent.offline import verify  # noqa: PLC0415  likewise
    from agent.offline.verify_report import since_at  # noqa: PLC0415  likewise

    if route and route not in {each.name for each in config.routes}:
        raise click.BadParameter(f"no route is named {route!r}", param_hint="--route")
    try:
        earliest_at = since_at(since, time.time()) if since else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from error
    try:
        report = verify.run(config, earliest_at, route or None, _print_nothing if as_json else print_line)
    except JournalError as error:
        exit_with(str(error), EXIT_ERROR)
    if as_json:
        click.echo(as_unicode(json.dumps(report.body(), ensure_ascii=False)))
    else:
        print_line(report.summary())
    sys.exit(report.exit_code)


def _print_nothing(_: str) -> None:
    """With --json the report is printed at the end."""
