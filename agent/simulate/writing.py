"""The life of one file, written in its manner: steps in the order of time, made as they are asked for."""

from collections import deque
from collections.abc import Iterator, Sequence

from attrs import frozen

from agent.simulate.content import Content, Noise
from agent.simulate.options import WriterOptions
from agent.simulate.recording import Edit
from agent.simulate.steps import (
    Allocate,
    Close,
    Create,
    Open,
    Remove,
    Rename,
    Sync,
    Truncate,
    Write,
    WriteStep,
)
from agent.simulate.writer_plan import FileWriterPlan, WriterJob


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


def steps(job: WriterJob) -> Iterator[WriteStep]:
    """All that happens to one file."""
    pen = FileWriterPlan(job)
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


def _incidents(habits: WriterOptions, size: int, head_bytes: int) -> list[_Incident]:
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


def _recorded(pen: FileWriterPlan) -> Iterator[WriteStep]:
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


def _paused(pen: FileWriterPlan, pause: _Pause) -> Iterator[WriteStep]:
    if pause.closed:
        yield pen.step(Close)
    pen.now_s += pause.for_s
    if pause.closed:
        yield pen.step(Open)


def _cut(pen: FileWriterPlan, retake: _Retake) -> Iterator[WriteStep]:
    pen.written = retake.to
    if retake.new_file:
        yield pen.step(Close)
        yield pen.step(Remove)
        yield pen.step(Create)
    else:
        yield pen.step(Truncate, length=retake.to)


def _ended(pen: FileWriterPlan) -> Iterator[WriteStep]:
    habits = pen.job.habits
    pen.now_s += habits.hold_s
    if habits.sync:
        yield pen.step(Sync)
    yield from pen.stamp("end")
    yield pen.step(Close)
    if pen.path != pen.job.path:
        yield pen.step(Rename, to=pen.job.path, replacing=habits.replaces)
        pen.path = pen.job.path


def _touched(pen: FileWriterPlan) -> Iterator[WriteStep]:
    habits, size = pen.job.habits, pen.job.recording.finished().size_bytes
    if habits.touch_after_s is None:
        return
    pen.now_s += habits.touch_after_s
    length = habits.touch_bytes if habits.touch_grows else min(habits.touch_bytes, size - size // 2)
    yield pen.step(Open)
    noise = Noise(f"{pen.job.seed}/touch", 0, length)
    yield pen.step(Write, offset=size if habits.touch_grows else size // 2, content=Content((noise,)))
    yield pen.step(Close)


def _an_older_one(pen: FileWriterPlan) -> Iterator[WriteStep]:
    """What stands under the final name before."""
    noise = Noise(f"{pen.job.seed}/older", 0, pen.job.recording.stream.size_bytes // 2)
    yield pen.step(Create)
    for start in range(0, noise.length, pen.job.habits.write_bytes):
        end = min(start + pen.job.habits.write_bytes, noise.length)
        yield pen.step(Write, offset=start, content=Content((noise.cut(start, end),)))
    yield pen.step(Close)
