"""Shared by the verbs: the configuration, a client of the running agent, output and exit codes."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import NoReturn

import click

from agent import __version__
from agent.cli.client import Client, CommandRefused, NotRunning
from agent.config.load import load
from agent.config.raw import ConfigError
from agent.config.sections import Config
from agent.model.text import on_one_line

EXIT_ERROR = 1
EXIT_USAGE = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-c", "--config", "path", default="agent.toml", show_default=True, help="Configuration file.")
@click.version_option(__version__, prog_name="transfer-agent")
@click.pass_context
def cli(context: click.Context, path: str) -> None:
    """Safe delivery of media files."""
    context.obj = path


def with_config(verb: Callable[..., None]) -> Callable[..., None]:
    """Gives a verb the configuration file as its first argument; -c may come before the verb or after it."""

    @click.option("-c", "--config", "own_path", help="Configuration file.")
    @click.pass_obj
    @wraps(verb)
    def run_verb(path: str, /, own_path: str | None, **options: object) -> None:
        verb(path if own_path is None else own_path, **options)

    return run_verb


def with_client(verb: Callable[..., None]) -> Callable[..., None]:
    """Gives a verb a client of the running agent as its first argument; a refusal ends with exit code 1."""

    @with_config
    @wraps(verb)
    def run_verb(path: str, /, **options: object) -> None:
        client = Client.for_config(load_config(path))
        with exit_on_refusal():
            verb(client, **options)

    return run_verb


@contextmanager
def exit_on_refusal() -> Iterator[None]:
    """An agent that does not answer, or refuses, ends the program with exit code 1."""
    try:
        yield
    except (NotRunning, CommandRefused) as error:
        exit_with(str(error), EXIT_ERROR)


def load_config(path: str, overrides: Mapping[str, str] | None = None, *, code: int = EXIT_USAGE) -> Config:
    """The valid configuration; an invalid one ends the program with this exit code."""
    try:
        return load(path, os.environ, overrides)
    except ConfigError as error:
        exit_with(str(error), code)


def print_line(text: str) -> None:
    """Print one line. Control characters are escaped, so that a file name cannot control the terminal."""
    click.echo(on_one_line(text))


def exit_with(text: str, code: int) -> NoReturn:
    for line in text.split("\n"):
        click.echo(on_one_line(line), err=True)
    sys.exit(code)
