"""Verbs that run the agent, or would: run, check-config."""

import os
import sys

import click

from agent.cli.base import EXIT_ERROR, configurable, effective, fail, say
from agent.config.dump import masked
from agent.config.load import load


@click.command()
@click.option("--once", "once_only", is_flag=True, help="Deliver what is there, then exit.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, touch nothing.")
@click.option("--bind", help="Instead of [web] bind.")
@click.option("--log-level", help="Instead of [log] level.")
@configurable
def run(path: str, *, once_only: bool, dry_run: bool, bind: str | None, log_level: str | None) -> None:
    """Run in the foreground."""
    given = {"web.bind": bind, "log.level": log_level}
    overrides = {key: value for key, value in given.items() if value is not None}
    config = effective(path, overrides)
    from agent.runtime import main  # noqa: PLC0415  a second of imports that the other verbs do without
    from agent.runtime.supervisor import CannotStart  # noqa: PLC0415  likewise

    try:
        if dry_run:
            for line in main.dry_run_lines(config):
                say(line)
            return
        code = main.run(config, lambda: load(config.path, os.environ, overrides), once_only=once_only)
    except CannotStart as error:
        fail(str(error), EXIT_ERROR)
    sys.exit(code)


@click.command("check-config")
@configurable
def check_config(path: str) -> None:
    """Validate the configuration and print it as it takes effect."""
    for line in masked(effective(path)).rstrip("\n").split("\n"):
        say(line)
