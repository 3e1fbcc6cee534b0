"""One file, written in its manner: the steps of its life, in order, made as they are asked for."""

import posixpath
from collections import deque
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from attrs import define, field, frozen

from agent.simulate.content import Content, Noise
from agent.simulate.habits import Habits
from agent.simulate.recording import Edit, Recording
from agent.simulate.steps import (
    Allocate,
    Close,
    Create,
    Open,
    Remove,
    Rename,
    Stamp,
    Step,
    Sync,
    Truncate,
    Write,
)

_BURST_BYTES_S = 1_000_000_000
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@frozen
class Job:
    """One file to write. `retake` is what follows a cut or a new beginning: the same layout, other bytes."""

    path: str
    seed: str
    start_s: float
    rate_bytes_s: int
    recording: Recording
    retake: Recording
    habits: Habits

    def temp_path(self) -> str:
        """The name under which it is written; the final one if the writer uses no other."""
        folder, name = posixpath.split(self.path)
        letters = "".join(Random(f"{self.seed}/name").choices(_LETTERS, k=6))  # noqa: S311  a name, not a secret
        pattern = self.habits.temp_name or "{name}"
        return posixpath.join(folder, pattern.replace("{random}", letters).replace("{name}", name))


@frozen
class _Pause:
    after: int
    for_s: float
    closed: bool


@frozen
class _Retake:
    """Cut the file to `to`, or begin a new one, and go on with the other take."""

    after: int
    to: int
    new_file: bool


@frozen
class _Crash:
    after: int


_Incident = _Pause | _Retake | _Crash


def steps(job: Job) -> Iterator[Step]:
    """All that happens to one file."""
    pen = _Pen(job)
    if job.habits.replaces:
        yield from _an_older_one(pen)
    pen.path = job.temp_path()
    yield pen.step(Create)
    if job.habits.allocate != "none":
        yield pen.step(Allocate, length=job.recording.finished().size_bytes, way=job.habits.allocate)
    yield from pen.stamp("start")
    yield from _recorded(pen)
    if not pen.crashed:
        yield from _ended(pen)
        yield from _touched(pen)


@define
class _Pen:
    """Where the writer stands: in the file, and in time."""

    job: Job
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

    def step(self, kind: type[Step], **details: Any) -> Step:  # noqa: ANN401  each kind has its own
        return kind(at_s=self.now_s, path=self.path, **details)

    def append(self, stream: Content, up_to: int) -> Iterator[Step]:
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

    def edit(self, edit: Edit) -> Iterator[Step]:
        """Go back, or ahead, and overwrite."""
        habits, size = self.job.habits, edit.content.size_bytes
        for start in range(0, size, habits.write_bytes):
            content = edit.content.cut(start, min(start + habits.write_bytes, size))
            self.now_s += content.size_bytes / habits.edit_rate_bytes_s
            yield from self._write(edit.offset + start, content)
        if habits.sync:
            yield self.step(Sync)

    def stamp(self, moment: str) -> Iterator[Step]:
        if moment in self.job.habits.set_mtime:
            yield self.step(Stamp, age_s=self.job.habits.mtime_age_s)

    def _write(self, offset: int, content: Content) -> Iterator[Step]:
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


def _places(habits: Habits, count: int, lots: Random) -> Sequence[int]:
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


def _incidents(habits: Habits, size: int, head_bytes: int) -> list[_Incident]:
    found: list[_Incident] = []
    if habits.start_delay_s:
        found.append(_Pause(head_bytes if habits.start_with == "head" else 0, habits.start_delay_s, False))
    found += [_Pause(round(at * size), habits.pause_s, habits.pause_closed) for at in habits.pause_at]
    if habits.shrink_at is not None:
        found.append(_Retake(round(habits.shrink_at * size), round(habits.shrink_to * size), False))
    if habits.restart_at is not None:
        found.append(_Retake(round(habits.restart_at * size), 0, habits.restart == "new-file"))
    if habits.crash_at is not None:
        found.append(_Crash(round(habits.crash_at * size)))
    return sorted(found, key=lambda incident: incident.after)


def _recorded(pen: _Pen) -> Iterator[Step]:
    recording = pen.job.recording
    pending = _merged(
        _incidents(pen.job.habits, recording.stream.size_bytes, recording.head_bytes), recording.edits
    )
    while pending:
        event = pending.popleft()
        yield from pen.append(recording.stream, event.after)
        match event:
            case Edit():
                yield from pen.edit(event)
            case _Pause():
                yield from _paused(pen, event)
            case _Crash():
                pen.crashed = True
                yield pen.step(Close, crashed=True)
                return
            case _Retake():
                yield from _cut(pen, event)
                recording = pen.job.retake
                later = [each for each in pending if not isinstance(each, Edit)]
                pending = _merged(later, [edit for edit in recording.edits if edit.after > event.to])
    yield from pen.append(recording.stream, recording.stream.size_bytes)


def _merged(incidents: Sequence[_Incident], edits: Sequence[Edit]) -> deque[_Incident | Edit]:
    """In order of place; at the same place, incidents come first: who dies at the end does not close."""
    return deque(sorted([*incidents, *edits], key=lambda event: event.after))


def _paused(pen: _Pen, pause: _Pause) -> Iterator[Step]:
    if pause.closed:
        yield pen.step(Close)
    pen.now_s += pause.for_s
    if pause.closed:
        yield pen.step(Open)


def _cut(pen: _Pen, retake: _Retake) -> Iterator[Step]:
    pen.written = retake.to
    if retake.new_file:
        yield pen.step(Close)
        yield pen.step(Remove)
        yield pen.step(Create)
    else:
        yield pen.step(Truncate, length=retake.to)


def _ended(pen: _Pen) -> Iterator[Step]:
    habits = pen.job.habits
    pen.now_s += habits.hold_s
    if habits.sync:
        yield pen.step(Sync)
    yield from pen.stamp("end")
    yield pen.step(Close)
    if pen.path != pen.job.path:
        yield pen.step(Rename, to=pen.job.path, replacing=habits.replaces)
        pen.path = pen.job.path


def _touched(pen: _Pen) -> Iterator[Step]:
    habits, size = pen.job.habits, pen.job.recording.finished().size_bytes
    if habits.touch_after_s is None:
        return
    pen.now_s += habits.touch_after_s
    length = habits.touch_bytes if habits.touch_grows else min(habits.touch_bytes, size - size // 2)
    yield pen.step(Open)
    noise = Noise(f"{pen.job.seed}/touch", 0, length)
    yield pen.step(Write, offset=size if habits.touch_grows else size // 2, content=Content((noise,)))
    yield pen.step(Close)


def _an_older_one(pen: _Pen) -> Iterator[Step]:
    """What stands under the final name before."""
    noise = Noise(f"{pen.job.seed}/older", 0, pen.job.recording.stream.size_bytes // 2)
    yield pen.step(Create)
    for start in range(0, noise.length, pen.job.habits.write_bytes):
        end = min(start + pen.job.habits.write_bytes, noise.length)
        yield pen.step(Write, offset=start, content=Content((noise.cut(start, end),)))
    yield pen.step(Close)
