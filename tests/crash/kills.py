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
STRUCK, STARTED = "struck", "started"  # marks in the trace


class Manner(enum.Enum):
    """Who dies."""

    WORKER = "worker"
    AGENT = "agent"  # its workers notice by themselves
    ALL = "all"  # the agent and every worker at once


@frozen
class Step:
    """The `number`-th time, from 1 and over all processes of a run, that something named `name` is done."""

    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.name} #{self.number}"


@frozen
class Kill:
    """SIGKILL right before or right after a step."""

    step: Step
    side: Side
    manner: Manner

    def __str__(self) -> str:
        return f"{self.manner.value} killed {self.side} {self.step}"


@frozen
class Passage:
    """A line of the trace: one side of a step, and how many bytes it was about."""

    side: str
    step: Step
    size_bytes: int


@define
class Trace:
    """A file with a line for each side of each step of all runs in one folder; one writer at a time."""

    path: Path
    kill: Kill | None = None
    agent_pid: int = field(factory=os.getpid)

    def passing(
        self, side: Side, name: str, size_bytes: int = 0, *, witness: Callable[[], None] | None = None
    ) -> None:
        """Write it down; if it is the moment to strike, let the `witness` look and kill."""
        # Nothing here may use what is counted: `open` and `write` of a file object do not go through `os`.
        with self.path.open("r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            number = 1 + _count(file.read().decode(), side, name)
            file.write(f"{side}\t{name}\t{number}\t{size_bytes}\n".encode())
            kill = self.kill
            if kill is not None and (kill.side, kill.step) == (side, Step(name, number)):
                file.write(f"{STRUCK}\t\t0\t0\n".encode())
                if witness is not None:
                    witness()
                self._strike(kill.manner)

    def mark(self, what: str) -> None:
        with self.path.open("ab", buffering=0) as file:
            file.write(f"{what}\t\t0\t0\n".encode())

    def count(self, side: Side, name: str) -> int:
        return _count(self.path.read_text(), side, name)

    def passages(self) -> list[Passage]:
        return [_parsed(line) for line in self.path.read_text().splitlines()]

    def steps(self) -> list[Step]:
        """Every step that was begun, in order."""
        return [passage.step for passage in self.passages() if passage.side == "before"]

    def _strike(self, manner: Manner) -> None:
        match manner:
            case Manner.WORKER:
                os.kill(os.getpid(), signal.SIGKILL)
            case Manner.AGENT:
                os.kill(self.agent_pid, signal.SIGKILL)
            case Manner.ALL:
                os.killpg(self.agent_pid, signal.SIGKILL)


def _count(text: str, side: Side, name: str) -> int:
    """In the run that began last: how far a killed one had come is not the same every time."""
    this_run = text.rpartition(f"\n{STARTED}\t")[2]
    return sum(line.startswith(f"{side}\t{name}\t") for line in this_run.splitlines())


def _parsed(line: str) -> Passage:
    side, name, number, size_bytes = line.split("\t")
    return Passage(side, Step(name, int(number)), int(size_bytes))
