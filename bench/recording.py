"""One measured recording: an agent, a slow share, a writer, and the lag of the file."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.mounts.mounts import FaultMount
from tests.system.agents import Agent
from tests.system.writers import copied, sha256

SHARED_MEMORY = "/dev/shm"  # noqa: S108  the link limits the share, not a disk of this machine


@frozen
class Setting:
    """`link_bytes_s`: rate of the share, reads and writes together; None: no limit."""

    stable_s: float
    link_bytes_s: float | None


@frozen
class Outcome:
    """`lag_s`: from the writer's last close to the log line `delivered`. Sizes in bytes.

    `early_bytes` had been copied before the file ended and were still valid; `patched_blocks` were not.
    """

    path: str
    size_bytes: int
    lag_s: float
    early_bytes: int
    patched_blocks: int

    @property
    def late_bytes(self) -> int:
        return self.size_bytes - self.early_bytes


def measure(setting: Setting, growing: bool, simulations: Iterable[tuple[str, ...]]) -> list[Outcome]:
    """Record and deliver; each simulation is a list of arguments of the verb `simulate`. All run at once.

    Raises:
        AssertionError: a file has not arrived, or not as it was written.
    """
    with _agent(setting, growing) as agent, ExitStack() as ended:
        writers = [ended.enter_context(_simulation(agent, words)) for words in simulations]
        lines = [line for writer in writers for line in _step_log(agent, writer)]
        closed = {line["path"]: _time(line) for line in lines if line["op"] == "close"}
        results = {line["path"]: line for line in lines if line["op"] == "result"}
        agent.wait_until(lambda: len(agent.events("delivered")) == len(results))
        delivered = {event["file"]: _time(event) for event in agent.events("delivered")}
        for path, result in results.items():
            assert sha256(agent.nas / path) == result["sha256"], f"{path} is not what was written"
        return [_outcome(agent, results[path], delivered[path] - closed[path]) for path in results]


def _outcome(agent: Agent, result: dict[str, Any], lag_s: float) -> Outcome:
    copy = copied(agent, result["path"])
    return Outcome(
        result["path"], result["size"], lag_s, int(copy["resumed_bytes"]), int(copy["patched_blocks"])
    )


@contextmanager
def _agent(setting: Setting, growing: bool) -> Iterator[Agent]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as home,
        tempfile.TemporaryDirectory(prefix="bench-", dir=SHARED_MEMORY) as backing,
    ):
        agent = Agent(Path(home))
        agent.source.mkdir()
        with FaultMount.at(agent.nas, Path(backing)) as share:
            share.slow(setting.link_bytes_s)
            agent.configure(
                growing=growing,
                growing_min_size=1,
                stable=f"{setting.stable_s}s",
                stall_timeout="60s",
                workers=4,
            )
            try:
                agent.start()
                yield agent
                share.slow(None)
                agent.stop()
            finally:
                agent.clean_up()


@contextmanager
def _simulation(agent: Agent, words: tuple[str, ...]) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "agent", "simulate", str(agent.source), "--quiet", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        try:
            yield writer
        finally:
            writer.kill()


def _step_log(agent: Agent, writer: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    """The step log of a writer. Drops each closed file from the cache: few real recordings fit into one."""
    assert writer.stdout is not None
    for text in writer.stdout:
        line = json.loads(text)
        if line["op"] == "close":
            with suppress(FileNotFoundError):
                _drop_cache(agent.source / line["path"])
        yield line
    assert writer.wait() == 0


def _drop_cache(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _time(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["time"]).timestamp()
