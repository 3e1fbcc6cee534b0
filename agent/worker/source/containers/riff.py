"""WAV, RF64, BW64 and AVI: chunks inside RIFF chunks, each with its size in front.

Multimedia Programming Interface and Data Specifications 1.0 (IBM and Microsoft, 1991), chapter 2: RIFF, and
chunks padded to even length. EBU Tech 3285 (Broadcast Wave), EBU Tech 3306 and ITU-R BS.2088 (RF64, BW64:
64-bit sizes in a leading `ds64`). OpenDML AVI File Format Extensions 1.02: RIFF after RIFF in one file.

- CLOSED: every RIFF chunk is filled by its chunks, essence (`data`, `movi`) among them, and the last one
  ends where the file ends.
- OPEN: a RIFF size is the placeholder 0 or all ones although the real size would fit; or the size of `data`
  is 0 and bytes follow.
- TRUNCATED: the essence ends behind the end of the file, or RIFF does by more than a common writer error.
- UNKNOWN: sizes that contradict each other, no essence, bytes behind the end, a size that does not fit into
  32 bits, forms other than WAVE and AVI.
"""

from collections.abc import Iterator

from attrs import frozen

from agent.model.source_file import ContainerState
from agent.worker.source.containers.probe import ContainerVerdict, Probe

_WIDE = {b"RF64", b"BW64"}
_RIFF = _WIDE | {b"RIFF"}
_FORMS = {b"WAVE", b"AVI "}
_HEAD_BYTES = 8
_FIRST_CHUNK = 12
_DS64_BYTES = 24
_ONES_32 = (1 << 32) - 1
_PLACEHOLDERS = {0, _ONES_32, (1 << 64) - 1}
_SLIP_BYTES = 8  # a common writer error: the size includes the first 8 bytes


@frozen
class _Riff:
    """The head of a RIFF chunk; `data_bytes` comes from `ds64`."""

    start: int
    size: int
    wide: bool
    data_bytes: int

    @property
    def end(self) -> int:
        return self.start + _HEAD_BYTES + self.size


@frozen
class _Chunk:
    body: int
    size: int
    is_essence: bool

    @property
    def end(self) -> int:
        return self.body + self.size

    @property
    def padded_end(self) -> int:
        return self.end + self.size % 2


def judge(probe: Probe) -> ContainerVerdict | None:
    """Judge a WAVE or AVI file; None for a file that is no RIFF."""
    head = probe.peek(0, _FIRST_CHUNK)
    if head[:4] not in _RIFF:
        return None
    if head[_HEAD_BYTES:] not in _FORMS:
        return ContainerVerdict(ContainerState.UNKNOWN, "a RIFF file of another form than WAVE and AVI")
    at = 0
    while at < probe.size_bytes:
        riff = _riff(probe, at)
        if riff is None:
            return ContainerVerdict(ContainerState.UNKNOWN, f"bytes of no RIFF chunk follow at {at}")
        chunks = list(_chunks(probe, riff))
        if verdict := _placeholder(probe, riff, chunks) or _size_mismatch(probe, riff, chunks):
            return verdict
        at = max(riff.end, chunks[-1].padded_end)
    return ContainerVerdict(ContainerState.CLOSED, "its sizes agree with the file's")


def _riff(probe: Probe, at: int) -> _Riff | None:
    head = probe.peek(at, _FIRST_CHUNK + _HEAD_BYTES + _DS64_BYTES)
    if head[:4] not in _RIFF or len(head) < _FIRST_CHUNK:
        return None
    size, data_bytes = int.from_bytes(head[4:8], "little"), _ONES_32
    wide = head[:4] in _WIDE
    if wide and head[_FIRST_CHUNK:][:4] == b"ds64":
        sizes = head[_FIRST_CHUNK + _HEAD_BYTES :]
        data_bytes = int.from_bytes(sizes[8:16], "little")
        if size == _ONES_32:
            size = int.from_bytes(sizes[:8], "little")
    return _Riff(at, size, wide, data_bytes)


def _chunks(probe: Probe, riff: _Riff) -> Iterator[_Chunk]:
    """Yield the chunks of `riff`, until its end or bytes that are no chunk; the last one may exceed it."""
    at = riff.start + _FIRST_CHUNK
    while at < min(riff.end, probe.size_bytes):
        head = probe.peek(at, _HEAD_BYTES + 4)
        if len(head) < _HEAD_BYTES or not head[:4].isascii() or not head[:4].decode().isprintable():
            return
        kind, size = head[:4], int.from_bytes(head[4:8], "little")
        if kind == b"data" and size == _ONES_32:
            size = riff.data_bytes
        is_essence = kind == b"data" or (kind == b"LIST" and head[_HEAD_BYTES:] == b"movi")
        chunk = _Chunk(at + _HEAD_BYTES, size, is_essence)
        yield chunk
        at = chunk.padded_end


def _placeholder(probe: Probe, riff: _Riff, chunks: list[_Chunk]) -> ContainerVerdict | None:
    if riff.size in _PLACEHOLDERS:
        if not riff.wide and probe.size_bytes - riff.start - _HEAD_BYTES >= _ONES_32:
            return ContainerVerdict(ContainerState.UNKNOWN, "too large for a RIFF size: finished or not")
        return ContainerVerdict(ContainerState.OPEN, "its RIFF size is not filled in")
    if riff.end < probe.size_bytes and any(chunk.is_essence and not chunk.size for chunk in chunks):
        return ContainerVerdict(ContainerState.OPEN, "its data size is not filled in")
    return None


def _size_mismatch(probe: Probe, riff: _Riff, chunks: list[_Chunk]) -> ContainerVerdict | None:
    missing = riff.end - probe.size_bytes
    beyond = [chunk for chunk in chunks if chunk.end > probe.size_bytes]
    if any(missing > 0 or chunk.is_essence for chunk in beyond) or missing > _SLIP_BYTES:
        return ContainerVerdict(ContainerState.TRUNCATED, "its sizes reach behind the end of the file")
    if not chunks or not chunks[-1].end <= riff.end <= chunks[-1].padded_end or missing > 0:
        return ContainerVerdict(ContainerState.UNKNOWN, "its sizes contradict each other")
    if not any(chunk.is_essence for chunk in chunks):
        return ContainerVerdict(ContainerState.UNKNOWN, "a RIFF chunk with neither sound nor picture")
    return None
