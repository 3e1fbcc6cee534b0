"""Rewrites of files without a structure, as the habits say: at the end, and while recording."""

from collections.abc import Iterator

from agent.simulate.content import Content, Noise
from agent.simulate.options import WriterOptions
from agent.simulate.recording import Edit, Material, Recording


def patched(recording: Recording, habits: WriterOptions, material: Material) -> Recording:
    edits = [*_live(recording, habits, material), *_at_the_end(recording, habits, material)]
    return Recording(recording.stream, tuple(edits))


def _at_the_end(recording: Recording, habits: WriterOptions, material: Material) -> Iterator[Edit]:
    size, every = recording.stream.size_bytes, habits.patch_every_bytes
    regular = [(offset, habits.patch_length_bytes) for offset in range(0, size, every)] if every else []
    for offset, length in sorted([*habits.patch_list, *regular]):
        if offset < size:
            yield _edit(material, "end", size, offset, length)


def _live(recording: Recording, habits: WriterOptions, material: Material) -> Iterator[Edit]:
    if not habits.live_patch_s:
        return
    period = material.period_bytes(habits.live_patch_s)
    for number, after in enumerate(range(period, recording.stream.size_bytes, period)):
        places = {
            "head": 0,
            "behind": max(0, after - habits.live_behind_bytes),
            "slots": number % 2 * habits.patch_length_bytes,
        }
        yield _edit(
            material, str(number), after, min(after - 1, places[habits.live_place]), habits.patch_length_bytes
        )


def _edit(material: Material, mark: str, after: int, offset: int, length: int) -> Edit:
    noise = Noise(f"{material.seed}/{mark}", offset, min(length, after - offset))
    return Edit(after, offset, Content((noise,)))
