"""Where and how a run of the agent is killed, and the count of its steps that all its processes share."""

import enum
import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from attrs import define, field, frozen

Side = Literal["before", "after"]
SIDES: tuple[Side, ...] = ("before", "after")
KILL_MARK, START_MARK = "killed", "started"  # marks in the trace


class KillTarget(enum.Enum):
    """Which processes are killed."""

    WORKER = "worker"
    AGENT = "agent"  # its workers notice it and exit
    ALL = "all"  # the agent and every worker at once


@frozen
class Step:
    """The `number`-th occurrence of `name`, from 1, over all processes of a run."""

    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.name} #{self.number}"


@frozen
class Kill:
    """SIGKILL right before or right after a step."""

    step: Step
    side: Side
    target: KillTarget

    def __str__(self) -> str:
        return f"{self.target.value} killed {self.side} {self.step}"


@frozen
class TraceEntry:
    """A line of the trace: one side of a step, and how many bytes it wrote."""

    side: str
    step: Step
    size_bytes: int


@define
class Trace:
    """A file with a line for each side of each step of all runs in one folder; one writer at a time."""

    path: Path
    kill: Kill | None = None
    agent_pid: int = field(factory=os.getpid)

    def record(
        self, side: Side, name: str, size_bytes: int = 0, *, on_kill: Callable[[], None] | None = None
    ) -> None:
        """Write an entry; if the kill is due here, call `on_kill`, then kill."""
        # Only calls that are not counted: `open` and `write` of a file object do not go through `os`.
        with self.path.open("r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            number = 1 + _count(file.read().decode(), side, name)
            file.write(f"{side}\t{name}\t{number}\t{size_bytes}\n".encode())
            kill = self.kill
            if kill is not None and (kill.side, kill.step) == (side, Step(name, number)):
                file.write(f"{KILL_MARK}\t\t0\t0\n".encode())
                if on_kill is not None:
                    on_kill()
                self._kill(kill.target)

    def mark(self, what: str) -> None:
        with self.path.open("ab", buffering=0) as file:
            file.write(f"{what}\t\t0\t0\n".encode())

    def count(self, side: Side, name: str) -> int:
        return _count(self.path.read_text(), side, name)

    def entries(self) -> list[TraceEntry]:
        return [_parsed(line) for line in self.path.read_text().splitlines()]

    def steps(self) -> list[Step]:
        """Every step that was begun, in order."""
        return [entry.step for entry in self.entries() if entry.side == "before"]

    def _kill(self, target: KillTarget) -> None:
        match target:
            case KillTarget.WORKER:
                os.kill(os.getpid(), signal.SIGKILL)
            case KillTarget.AGENT:
                os.kill(self.agent_pid, signal.SIGKILL)
            case KillTarget.ALL:
                os.killpg(self.agent_pid, signal.SIGKILL)


def _count(text: str, side: Side, name: str) -> int:
    """Counted in the last run alone, since the progress of a killed one varies."""
    this_run = text.rpartition(f"\n{START_MARK}\t")[2]
    return sum(line.startswith(f"{side}\t{name}\t") for line in this_run.splitlines())


def _parsed(line: str) -> TraceEntry:
    side, name, number, size_bytes = line.split("\t")
    return TraceEntry(side, Step(name, int(number)), int(size_bytes))
