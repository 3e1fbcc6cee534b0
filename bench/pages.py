"""What visitors of the page cost: copies with none, one, 50 and 200 of them watching."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field

from bench.ground import Ground
from bench.ours import first_started_at, last_delivered_at
from bench.processes import until
from bench.report import note, percentile, say, table
from bench.works import Work
from tests.system.agents import Agent

CROWDS = (0, 1, 50, 200)
SETTLE_S = 2.0  # for the last news


@define
class Crowd:
    """What was seen with so many visitors: bytes a second, ages of news, visitors sent away."""

    rates_bytes_s: list[float] = field(factory=list)
    lags_s: list[float] = field(factory=list)
    closed: int = 0


def pages(work: Work, rounds: int) -> None:
    """Print throughput and the age of news for each crowd."""
    crowds = {count: Crowd() for count in CROWDS}
    with Ground.of(work.disk_bytes) as ground:
        work.write(ground.masters)
        for number in range(rounds):
            for count, crowd in crowds.items():
                _once(ground, work, count, crowd)
                note(f"pages, round {number + 1}: {count} visitors: {crowd.rates_bytes_s[-1] / 1e6:.1f} MB/s")
    alone = statistics.median(crowds[0].rates_bytes_s)
    say(f"## pages: {work.count} files, {work.total_bytes / 1e6:,.0f} MB, {rounds} rounds\n")
    head = ("visitors", "copied", "share of it without visitors", "news, median age", "p99", "sent away")
    table(head, [_row(count, crowd, alone) for count, crowd in crowds.items()])
    say("Of 50 and of 200 visitors one never reads. Visitors run on the same machine.\n")


def _once(ground: Ground, work: Work, count: int, crowd: Crowd) -> None:
    ground.set_up()
    agent = Agent(ground.home)
    incoming = ground.source.rename(ground.near.path / "incoming")
    ground.source.mkdir()
    places = {"source": str(ground.source), "destination": str(ground.destination)}
    agent.configure(**places, stable="1s", scan="10s", probe="5s", workers=2)
    agent.start()
    try:
        with _visitors(agent.url, count) as told:
            for path in list(incoming.iterdir()):
                path.rename(ground.source / path.name)
            incoming.rmdir()
            until(lambda: not any(ground.source.iterdir()), every_s=0.5)
            time.sleep(SETTLE_S)
        agent.stop()
    finally:
        agent.end()
    took_s = last_delivered_at(agent) - first_started_at(agent)
    crowd.rates_bytes_s.append(work.total_bytes / took_s)
    crowd.lags_s += told.get("lags_s", [])
    crowd.closed += told.get("closed", 0)


@contextmanager
def _visitors(url: str, count: int) -> Iterator[dict[str, Any]]:
    """They watch during the block; what they have seen is filled in at its end."""
    told: dict[str, Any] = {}
    if count == 0:
        yield told
        return
    command = [sys.executable, "-m", "bench.visitors", url, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        yield told
        process.stdin.close()
        told |= json.loads(process.stdout.read())


def _row(count: int, crowd: Crowd, alone: float) -> list[str]:
    rate = statistics.median(crowd.rates_bytes_s)
    ages = [f"{percentile(crowd.lags_s, share):.2f} s" if crowd.lags_s else "" for share in (0.5, 0.99)]
    return [str(count), f"{rate / 1e6:.1f} MB/s", f"{rate / alone:.2f}", *ages, str(crowd.closed)]
