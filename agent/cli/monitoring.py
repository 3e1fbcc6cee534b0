"""Verbs that keep an eye on the running agent: health for monitoring, watch for people."""

import os
import shutil
import sys

import click

from agent.cli.base import EXIT_ERROR, configurable, effective, fail, say
from agent.cli.client import Client, CommandRefused, NotRunning
from agent.cli.live_state import LiveState, redraw
from agent.cli.nagios import NagiosReport, NagiosState, nagios_report
from agent.config.load import load
from agent.config.raw import ConfigError

STORAGE_VERDICTS = (503, 507)


@click.command()
@configurable
def health(path: str) -> None:
    """Nagios plugin. One line with performance data; exit 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN."""
    report = _report(path)
    say(str(report))
    sys.exit(report.state.value)


def _report(path: str) -> NagiosReport:
    try:
        client = Client.of(load(path, os.environ))
    except ConfigError as error:
        return NagiosReport(NagiosState.UNKNOWN, "; ".join(error.reasons))
    try:
        routes = client.get("/api/routes")["routes"]
        storage = client.get("/api/storage", also=STORAGE_VERDICTS)
        readiness = client.answer("GET", "/readyz").body
    except NotRunning as error:
        return NagiosReport(NagiosState.CRITICAL, str(error))
    except CommandRefused as error:
        busy = error.status >= 500  # noqa: PLR2004  the server's fault, RFC 9110 section 15.6
        return NagiosReport(NagiosState.CRITICAL if busy else NagiosState.UNKNOWN, str(error))
    return nagios_report(readiness, storage.get("routes", ()), routes)


@click.command()
@configurable
def watch(path: str) -> None:
    """Live view until Ctrl-C. Redrawn on a terminal, else a line for each change."""
    config = effective(path)
    from agent.cli import live_view  # noqa: PLC0415  imports that the other verbs do without

    on_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    refusal = live_view.run(
        locate=lambda: Client.of(config).url,
        token=config.web.token,
        paint=_draw if on_terminal else _LineEcho().print,
        every_s=live_view.DRAW_EVERY_S if on_terminal else live_view.LINE_EVERY_S,
    )
    if on_terminal:
        click.echo()
    if refusal:
        fail(refusal, EXIT_ERROR)


def _draw(picture: LiveState) -> None:
    columns, rows = shutil.get_terminal_size()
    click.echo(redraw(picture.frame(columns, rows)), nl=False)


class _LineEcho:
    """One line for each picture that differs from the one before."""

    def __init__(self) -> None:
        self._last = ""

    def print(self, picture: LiveState) -> None:
        line = picture.line()
        if line != self._last:
            say(line)
        self._last = line
