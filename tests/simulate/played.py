"""Plays runs as fast as possible and collects their steps and expected files."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from agent.model.source_file import ContainerState
from agent.simulate.player import Player
from agent.simulate.runs import Run
from agent.simulate.steps import Write, WriteStep
from agent.worker.source.containers import judge

SIZE_BYTES = 6_000_000
RATE_BYTES_S = 2_000_000


@frozen
class OnDisk:
    """A file as the container rules read it."""

    fd: int
    size_bytes: int

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self.fd, length, offset)


def container_state(path: Path) -> ContainerState:
    fd = os.open(path, os.O_RDONLY)
    try:
        return judge(OnDisk(fd, os.fstat(fd).st_size)).container
    finally:
        os.close(fd)


@define
class Played:
    """A run that has been played in `folder`: its steps, and digest and size of each expected file."""

    folder: Path
    steps: list[WriteStep] = field(factory=list)
    expected: dict[str, str] = field(factory=dict)
    sizes: dict[str, int] = field(factory=dict)

    def files(self) -> dict[str, Path]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path for path in found}

    def of(self, *kinds: type[WriteStep]) -> list[WriteStep]:
        return [step for step in self.steps if isinstance(step, kinds)]

    def ops(self) -> list[str]:
        """The names of the steps, without repetitions."""
        names = [type(step).__name__ for step in self.steps]
        return [name for index, name in enumerate(names) if not index or names[index - 1] != name]


def a_run(profile: str, **details: Any) -> Run:  # noqa: ANN401  any field of a run
    return Run.from_profile(
        profile, **{"size_bytes": SIZE_BYTES, "rate_bytes_s": RATE_BYTES_S, "seed": 7} | details
    )


def play(folder: Path, run: Run, on_step: Callable[[WriteStep], None] = lambda _: None) -> Played:
    played = Played(folder)

    def note(step: WriteStep) -> None:
        played.steps.append(step)
        on_step(step)

    player = Player(str(folder), note, paced=False)
    player.play(run.steps())
    for path, content in player.expected_contents().items():
        played.expected[path], played.sizes[path] = content.sha256(), content.size_bytes
    return played


def rewrites(steps: list[WriteStep]) -> Iterator[tuple[int, int, int]]:
    """Each write over existing bytes: file size at that time, offset, length."""
    size = 0
    for step in steps:
        if isinstance(step, Write):
            end = step.offset + step.content.size_bytes
            if step.offset < size:
                yield size, step.offset, step.content.size_bytes
            size = max(size, end)
