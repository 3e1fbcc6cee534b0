"""Verbs that monitor the running agent: health for a monitoring system, watch for people."""

import os
import shutil
import sys

import click

from agent.cli.base import EXIT_ERROR, exit_with, load_config, print_line, with_config
from agent.cli.client import Client, CommandRefused, NotRunning
from agent.cli.live_state import LiveState, redraw
from agent.cli.nagios import NagiosReport, NagiosState, nagios_report
from agent.config.load import load
from agent.config.raw import ConfigError

UNHEALTHY = (503, 507)  # /api/storage sends a body with these, too


@click.command()
@with_config
def health(path: str) -> None:
    """Nagios plugin. One line with performance data; exit 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN."""
    report = _report(path)
    print_line(str(report))
    sys.exit(report.state.value)


def _report(path: str) -> NagiosReport:
    try:
        client = Client.for_config(load(path, os.environ))
    except ConfigError as error:
        return NagiosReport(NagiosState.UNKNOWN, "; ".join(error.reasons))
    try:
        routes = client.get("/api/routes")["routes"]
        storage = client.get("/api/storage", also=UNHEALTHY)
        readiness = client.request("GET", "/readyz").body
    except NotRunning as error:
        return NagiosReport(NagiosState.CRITICAL, str(error))
    except CommandRefused as error:
        is_server_fault = error.status >= 500  # noqa: PLR2004  the server's fault, RFC 9110 section 15.6
        return NagiosReport(NagiosState.CRITICAL if is_server_fault else NagiosState.UNKNOWN, str(error))
    return nagios_report(readiness, storage.get("routes", ()), routes)


@click.command()
@with_config
def watch(path: str) -> None:
    """Live view until Ctrl-C. Redrawn on a terminal, else a line for each change."""
    config = load_config(path)
    from agent.cli import live_view  # noqa: PLC0415  slow to import, and other verbs do without

    on_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    refusal = live_view.run(
        locate=lambda: Client.for_config(config).url,
        token=config.web.token,
        draw=_draw if on_terminal else _LineEcho().print,
        every_s=live_view.DRAW_EVERY_S if on_terminal else live_view.LINE_EVERY_S,
    )
    if on_terminal:
        click.echo()
    if refusal:
        exit_with(refusal, EXIT_ERROR)


def _draw(state: LiveState) -> None:
    columns, rows = shutil.get_terminal_size()
    click.echo(redraw(state.frame(columns, rows)), nl=False)


class _LineEcho:
    """Prints the state in one line, if the line differs from the one before."""

    def __init__(self) -> None:
        self._last = ""

    def print(self, state: LiveState) -> None:
        line = state.line()
        if line != self._last:
            print_line(line)
        self._last = line
