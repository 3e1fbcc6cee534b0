"""The command line; only this package prints.

local.py       run, check-config, verify: need no running agent
queries.py     status, files, history, explain: read from the running agent
commands.py    pause, resume, retry, cancel, reload: change what it does
monitoring.py  health, watch
simulate_verb.py  simulate
"""

import io
import sys

from agent.cli import standard_streams
from agent.cli.base import cli
from agent.cli.commands import cancel, pause, reload, resume, retry
from agent.cli.local import check_config, run, verify
from agent.cli.monitoring import health, watch
from agent.cli.queries import explain, files, history, status
from agent.cli.simulate_verb import simulate

__all__ = ["cli", "main"]

for verb in (run, check_config, status, files, history, watch, explain):
    cli.add_command(verb)
for verb in (pause, resume, retry, cancel, reload, verify, health, simulate):
    cli.add_command(verb)


def main() -> None:
    standard_streams.open_missing()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # not every terminal can show every name
    cli(prog_name="transfer-agent")
