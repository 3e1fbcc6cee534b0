"""The steps of one file, from its creation to its last change, made one by one as they are asked for."""

from collections import deque
from collections.abc import Iterator, Sequence

from attrs import frozen

from agent.simulate.content import Content, Noise
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
from agent.simulate.writer_plan import FileWriterPlan, SimulatedFile


@frozen
class _Pause:
    after: int
    for_s: float
    closed: bool


@frozen
class _Restart:
    """Cut the file to `to` bytes, or begin a new one, and go on with the second recording."""

    after: int
    to: int
    new_file: bool


@frozen
class _Crash:
    after: int


_Incident = _Pause | _Restart | _Crash


def steps(file: SimulatedFile) -> Iterator[WriteStep]:
    """All steps of one file."""
    plan = FileWriterPlan(file)
    if file.options.replaces:
        yield from _write_older_file(plan)
    plan.path = file.temp_path()
    yield plan.step(Create)
    if file.options.allocate != "none":
        yield plan.step(Allocate, length=file.recording.finished().size_bytes, way=file.options.allocate)
    yield from plan.stamp("start")
    yield from _record(plan)
    if not plan.crashed:
        yield from _finish(plan)
        yield from _touch(plan)


def _write_older_file(plan: FileWriterPlan) -> Iterator[WriteStep]:
    """Write the file that will be replaced, under the final name."""
    noise = Noise(f"{plan.file.seed}/older", 0, plan.file.recording.stream.size_bytes // 2)
    yield plan.step(Create)
    for start in range(0, noise.length, plan.file.options.write_bytes):
        end = min(start + plan.file.options.write_bytes, noise.length)
        yield plan.step(Write, offset=start, content=Content((noise.cut(start, end),)))
    yield plan.step(Close)


def _record(plan: FileWriterPlan) -> Iterator[WriteStep]:
    """Append the recording, with its edits and incidents where they are due."""
    recording = plan.file.recording
    pending = _merged(_incidents(plan.file), recording.edits)
    while pending:
        event = pending.popleft()
        yield from plan.append(recording.stream, event.after)
        match event:
            case Edit():
                yield from plan.edit(event)
            case _Pause():
                yield from _pause(plan, event)
            case _Crash():
                plan.crashed = True
                yield plan.step(Close, crashed=True)
                return
            case _Restart():
                yield from _restart(plan, event)
                recording = plan.file.second
                later = [each for each in pending if not isinstance(each, Edit)]
                pending = _merged(later, [edit for edit in recording.edits if edit.after > event.to])
    yield from plan.append(recording.stream, recording.stream.size_bytes)


def _incidents(file: SimulatedFile) -> list[_Incident]:
    options, size, head = file.options, file.recording.stream.size_bytes, file.recording.head_bytes
    found: list[_Incident] = []
    if options.start_delay_s:
        found.append(_Pause(head if options.start_with == "head" else 0, options.start_delay_s, False))
    found += [_Pause(round(at * size), options.pause_s, options.pause_closed) for at in options.pause_at]
    if options.shrink_at is not None:
        found.append(_Restart(round(options.shrink_at * size), round(options.shrink_to * size), False))
    if options.restart_at is not None:
        found.append(_Restart(round(options.restart_at * size), 0, options.restart == "new-file"))
    if options.crash_at is not None:
        found.append(_Crash(round(options.crash_at * size)))
    return sorted(found, key=lambda incident: incident.after)


def _merged(incidents: Sequence[_Incident], edits: Sequence[Edit]) -> deque[_Incident | Edit]:
    """Ordered by bytes appended; incidents first: a writer that crashes at the end edits nothing."""
    return deque(sorted([*incidents, *edits], key=lambda event: event.after))


def _pause(plan: FileWriterPlan, pause: _Pause) -> Iterator[WriteStep]:
    if pause.closed:
        yield plan.step(Close)
    plan.now_s += pause.for_s
    if pause.closed:
        yield plan.step(Open)


def _restart(plan: FileWriterPlan, restart: _Restart) -> Iterator[WriteStep]:
    plan.written = restart.to
    if restart.new_file:
        yield plan.step(Close)
        yield plan.step(Remove)
        yield plan.step(Create)
    else:
        yield plan.step(Truncate, length=restart.to)


def _finish(plan: FileWriterPlan) -> Iterator[WriteStep]:
    options = plan.file.options
    plan.now_s += options.hold_s
    if options.sync:
        yield plan.step(Sync)
    yield from plan.stamp("end")
    yield plan.step(Close)
    if plan.path != plan.file.path:
        yield plan.step(Rename, to=plan.file.path, replacing=options.replaces)
        plan.path = plan.file.path


def _touch(plan: FileWriterPlan) -> Iterator[WriteStep]:
    """Change the finished file once more, if the options say so."""
    options, size = plan.file.options, plan.file.recording.finished().size_bytes
    if options.touch_after_s is None:
        return
    plan.now_s += options.touch_after_s
    length = options.touch_bytes if options.touch_grows else min(options.touch_bytes, size - size // 2)
    yield plan.step(Open)
    noise = Noise(f"{plan.file.seed}/touch", 0, length)
    yield plan.step(Write, offset=size if options.touch_grows else size // 2, content=Content((noise,)))
    yield plan.step(Close)
