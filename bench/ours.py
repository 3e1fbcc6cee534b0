"""The real program: `transfer-agent run --once` on a configuration of its own."""

import json
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime

from bench.ground import Ground
from bench.peers import Subject, Took
from tests.system.agents import Agent

STABLE = "100ms"
TIMES = (
    "*net*: from the journal's first `started_at` to the log's last `delivered`, that is without process "
    f"start, first scan, `stable` ({STABLE}) and the up to 0.25 s until `--once` sees that nothing is left."
)


def subject(verify: str, workers: int) -> Subject:
    return Subject(
        f"transfer-agent, {verify}, {workers} workers",
        "all, read back from the storage" if verify == "read_back" else "hashed while copying",
        "each file, its folder, the journal",
        _move(verify, workers),
        equal=verify == "read_back",
    )


def _move(verify: str, workers: int) -> Callable[[Ground], Took]:
    def move(ground: Ground) -> Took:
        agent = Agent(ground.home)
        agent.configure(
            source=str(ground.source),
            destination=str(ground.destination),
            stable=STABLE,
            scan="10s",
            probe="5s",
            retry_delay="10s",
            verify=verify,
            workers=workers,
        )
        began_s = time.monotonic()
        with (agent.home / "log").open("wb") as log:
            done = subprocess.run(agent.command("run", "--once"), check=False, stderr=log)
        took_s = time.monotonic() - began_s
        assert done.returncode == 0, agent.log()[-2000:]
        return Took(took_s, last_delivered_at(agent) - first_started_at(agent))

    return move


def first_started_at(agent: Agent) -> float:
    with closing(sqlite3.connect(agent.home / "state" / "journal.db")) as journal:
        return float(journal.execute("SELECT min(started_at) FROM history").fetchone()[0])


def last_delivered_at(agent: Agent) -> float:
    *_, last = (line for line in agent.log().splitlines() if '"delivered"' in line)
    return datetime.fromisoformat(json.loads(last)["time"]).timestamp()


OURS = tuple(subject(verify, workers) for verify in ("hash", "read_back") for workers in (2, 4))
