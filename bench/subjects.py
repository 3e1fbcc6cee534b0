"""Ways of moving everything: what they are called, what they promise, how long they took."""

import subprocess
import time
from collections.abc import Callable

from attrs import frozen

from bench.ground import Ground
from bench.needs import program


@frozen
class Took:
    """`s`: the whole program, from start to end. `net_s`: without start and waiting, where that is known."""

    s: float
    net_s: float | None = None

    @property
    def best_s(self) -> float:
        return self.s if self.net_s is None else self.net_s


@frozen
class Subject:
    """One way. `verified`, `synced`: what holds when it has ended."""

    name: str
    verified: str
    synced: str
    move: Callable[[Ground], Took]
    equal: bool = False  # as safe as reading back from the storage before the source goes
    ours: bool = False
    needs: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """The first word, for a column."""
        return self.name.split()[0]


def told(name: str, *words: str) -> str:
    """What a program says. Raises: AssertionError: it fails."""
    command = [program(name), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{name} {' '.join(words)}: {done.stderr[-2000:]}"
    return done.stdout


def timed(*steps: Callable[[Ground], None]) -> Callable[[Ground], Took]:
    """One after the other."""

    def move(ground: Ground) -> Took:
        began_s = time.monotonic()
        for step in steps:
            step(ground)
        return Took(time.monotonic() - began_s)

    return move
