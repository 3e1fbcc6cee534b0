"""One file to write, and the plan of its writer: the position in the file and in time."""

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
class SimulatedFile:
    """One file to write. `second` follows a cut or a restart: the same layout with other bytes."""

    path: str
    seed: str
    start_s: float
    rate_bytes_s: int
    recording: Recording
    second: Recording
    options: WriterOptions

    def temp_path(self) -> str:
        """The name under which it is written; the final one if the writer uses no other."""
        folder, name = posixpath.split(self.path)
        letters = "".join(Random(f"{self.seed}/name").choices(_LETTERS, k=6))  # noqa: S311  a name, not a secret
        pattern = self.options.temp_name or "{name}"
        return posixpath.join(folder, pattern.replace("{random}", letters).replace("{name}", name))


@define
class FileWriterPlan:
    """Makes the steps of one writer, one after the other.

    `now_s` counts from the start of the run; `written` is the number of bytes appended so far.
    """

    file: SimulatedFile
    now_s: float = field(init=False)
    path: str = field(init=False)
    written: int = 0
    crashed: bool = False
    _rng: Random = field(init=False)
    _write_order: Iterator[int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        file, options = self.file, self.file.options
        size = file.recording.stream.size_bytes
        self.now_s = file.start_s + (size / file.rate_bytes_s if options.burst else 0)
        self.path = file.path
        self._rng = Random(f"{file.seed}/lots")  # noqa: S311  a simulation, not a secret
        self._write_order = iter(_write_order(options, -(-size // options.write_bytes), self._rng))

    def step(self, kind: type[WriteStep], **details: Any) -> WriteStep:  # noqa: ANN401  each kind has its own
        return kind(at_s=self.now_s, path=self.path, **details)

    def append(self, stream: Content, up_to: int) -> Iterator[WriteStep]:
        """Write until `up_to` bytes of the stream have been written."""
        options = self.file.options
        rate = _BURST_BYTES_S if options.burst else self.file.rate_bytes_s
        while self.written < up_to:
            offset, length = self._next(stream, up_to)
            varied = 1 + options.jitter * self._rng.uniform(-1, 1) if options.jitter else 1
            self.now_s += length / rate * varied
            self.written += length
            if not self._is_hole(offset, stream):
                yield from self._write(offset, stream.cut(offset, offset + length))

    def edit(self, edit: Edit) -> Iterator[WriteStep]:
        """Overwrite an earlier range, or write one ahead of the tail."""
        options, size = self.file.options, edit.content.size_bytes
        for start in range(0, size, options.write_bytes):
            content = edit.content.cut(start, min(start + options.write_bytes, size))
            self.now_s += content.size_bytes / options.edit_rate_bytes_s
            yield from self._write(edit.offset + start, content)
        if options.sync:
            yield self.step(Sync)

    def stamp(self, moment: str) -> Iterator[WriteStep]:
        """Set the file's times, if the options name this moment."""
        if moment in self.file.options.set_mtime:
            yield self.step(Stamp, age_s=self.file.options.mtime_age_s)

    def _write(self, offset: int, content: Content) -> Iterator[WriteStep]:
        yield self.step(Write, offset=offset, content=content, mapped=self.file.options.mapped)
        yield from self.stamp("writes")

    def _next(self, stream: Content, up_to: int) -> tuple[int, int]:
        """Offset and length of the next write."""
        each = self.file.options.write_bytes
        if self.file.options.order == "forward":
            head = self.file.recording.head_bytes - self.written
            return self.written, min(max(each, head), up_to - self.written)
        offset = next(self._write_order) * each
        return offset, min(each, stream.size_bytes - offset)

    def _is_hole(self, offset: int, stream: Content) -> bool:
        options = self.file.options
        if options.hole_at is None:
            return False
        start = round(options.hole_at * stream.size_bytes)
        return start <= offset < start + options.hole_bytes


def _write_order(options: WriterOptions, count: int, rng: Random) -> Sequence[int]:
    """The numbers of a copy's writes, in the order in which they are made."""
    match options.order:
        case "interleaved":
            part = -(-count // options.ways)
            return [number for start in range(part) for number in range(start, count, part)]
        case "tail-first":
            return [count - 1, *range(count - 1)]
        case "random":
            return rng.sample(range(count), count)
        case _:
            return ()
