"""One file to write, and where its writer stands: in the file, and in time."""

import posixpath
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from attrs import define, field, frozen

from agent.simulate.content import Content
from agent.simulate.options import WriterOptions
from agent.simulate.recording import Edit, Recording
from agent.simulate.steps import Stamp, Sync, Write, WriteStep

_BURST_BYTES_S = 1_000_000_000
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@frozen
class WriterJob:
    """One file to write. `retake` is what follows a cut or a new beginning: the same layout, other bytes."""

    path: str
    seed: str
    start_s: float
    rate_bytes_s: int
    recording: Recording
    retake: Recording
    habits: WriterOptions

    def temp_path(self) -> str:
        """The name under which it is written; the final one if the writer uses no other."""
        folder, name = posixpath.split(self.path)
        letters = "".join(Random(f"{self.seed}/name").choices(_LETTERS, k=6))  # noqa: S311  a name, not a secret
        pattern = self.habits.temp_name or "{name}"
        return posixpath.join(folder, pattern.replace("{random}", letters).replace("{name}", name))


@define
class FileWriterPlan:
    """Makes the steps of one writer, one behind the other."""

    job: WriterJob
    now_s: float = field(init=False)
    path: str = field(init=False)
    written: int = 0
    crashed: bool = False
    _lots: Random = field(init=False)
    _places: Iterator[int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        job, habits = self.job, self.job.habits
        size = job.recording.stream.size_bytes
        self.now_s = job.start_s + (size / job.rate_bytes_s if habits.burst else 0)
        self.path = job.path
        self._lots = Random(f"{job.seed}/lots")  # noqa: S311  a simulation, not a secret
        self._places = iter(_places(habits, -(-size // habits.write_bytes), self._lots))

    def step(self, kind: type[WriteStep], **details: Any) -> WriteStep:  # noqa: ANN401  each kind has its own
        return kind(at_s=self.now_s, path=self.path, **details)

    def append(self, stream: Content, up_to: int) -> Iterator[WriteStep]:
        """Write until so many bytes of the stream have been written."""
        habits = self.job.habits
        rate = _BURST_BYTES_S if habits.burst else self.job.rate_bytes_s
        while self.written < up_to:
            offset, length = self._next(stream, up_to)
            varied = 1 + habits.jitter * self._lots.uniform(-1, 1) if habits.jitter else 1
            self.now_s += length / rate * varied
            self.written += length
            if not self._is_hole(offset, stream):
                yield from self._write(offset, stream.cut(offset, offset + length))

    def edit(self, edit: Edit) -> Iterator[WriteStep]:
        """Go back, or ahead, and overwrite."""
        habits, size = self.job.habits, edit.content.size_bytes
        for start in range(0, size, habits.write_bytes):
            content = edit.content.cut(start, min(start + habits.write_bytes, size))
            self.now_s += content.size_bytes / habits.edit_rate_bytes_s
            yield from self._write(edit.offset + start, content)
        if habits.sync:
            yield self.step(Sync)

    def stamp(self, moment: str) -> Iterator[WriteStep]:
        if moment in self.job.habits.set_mtime:
            yield self.step(Stamp, age_s=self.job.habits.mtime_age_s)

    def _write(self, offset: int, content: Content) -> Iterator[WriteStep]:
        yield self.step(Write, offset=offset, content=content, mapped=self.job.habits.mapped)
        yield from self.stamp("writes")

    def _next(self, stream: Content, up_to: int) -> tuple[int, int]:
        each = self.job.habits.write_bytes
        if self.job.habits.order == "forward":
            head = self.job.recording.head_bytes - self.written
            return self.written, min(max(each, head), up_to - self.written)
        offset = next(self._places) * each
        return offset, min(each, stream.size_bytes - offset)

    def _is_hole(self, offset: int, stream: Content) -> bool:
        habits = self.job.habits
        if habits.hole_at is None:
            return False
        start = round(habits.hole_at * stream.size_bytes)
        return start <= offset < start + habits.hole_bytes


def _places(habits: WriterOptions, count: int, lots: Random) -> Sequence[int]:
    """Numbers of the writes of a copy, in the order they are made."""
    match habits.order:
        case "interleaved":
            part = -(-count // habits.ways)
            return [place for start in range(part) for place in range(start, count, part)]
        case "tail-first":
            return [count - 1, *range(count - 1)]
        case "random":
            return lots.sample(range(count), count)
        case _:
            return ()
