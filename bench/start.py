"""The start: until the page answers, and until a worker does; seconds, and processor time of the process."""

import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, cast

from attrs import define, field

from agent.protocol.frames import read_frame
from bench.process_usage import exact_cpu_s, until
from bench.report import Figures, emit, spread, table
from tests.system.agents import Agent

POLL_S = 0.005
ANSWERS = {
    "/livez": "the agent: until the first answer, of `/livez`",
    "/": "the agent: until the first page",
    "/readyz": "the agent: until `/readyz` says that it is ready",
}
WORKER = "a worker: until its first reply"


@define
class Times:
    """For each start: seconds since the command, and the processor time that its process has used."""

    took_s: list[float] = field(factory=list)
    cpu_s: list[float] = field(factory=list)

    def add(self, began_s: float, pid: int) -> None:
        self.took_s.append(time.monotonic() - began_s)
        self.cpu_s.append(exact_cpu_s(pid))


def start(count: int) -> Figures:
    """Measure this many starts of the agent and of a worker, all with warm caches."""
    measured: dict[str, Times] = {}
    with TemporaryDirectory() as folder:
        agent = _configured(Path(folder))
        _start_agent(agent, {})  # makes the journal, and fills the caches
        _start_worker(Times())
        for _ in range(count):
            _start_agent(agent, measured)
            _start_worker(measured.setdefault(WORKER, Times()))
    emit(f"## start: {count} starts with warm caches\n")
    rows = [[name, spread(times.took_s), spread(times.cpu_s)] for name, times in measured.items()]
    table(("what", "took", "processor"), rows)
    return {name: statistics.median(times.took_s) for name, times in measured.items()}


def _configured(home: Path) -> Agent:
    agent = Agent(home)
    agent.source.mkdir()
    agent.nas.mkdir()
    agent.configure()
    return agent


def _start_agent(agent: Agent, measured: dict[str, Times]) -> None:
    """Start it, ask for each path until it is answered with 200, and stop it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    with _process(agent.command("run", "--bind", address)) as (process, began_s):
        for path, name in ANSWERS.items():
            until(partial(_is_answered, f"http://{address}{path}"), every_s=POLL_S)
            measured.setdefault(name, Times()).add(began_s, process.pid)
        process.terminate()
        process.wait()


def _is_answered(url: str) -> bool:
    try:
        with urllib.request.urlopen(url) as answer:  # noqa: S310  our own
            answer.read()
    except OSError:  # it does not listen yet, or is not ready
        return False
    return True


def _start_worker(times: Times) -> None:
    command = [sys.executable, "-P", "-m", "agent.worker.server", os.devnull]
    with _process(command) as (process, began_s):
        read_frame(cast("BinaryIO", process.stdout))
        times.add(began_s, process.pid)


@contextmanager
def _process(command: list[str]) -> Iterator[tuple["subprocess.Popen[bytes]", float]]:
    began_s = time.monotonic()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process, began_s
        finally:
            process.kill()
