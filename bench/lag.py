"""The lag of one small file: from its close to the start of its copy, and to its delivery."""

import os
import sqlite3
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

from bench.disk_pair import DiskPair
from bench.process_usage import until
from bench.report import Figures, emit, percentile, table
from bench.transfer_agent import configured
from tests.system.agents import Agent

STABLE_S = 1.0
SIZE_BYTES = 64 << 10
PAUSE_S = 0.1


def lag(files: int) -> Figures:
    """Measure this many files, one after the other."""
    with DiskPair.of(1 << 28) as disks:
        disks.originals.mkdir()
        disks.prepare()
        agent = configured(disks, stable=f"{STABLE_S}s")
        try:
            agent.start()
            _one(disks.source / "first.bin")  # after which everything has started
            paths = [disks.source / f"take{number:03}.bin" for number in range(files)]
            closed = {path.name: _one(path) for path in paths}
            agent.stop()
        finally:
            agent.clean_up()
        started, delivered = _started(agent), _delivered(agent)
    emit(f"## lag: {files} files of {SIZE_BYTES >> 10} KiB, one after the other, `stable` {STABLE_S:g} s\n")
    rows = (("close to copy started", started), ("close to delivered", delivered))
    figures = [(name, [at[path] - closed[path] - STABLE_S for path in closed]) for name, at in rows]
    head = ("beside `stable`", "median", "p90", "longest")
    shares = (0.5, 0.9, 1.0)
    table(head, [[name, *(f"{percentile(lags, share):.3f} s" for share in shares)] for name, lags in figures])
    return {f"{name}, beside `stable`, p90": percentile(lags, 0.9) for name, lags in figures}


def _one(path: Path) -> float:
    """Write the file and wait until it has been moved; returns when it was closed."""
    content = os.urandom(SIZE_BYTES)
    path.write_bytes(content)
    closed_at = time.time()
    until(lambda: not path.exists(), every_s=0.02)
    time.sleep(PAUSE_S)
    return closed_at


def _started(agent: Agent) -> dict[str, float]:
    with closing(sqlite3.connect(agent.home / "state" / "journal.db")) as journal:
        rows = journal.execute("SELECT path, started_at FROM history").fetchall()
    return {os.fsdecode(path): float(at) for path, at in rows}


def _delivered(agent: Agent) -> dict[str, float]:
    events = agent.events("delivered")
    return {event["file"]: datetime.fromisoformat(event["time"]).timestamp() for event in events}
