"""Many known files that wait: restart, idling, memory, and the answer times of the page."""

import json
import os
import sqlite3
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import trio
from attrs import define, field, frozen

from agent.worker.source.source_file import signature_of
from bench.disk_pair import INODE_BYTES, DiskPair
from bench.page_clients import first_message
from bench.process_usage import PATIENCE_S, cpu_s, process_tree, resident_bytes, until
from bench.report import Figures, emit, progress, spread, table
from bench.rounds import Rounds
from bench.transfer_agent import configured
from tests.system.agents import Agent

SIZE_BYTES = 1 << 20  # of each file, as one hole: only their number matters
IN_A_FOLDER = 10_000
FIRST_SCAN_S = 12.0
ROUTE = "mxf"
COLUMNS = (
    *("transfer_id", "route", "path", "file_path", "signature", "destination", "discovered_at", "started_at"),
    *("ended_at", "result", "destination_path", "verified_level", "hash", "attempts", "suppresses_retry"),
)


@define
class Starts:
    """For each start: seconds until `/api/status` answers, and until all files are known."""

    answered_s: list[float] = field(factory=list)
    scanned_s: list[float] = field(factory=list)


def waiting(name: str, count: int, watch_s: float, rounds: Rounds) -> Figures:
    """Measure starts, idling for `watch_s`, memory and answer times with `count` waiting files."""
    with DiskPair.of(count * (INODE_BYTES + 512)) as disks:
        disks.originals.mkdir()
        disks.prepare()
        agent = configured(disks, stable="48h", after="keep")
        progress(f"{name}: {count} files are made")
        paths = list(_make(disks.source, count))
        cold, warm = Starts(), Starts()
        try:
            _start(agent, count, cold)
            agent.stop()
            _fill_journal(agent, disks, paths)
            for number in rounds:
                if number > 0:
                    agent.stop()
                disks.near.drop_cache()
                _start(agent, count, warm)
                progress(f"{name}: start {number + 1}: {warm.scanned_s[-1]:.1f} s")
            idle = _idle(agent, watch_s)
            emit(f"## {name}: {count:,} files wait, restarts: {len(warm.scanned_s)}\n")
            table(("what", "figure"), [*_starts(cold, warm), *idle.rows(), *_answer_times(agent)])
            agent.stop()
        finally:
            agent.clean_up()
    return idle.figures()


def _make(source: Path, count: int) -> Iterator[str]:
    for number in range(count):
        folder = f"reel{number // IN_A_FOLDER:03}"
        if number % IN_A_FOLDER == 0:
            (source / folder).mkdir()
        path = f"{folder}/take{number:07}.mxf"
        with (source / path).open("wb") as file:
            file.truncate(SIZE_BYTES)
        yield path


def _fill_journal(agent: Agent, disks: DiskPair, paths: list[str]) -> None:
    """Add history as if each file had been delivered and kept: a start has to read it."""
    marks = ", ".join("?" * len(COLUMNS))
    with closing(sqlite3.connect(agent.home / "state" / "journal.db")) as journal, journal:
        rows = (_row(disks, number, path) for number, path in enumerate(paths, 1))
        journal.executemany(f"INSERT INTO history ({', '.join(COLUMNS)}) VALUES ({marks})", rows)  # noqa: S608  fixed columns


def _row(disks: DiskPair, number: int, path: str) -> tuple[object, ...]:
    """The journal's row of a file that was kept, in the order of `COLUMNS`."""
    name, now_at = os.fsencode(path), time.time()
    signature = " ".join(map(str, signature_of(os.stat(disks.source / path)).numbers))
    paths = [os.fsencode(folder) + b"/" + name for folder in (disks.source, disks.destination)]
    ended = (now_at, "kept", paths[1], "read_back", f"xxh128:{number:032x}", 1, True)
    beginning = (number, ROUTE, name, paths[0], signature, os.fsencode(disks.destination), now_at, now_at)
    return (*beginning, *ended)


def _start(agent: Agent, count: int, starts: Starts) -> None:
    began_s = time.monotonic()
    agent.start()
    agent.get("/api/status")
    starts.answered_s.append(time.monotonic() - began_s)
    until(lambda: _known(agent) >= count)
    starts.scanned_s.append(time.monotonic() - began_s)


def _known(agent: Agent) -> int:
    return sum(sum(route["counts"].values()) for route in agent.get("/api/routes")["routes"])


def _starts(cold: Starts, warm: Starts) -> list[list[str]]:
    return [
        ["first start: until `/api/status` answers", spread(cold.answered_s)],
        ["first start: until all files are known", spread(cold.scanned_s)],
        ["restart, all in the journal, cold cache: until `/api/status` answers", spread(warm.answered_s)],
        ["restart, all in the journal, cold cache: until all files are known", spread(warm.scanned_s)],
    ]


@frozen
class Idle:
    """Percent of one processor and megabytes, each for the program and for its workers."""

    shares: tuple[float, float]
    memory: tuple[float, float]
    workers: int

    def figures(self) -> Figures:
        return {
            "idle, of one processor": sum(self.shares),
            "resident memory, program and workers": sum(self.memory),
        }

    def rows(self) -> list[list[str]]:
        shares, memory = self.shares, self.memory
        parts = f"{shares[0]:.2f} program, {shares[1]:.2f} workers"
        return [
            ["idle, of one processor", f"{sum(shares):.2f} % ({parts})"],
            ["resident memory", f"{memory[0]:.0f} MB program, {memory[1]:.0f} MB its {self.workers} workers"],
        ]


def _idle(agent: Agent, watch_s: float) -> Idle:
    time.sleep(FIRST_SCAN_S)
    workers = process_tree(agent.pid)[1:]
    groups = ([agent.pid], workers)
    before_s = [cpu_s(pids) for pids in groups]
    time.sleep(watch_s)
    main, others = (
        100 * (cpu_s(pids) - used_s) / watch_s for pids, used_s in zip(groups, before_s, strict=True)
    )
    memory = [sum(map(resident_bytes, pids)) / 1e6 for pids in groups]
    return Idle((main, others), (memory[0], memory[1]), len(workers))


def _answer_times(agent: Agent) -> list[list[str]]:
    rows = [
        _answer_time(agent, path)
        for path in ("/api/status", "/api/files", "/api/files?limit=100", "/api/routes")
    ]
    began_s = time.monotonic()
    length = trio.run(first_message, agent.url)
    rows.append(["`/ws`: the snapshot", f"{time.monotonic() - began_s:.2f} s, {length / 1e6:.2f} MB"])
    rows.append(["resident memory of the program afterwards", f"{resident_bytes(agent.pid) / 1e6:.0f} MB"])
    return rows


def _answer_time(agent: Agent, path: str) -> list[str]:
    began_s = time.monotonic()
    with urllib.request.urlopen(agent.url + path, timeout=PATIENCE_S) as answer:  # noqa: S310  our own
        body = answer.read()
    took_s = time.monotonic() - began_s
    json.loads(body)
    return [f"`{path}`", f"{took_s:.2f} s, {len(body) / 1e6:.2f} MB"]
