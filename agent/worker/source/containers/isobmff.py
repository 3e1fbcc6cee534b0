"""MP4, MOV and related formats: a chain of boxes that must end where the file ends.

ISO/IEC 14496-12 §4.2 (a box: u32 size, four characters; size 1: u64 size follows; size 0: to the end of the
file), §8.1 (`mdat`, `free`), §8.2 (`moov`), §8.8 (`mvex`, `moof`, and `mfra` whose last four bytes, in
`mfro`, repeat its size), §8.11 (`meta`), §8.16.2 (`styp`). QuickTime File Format: the same chain; a file
may begin with `wide`, `skip`, `pnot`, `mdat` or `moov`.

- CLOSED: boxes fill the file exactly, `moov` can be parsed and `mdat` exists; or a fragmented file ends
  with a complete `mfra`.
- OPEN: the chain ends without `moov`: recorders write it last, or reserve space for it with `free`.
- TRUNCATED: a box ends behind the end of the file, there is no box where `moov` or `mdat` must be, or
  `moov` is empty.
- UNKNOWN: a fragmented file without `mfra` that ends on a box boundary; a still image or a segment, which
  need no `moov`; a `moov` that can be parsed in part, or without `mdat` (a reference movie); an `mdat` "to
  the end of the file" behind its `moov`; foreign bytes behind `moov` and `mdat`.
"""

from collections.abc import Iterator

from attrs import frozen

from agent.model.source_file import ContainerState
from agent.worker.source.containers.probe import ContainerVerdict, Probe

_FIRST = {b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
_CHAIN = _FIRST | {b"uuid", b"udta", b"meta", b"moof", b"mfra"}
_WITHOUT_MOOV = {b"meta", b"styp", b"moof"}
_HEAD_BYTES = 8
_LARGE_HEAD_BYTES = 16
_MFRO_BYTES = 16


@frozen
class _Box:
    type: bytes
    body: int
    end: int
    to_the_end: bool = False


def judge(probe: Probe) -> ContainerVerdict | None:
    """Judge a file that begins with a box a movie may begin with; None for anything else."""
    first = probe.peek(0, _HEAD_BYTES)
    # The size must be small: "fly-free" in a text must not count as a box. Only `mdat` may be large.
    if first[4:] not in _FIRST or (first[0] and first[4:] != b"mdat"):
        return None
    boxes: dict[bytes, _Box] = {}
    at = 0
    for box in _boxes(probe, 0, probe.size_bytes):
        if box.end > probe.size_bytes:
            return _overrun(boxes, box)
        if box.type == b"moof" and b"moof" not in boxes and _ends_with_mfra(probe):
            return ContainerVerdict(ContainerState.CLOSED, "a fragmented movie with its closing index")
        boxes[box.type] = box
        at = box.end
    if at < probe.size_bytes:
        return _no_box_at(boxes, at)
    return _complete_chain(probe, boxes)


def _boxes(probe: Probe, start: int, end: int) -> Iterator[_Box]:
    """Yield the boxes from `start`, until `end` or bytes that are no box; the last one may exceed `end`."""
    at = start
    while at < end:
        head = probe.peek(at, _LARGE_HEAD_BYTES)
        size, kind, body = int.from_bytes(head[:4]), head[4:_HEAD_BYTES], _HEAD_BYTES
        if size == 1:
            size, body = int.from_bytes(head[_HEAD_BYTES:]), _LARGE_HEAD_BYTES
        if len(head) < body or not _is_type(kind) or 0 < size < body:
            return
        box = _Box(kind, at + body, at + size if size else end, to_the_end=not size)
        yield box
        at = box.end


def _is_type(kind: bytes) -> bool:
    return all(0x20 <= byte <= 0x7E or byte == 0xA9 for byte in kind)  # noqa: PLR2004  printable, or ©


def _overrun(boxes: dict[bytes, _Box], box: _Box) -> ContainerVerdict:
    if _has_movie(boxes) and box.type not in _CHAIN:
        return ContainerVerdict(ContainerState.UNKNOWN, "bytes of no known box follow the movie")
    return ContainerVerdict(
        ContainerState.TRUNCATED, f"its {box.type.decode('latin-1')} box ends behind the end of the file"
    )


def _no_box_at(boxes: dict[bytes, _Box], at: int) -> ContainerVerdict:
    if _has_movie(boxes):
        return ContainerVerdict(ContainerState.UNKNOWN, f"no box begins at {at}, behind the movie")
    return ContainerVerdict(ContainerState.TRUNCATED, f"no box begins at {at}, where the movie must continue")


def _has_movie(boxes: dict[bytes, _Box]) -> bool:
    return b"moof" in boxes or (b"mdat" in boxes and (b"moov" in boxes or b"meta" in boxes))


def _complete_chain(probe: Probe, boxes: dict[bytes, _Box]) -> ContainerVerdict:
    movie = boxes.get(b"moov")
    if movie is None and _WITHOUT_MOOV.isdisjoint(boxes):
        return ContainerVerdict(ContainerState.OPEN, "no moov box yet")
    if movie is None:
        return ContainerVerdict(ContainerState.UNKNOWN, "a still image or a segment, which has no moov box")
    inside = list(_boxes(probe, movie.body, movie.end))
    if not inside:
        return ContainerVerdict(ContainerState.TRUNCATED, "its moov box is empty")
    if ambiguity := _ambiguity(boxes, movie, inside):
        return ContainerVerdict(ContainerState.UNKNOWN, ambiguity)
    return ContainerVerdict(ContainerState.CLOSED, "boxes fill the file, moov and mdat among them")


def _ambiguity(boxes: dict[bytes, _Box], movie: _Box, inside: list[_Box]) -> str:
    if inside[-1].end != movie.end:
        return "its moov box is not filled by boxes"
    if b"moof" in boxes or b"mvex" in {box.type for box in inside}:
        return "a fragmented movie without its closing index: live or unfinished"
    if b"mdat" not in boxes or any(box.to_the_end for box in boxes.values()):
        return "the size of the media data is not known"
    return ""


def _ends_with_mfra(probe: Probe) -> bool:
    mfro = probe.peek(max(0, probe.size_bytes - _MFRO_BYTES), _MFRO_BYTES)
    size = int.from_bytes(mfro[-4:])
    if mfro[4:8] != b"mfro" or size > probe.size_bytes:
        return False
    return probe.peek(probe.size_bytes - size, _HEAD_BYTES) == size.to_bytes(4) + b"mfra"
