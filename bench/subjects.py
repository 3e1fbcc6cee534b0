"""Subjects: ways of moving everything, with their guarantees and run times."""

import subprocess
import time
from collections.abc import Callable

from attrs import frozen

from bench.disk_pair import DiskPair
from bench.requirements import program


@frozen
class RunTime:
    """`s`: the whole program, from start to end. `net_s`: without start and waiting, if known."""

    s: float
    net_s: float | None = None

    @property
    def best_s(self) -> float:
        return self.s if self.net_s is None else self.net_s


@frozen
class Subject:
    """One way of moving. `verified`, `synced`: its guarantees when it has ended."""

    name: str
    verified: str
    synced: str
    move: Callable[[DiskPair], RunTime]
    is_as_safe: bool = False  # as safe as reading back from the storage before the source goes
    is_ours: bool = False
    needs: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """The first word, for a column."""
        return self.name.split()[0]


def output_of(name: str, *words: str) -> str:
    """Run a program; its standard output. Raises: AssertionError: it fails."""
    command = [program(name), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{name} {' '.join(words)}: {done.stderr[-2000:]}"
    return done.stdout


def timed(*steps: Callable[[DiskPair], None]) -> Callable[[DiskPair], RunTime]:
    """Run these steps one after the other and time them."""

    def move(disks: DiskPair) -> RunTime:
        began_s = time.monotonic()
        for step in steps:
            step(disks)
        return RunTime(time.monotonic() - began_s)

    return move
