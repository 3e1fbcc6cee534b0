"""A run: so many files in one manner, their names, and all their steps in the order of time."""

import heapq
import posixpath
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from attrs import evolve, frozen

from agent.config.units import format_size
from agent.simulate.containers import FORMS, suffix
from agent.simulate.content import literal
from agent.simulate.options import IncompatibleOptions, WriterOptions, check
from agent.simulate.overwrites import patched
from agent.simulate.profiles import PROFILES
from agent.simulate.recording import Material, Recording, TooLarge, TooSmall
from agent.simulate.steps import WriteStep
from agent.simulate.writer_plan import WriterJob
from agent.simulate.writing import steps

_SIDECAR = b'<?xml version="1.0" encoding="UTF-8"?>\n<NonRealTimeMeta><Clip name="%s"/></NonRealTimeMeta>\n'


@frozen
class Run:
    """What is asked for; the same run has the same steps, byte for byte.

    `name` may begin with folders; `every_s` lies between the beginnings of two files (0: all at once).
    """

    container: str
    habits: WriterOptions
    name: str = "clip"
    size_bytes: int = 200_000_000
    rate_bytes_s: int = 20_000_000
    count: int = 1
    every_s: float = 0.0
    seed: int = 1

    @classmethod
    def of(cls, manner: str, **details: Any) -> "Run":  # noqa: ANN401  whatever a run has
        """A run of a manner by its name, as the field knows it unless `details` say otherwise."""
        known = PROFILES[manner]
        return evolve(cls(known.container, known.habits), **details)

    def jobs(self) -> Iterator[WriterJob]:
        """One for each file.

        Raises:
            Unfitting: the container cannot be made so, or the habits do not go together.
        """
        check(self.habits, self.container)
        for number in range(1, self.count + 1):
            yield from self._take(number)

    def steps(self) -> Iterator[WriteStep]:
        """Everything that happens to the folder.

        Raises:
            Unfitting: as `jobs`, before the first step.
        """
        return in_order(list(self.jobs()))

    def stem(self, number: int) -> str:
        """The name of a file without what members and container add; numbered when there are several."""
        return self.name if self.count == 1 else f"{self.name}-{number:04}"

    def _take(self, number: int) -> Iterator[WriterJob]:
        stem = self.stem(number)
        start_s = (number - 1) * self.every_s
        jobs = []
        for place, member in enumerate(self.habits.members):
            habits = evolve(self.habits, hold_s=self.habits.hold_s + place * self.habits.skew_s)
            path = f"{stem}{member}.{suffix(self.container)}"
            jobs.append(self._job(path, f"{self.seed}/{number}{member}", start_s, habits))
        yield from jobs
        if self.habits.sidecar:
            yield self._sidecar(stem, jobs[-1])

    def _job(self, path: str, seed: str, start_s: float, habits: WriterOptions) -> WriterJob:
        first = self._recording(seed, habits)
        second = self._recording(f"{seed}/retake", habits) if habits.retakes else first
        return WriterJob(path, seed, start_s, self.rate_bytes_s, first, second, habits)

    def _recording(self, seed: str, habits: WriterOptions) -> Recording:
        material = Material(seed, self.size_bytes, self.rate_bytes_s, habits.period_s, habits.tail_bytes)
        try:
            recording = FORMS[self.container](material)
        except TooSmall as error:
            least = format_size(-(-error.least_bytes // 1000) * 1000)
            raise IncompatibleOptions(f"{self.container} needs {least} at least: raise --size") from None
        except TooLarge as error:
            raise IncompatibleOptions(
                f"{self.container} holds {error.most_bytes} bytes at most: lower --size"
            ) from None
        if habits.copies:
            recording = Recording(recording.finished())
        return patched(recording, habits, material) if habits.patches else recording

    def _sidecar(self, stem: str, last: WriterJob) -> WriterJob:
        """Written when the last member has been closed."""
        folder, name = posixpath.split(stem)
        end_s = deque(steps(last), maxlen=1)[0].at_s + self.habits.skew_s
        path = posixpath.join(folder, self.habits.sidecar.replace("{stem}", name))
        recording = Recording(literal(_SIDECAR % name.encode("utf-8", "surrogateescape")))
        return WriterJob(
            path, f"{last.seed}/sidecar", end_s, self.rate_bytes_s, recording, recording, WriterOptions()
        )


def in_order(jobs: Iterable[WriterJob]) -> Iterator[WriteStep]:
    """The steps of all of them, in the order of time."""
    return heapq.merge(*map(steps, jobs), key=lambda step: step.at_s)
