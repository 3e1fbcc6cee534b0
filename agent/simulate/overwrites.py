"""Edits of files without a structure, as the options say: at the end, and while recording."""

from collections.abc import Iterator

from agent.simulate.content import Content, Noise
from agent.simulate.options import WriterOptions
from agent.simulate.recording import Edit, Recording, RecordingSpec


def patched(recording: Recording, options: WriterOptions, spec: RecordingSpec) -> Recording:
    """The recording with the edits of the `patch` and `live` options."""
    edits = [*_live(recording, options, spec), *_at_the_end(recording, options, spec)]
    return Recording(recording.stream, tuple(edits))


def _at_the_end(recording: Recording, options: WriterOptions, spec: RecordingSpec) -> Iterator[Edit]:
    size, every = recording.stream.size_bytes, options.patch_every_bytes
    regular = [(offset, options.patch_length_bytes) for offset in range(0, size, every)] if every else []
    for offset, length in sorted([*options.patch_list, *regular]):
        if offset < size:
            yield _edit(spec, "end", size, offset, length)


def _live(recording: Recording, options: WriterOptions, spec: RecordingSpec) -> Iterator[Edit]:
    if not options.live_patch_s:
        return
    period = spec.period_bytes(options.live_patch_s)
    for number, after in enumerate(range(period, recording.stream.size_bytes, period)):
        offsets = {
            "head": 0,
            "behind": max(0, after - options.live_behind_bytes),
            "slots": number % 2 * options.patch_length_bytes,
        }
        yield _edit(
            spec, str(number), after, min(after - 1, offsets[options.live_place]), options.patch_length_bytes
        )


def _edit(spec: RecordingSpec, name: str, after: int, offset: int, length: int) -> Edit:
    noise = Noise(f"{spec.seed}/{name}", offset, min(length, after - offset))
    return Edit(after, offset, Content((noise,)))
