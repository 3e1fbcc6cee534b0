"""The command line: verbs, exit codes, and the only printing."""

import io
import sys

from agent.cli.base import cli
from agent.cli.commands import cancel, pause, reload, resume, retry
from agent.cli.monitoring import health, watch
from agent.cli.queries import explain, files, history, status
from agent.cli.service import check_config, run
from agent.cli.simulate_verb import simulate
from agent.cli.verify_verb import verify

__all__ = ["cli", "main"]

for verb in (run, check_config, status, files, history, watch, explain):
    cli.add_command(verb)
for verb in (pause, resume, retry, cancel, reload, verify, health, simulate):
    cli.add_command(verb)


def main() -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # not every terminal can show every name
    cli(prog_name="transfer-agent")
