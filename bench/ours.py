"""The real program: `transfer-agent run --once` on a configuration of its own."""

import json
import sqlite3
import subprocess
import time
from contextlib import closing
from datetime import datetime

from bench.ground import Ground
from bench.subjects import Subject, Took
from tests.system.agents import Agent

STABLE = "100ms"
TIMES = (
    "*net*: from the journal's first `started_at` to the log's last `delivered`, that is without process "
    f"start, first scan, `stable` ({STABLE}) and the up to 0.25 s until `--once` sees that nothing is left."
)


def name_of(verify: str, workers: int) -> str:
    return f"transfer-agent, {verify}, {workers} workers"


HASH, READ_BACK = name_of("hash", 2), name_of("read_back", 2)  # with as many workers as by default


def subject(verify: str, workers: int) -> Subject:
    """From disk to disk."""
    return Subject(
        name_of(verify, workers),
        "all, read back from the storage" if verify == "read_back" else "hashed while copying",
        "each file, its folder, the journal",
        lambda ground: once(ground, str(ground.destination), verify, workers),
        equal=verify == "read_back",
        ours=True,
    )


def once(ground: Ground, destination: str, verify: str, workers: int, *more: str) -> Took:
    """`more`: lines for the end of the configuration. Raises: AssertionError: it fails."""
    agent = Agent(ground.home)
    agent.configure(
        source=str(ground.source),
        destination=destination,
        stable=STABLE,
        scan="10s",
        probe="5s",
        retry_delay="10s",
        verify=verify,
        workers=workers,
    )
    with (agent.home / "agent.toml").open("a") as file:
        file.writelines(f"{line}\n" for line in more)
    began_s = time.monotonic()
    with (agent.home / "log").open("wb") as log:
        done = subprocess.run(agent.command("run", "--once"), check=False, stderr=log)
    took_s = time.monotonic() - began_s
    assert done.returncode == 0, agent.log()[-2000:]
    return Took(took_s, moving_s(agent))


def moving_s(agent: Agent) -> float:
    """From the first copy's begin to the last file's arrival."""
    with closing(sqlite3.connect(agent.home / "state" / "journal.db")) as journal:
        started_at = float(journal.execute("SELECT min(started_at) FROM history").fetchone()[0])
    *_, last = (line for line in agent.log().splitlines() if '"delivered"' in line)
    return datetime.fromisoformat(json.loads(last)["time"]).timestamp() - started_at


HASH_SUBJECT, READ_BACK_SUBJECT = subject("hash", 2), subject("read_back", 2)
OURS = (HASH_SUBJECT, READ_BACK_SUBJECT, subject("read_back", 4))
