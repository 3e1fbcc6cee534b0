"""The agent as a subject: `transfer-agent run --once` with its own configuration."""

import json
import sqlite3
import subprocess
import time
from contextlib import closing
from datetime import datetime

from bench.disk_pair import DiskPair
from bench.subjects import RunTime, Subject
from tests.system.agents import Agent

STABLE = "100ms"
TIMES = (
    "*net*: from the journal's first `started_at` to the log's last `delivered`, that is without process "
    f"start, first scan, `stable` ({STABLE}) and the up to 0.25 s until `--once` sees that nothing is left."
)


def name_of(verify: str, workers: int) -> str:
    return f"transfer-agent, {verify}, {workers} workers"


HASH, READ_BACK = name_of("hash", 2), name_of("read_back", 2)  # the default number of workers


def subject(verify: str, workers: int) -> Subject:
    """The agent, moving from disk to disk."""
    return Subject(
        name_of(verify, workers),
        "all, read back from the storage" if verify == "read_back" else "hashed while copying",
        "each file, its folder, the journal",
        lambda disks: once(disks, str(disks.destination), verify, workers),
        is_as_safe=verify == "read_back",
        is_ours=True,
    )


def configured(disks: DiskPair, **route: object) -> Agent:
    """An agent with one route from the source to the destination, unless `route` names another."""
    agent = Agent(disks.home)
    folders = {"source": str(disks.source), "destination": str(disks.destination)}
    agent.configure(**{**folders, "scan": "10s", "probe": "5s"} | route)
    return agent


def once(disks: DiskPair, destination: str, verify: str, workers: int, *more: str) -> RunTime:
    """Run the agent once; `more` are lines for the end of the configuration.

    Raises:
        AssertionError: it fails.
    """
    route = {"destination": destination, "verify": verify, "workers": workers, "retry_delay": "10s"}
    agent = configured(disks, stable=STABLE, **route)
    with (agent.home / "agent.toml").open("a") as file:
        file.writelines(f"{line}\n" for line in more)
    began_s = time.monotonic()
    with (agent.home / "log").open("wb") as log:
        done = subprocess.run(agent.command("run", "--once"), check=False, stderr=log)
    took_s = time.monotonic() - began_s
    assert done.returncode == 0, agent.log()[-2000:]
    return RunTime(took_s, moving_s(agent))


def moving_s(agent: Agent) -> float:
    """Seconds from the start of the first copy to the last delivery."""
    with closing(sqlite3.connect(agent.home / "state" / "journal.db")) as journal:
        started_at = float(journal.execute("SELECT min(started_at) FROM history").fetchone()[0])
    *_, last = (line for line in agent.log().splitlines() if '"delivered"' in line)
    return datetime.fromisoformat(json.loads(last)["time"]).timestamp() - started_at


HASH_SUBJECT, READ_BACK_SUBJECT = subject("hash", 2), subject("read_back", 2)
AGENT_SUBJECTS = (HASH_SUBJECT, READ_BACK_SUBJECT, subject("read_back", 4))
