"""A run: several files of one profile, their names, and all their steps in the order of time."""

import heapq
import posixpath
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from attrs import evolve, frozen

from agent.config.units import format_size
from agent.simulate.containers import CONTAINERS, suffix
from agent.simulate.content import literal
from agent.simulate.options import IncompatibleOptions, WriterOptions, check
from agent.simulate.overwrites import patched
from agent.simulate.profiles import PROFILES
from agent.simulate.recording import Recording, RecordingSpec, TooLarge, TooSmall
from agent.simulate.steps import WriteStep
from agent.simulate.writer_plan import SimulatedFile
from agent.simulate.writing import steps

_SIDECAR = b'<?xml version="1.0" encoding="UTF-8"?>\n<NonRealTimeMeta><Clip name="%s"/></NonRealTimeMeta>\n'


@frozen
class Run:
    """The same run always has the same steps and the same bytes.

    `name` may begin with folders. `every_s` is the time between the starts of two files (0: all at once).
    """

    container: str
    options: WriterOptions
    name: str = "clip"
    size_bytes: int = 200_000_000
    rate_bytes_s: int = 20_000_000
    count: int = 1
    every_s: float = 0.0
    seed: int = 1

    @classmethod
    def from_profile(cls, profile: str, **details: Any) -> "Run":  # noqa: ANN401  any field of a run
        """A run of the profile with this name; `details` replace fields of the run."""
        known = PROFILES[profile]
        return evolve(cls(known.container, known.options), **details)

    def files(self) -> Iterator[SimulatedFile]:
        """The files to write.

        Raises:
            IncompatibleOptions: the container cannot have this size, or the options contradict each other.
        """
        check(self.options, self.container)
        for number in range(1, self.count + 1):
            yield from self._group(number)

    def steps(self) -> Iterator[WriteStep]:
        """All steps of all files, in the order of time.

        Raises:
            IncompatibleOptions: as `files`, before the first step.
        """
        return in_order(list(self.files()))

    def stem(self, number: int) -> str:
        """A file's name without member and suffix; numbered when there are several files."""
        return self.name if self.count == 1 else f"{self.name}-{number:04}"

    def _group(self, number: int) -> Iterator[SimulatedFile]:
        stem = self.stem(number)
        start_s = (number - 1) * self.every_s
        files = []
        for position, member in enumerate(self.options.members):
            options = evolve(self.options, hold_s=self.options.hold_s + position * self.options.skew_s)
            path = f"{stem}{member}.{suffix(self.container)}"
            files.append(self._file(path, f"{self.seed}/{number}{member}", start_s, options))
        yield from files
        if self.options.sidecar:
            yield self._sidecar(stem, files[-1])

    def _file(self, path: str, seed: str, start_s: float, options: WriterOptions) -> SimulatedFile:
        first = self._recording(seed, options)
        second = self._recording(f"{seed}/retake", options) if options.has_second_recording else first
        return SimulatedFile(path, seed, start_s, self.rate_bytes_s, first, second, options)

    def _recording(self, seed: str, options: WriterOptions) -> Recording:
        spec = RecordingSpec(seed, self.size_bytes, self.rate_bytes_s, options.period_s, options.tail_bytes)
        try:
            recording = CONTAINERS[self.container](spec)
        except TooSmall as error:
            least = format_size(-(-error.least_bytes // 1000) * 1000)
            raise IncompatibleOptions(f"{self.container} needs {least} at least: raise --size") from None
        except TooLarge as error:
            raise IncompatibleOptions(
                f"{self.container} holds {error.most_bytes} bytes at most: lower --size"
            ) from None
        if options.copies:
            recording = Recording(recording.finished())
        return patched(recording, options, spec) if options.patches else recording

    def _sidecar(self, stem: str, last: SimulatedFile) -> SimulatedFile:
        """The sidecar is written when the last member has been closed."""
        folder, name = posixpath.split(stem)
        end_s = deque(steps(last), maxlen=1)[0].at_s + self.options.skew_s
        path = posixpath.join(folder, self.options.sidecar.replace("{stem}", name))
        recording = Recording(literal(_SIDECAR % name.encode("utf-8", "surrogateescape")))
        return SimulatedFile(
            path, f"{last.seed}/sidecar", end_s, self.rate_bytes_s, recording, recording, WriterOptions()
        )


def in_order(files: Iterable[SimulatedFile]) -> Iterator[WriteStep]:
    """The steps of all files, in the order of time."""
    return heapq.merge(*map(steps, files), key=lambda step: step.at_s)
