"""Verbs that keep an eye on the running agent: health for monitoring, watch for people."""

import os
import shutil
import sys

import click

from agent.cli.base import EXIT_ERROR, configurable, effective, fail, say
from agent.client import Client, NotRunning, Refused
from agent.config import ConfigError, load
from agent.rules.nagios import Report, State, judge
from agent.rules.terminal import Picture, redraw

STORAGE_VERDICTS = (503, 507)


@click.command()
@configurable
def health(path: str) -> None:
    """Nagios plugin. One line with performance data; exit 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN."""
    report = _report(path)
    say(str(report))
    sys.exit(report.state.value)


def _report(path: str) -> Report:
    try:
        client = Client.of(load(path, os.environ))
    except ConfigError as error:
        return Report(State.UNKNOWN, "; ".join(error.reasons))
    try:
        routes = client.get("/api/routes")["routes"]
        storage = client.get("/api/storage", also=STORAGE_VERDICTS)
        readiness = client.answer("GET", "/readyz").body
    except NotRunning as error:
        return Report(State.CRITICAL, str(error))
    except Refused as error:
        busy = error.status >= 500  # noqa: PLR2004  the server's fault, RFC 9110 section 15.6
        return Report(State.CRITICAL if busy else State.UNKNOWN, str(error))
    return judge(readiness, storage.get("routes", ()), routes)


@click.command()
@configurable
def watch(path: str) -> None:
    """Live view until Ctrl-C. Redrawn on a terminal, else a line for each change."""
    config = effective(path)
    from agent import watching  # noqa: PLC0415  imports that the other verbs do without

    on_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    refusal = watching.run(
        locate=lambda: Client.of(config).url,
        token=config.web.token,
        paint=_draw if on_terminal else _Lines().print,
        every_s=watching.DRAW_EVERY_S if on_terminal else watching.LINE_EVERY_S,
    )
    if on_terminal:
        click.echo()
    if refusal:
        fail(refusal, EXIT_ERROR)


def _draw(picture: Picture) -> None:
    columns, rows = shutil.get_terminal_size()
    click.echo(redraw(picture.frame(columns, rows)), nl=False)


class _Lines:
    """One line for each picture that differs from the one before."""

    def __init__(self) -> None:
        self._last = ""

    def print(self, picture: Picture) -> None:
        line = picture.line()
        if line != self._last:
            say(line)
        self._last = line
