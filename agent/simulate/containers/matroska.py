"""Matroska as its writers leave it while they record, and when they close.

EBML: RFC 8794 §4 (variable-size integers), §6.2 (unknown sizes), §11.2 (header), §11.3.2 (Void). Matroska:
RFC 9559 §5.1 (Segment, SeekHead, Info, Tracks, Cluster, Cues). The blocks are noise.
"""

from collections.abc import Iterator

from attrs import frozen

from agent.simulate.content import Noise, Piece, Rope, literal
from agent.simulate.recording import ContainerWriter, Edit, Recording, RecordingSpec, shares

_SEGMENT, _SEEK_HEAD, _INFO, _TRACKS = (
    bytes.fromhex(x) for x in ("18538067", "114d9b74", "1549a966", "1654ae6b")
)
_CLUSTER, _CUES, _VOID = bytes.fromhex("1f43b675"), bytes.fromhex("1c53bb6b"), b"\xec"
_SIMPLE_BLOCK, _TIMESTAMP, _TIMESTAMP_SCALE, _DURATION = (
    b"\xa3",
    b"\xe7",
    bytes.fromhex("2ad7b1"),
    b"\x44\x89",
)
_UNKNOWN = b"\x01" + b"\xff" * 7
_SEEK_BYTES = 128
_CUES_BYTES = 1024
_CLUSTER_S = 1.0
_CLUSTER_HEAD_BYTES = 4 + 8 + 10 + 9


def element(kind: bytes, body: bytes) -> bytes:
    return kind + size_of(len(body)) + body


def size_of(count: int) -> bytes:
    """A data size in the form of eight bytes."""
    return (1 << 56 | count).to_bytes(8)


@frozen
class _Head:
    """Everything before the first cluster: the EBML header and the beginning of the Segment."""

    document: bytes
    body: bytes

    @property
    def segment_at(self) -> int:
        return len(self.document) + 4

    @property
    def void_at(self) -> int:
        return self.segment_at + 8

    def whole(self) -> bytes:
        return self.document + _SEGMENT + _UNKNOWN + self.body

    def duration_at(self) -> int:
        return self.whole().index(_DURATION) + len(_DURATION) + 8


def matroska(spec: RecordingSpec) -> Recording:
    """Segment of unknown size; at close the Cues are appended, then size, SeekHead and Duration filled in."""
    head = _head()
    rope = Rope()
    rope.add(head.whole())
    rope.add(*_clusters(spec, spec.media_bytes(rope.size_bytes + spec.index_bytes(_CUES_BYTES))))
    rope.add(_cues(spec))
    return Recording(rope.content(), _closing(head, rope.size_bytes, rope.size_bytes), len(head.whole()))


def cues_to_front(spec: RecordingSpec) -> Recording:
    """At close all clusters are moved back, in the same file, and the Cues are put in front of them."""
    head = _head()
    start = len(head.whole())
    rope = Rope()
    rope.add(head.whole())
    rope.add(*_clusters(spec, spec.media_bytes(start + spec.index_bytes(_CUES_BYTES))))
    moved = Edit(
        rope.size_bytes, start + spec.index_bytes(_CUES_BYTES), rope.content().cut(start, rope.size_bytes)
    )
    cues = Edit(rope.size_bytes, start, literal(_cues(spec)))
    closing = _closing(head, rope.size_bytes, rope.size_bytes + spec.index_bytes(_CUES_BYTES))
    return Recording(rope.content(), (moved, cues, *closing), start)


def live(spec: RecordingSpec) -> Recording:
    """Sizes and Cues are never filled in."""
    head = _head().whole()
    rope = Rope()
    rope.add(head)
    rope.add(*_clusters(spec, spec.media_bytes(len(head))))
    return Recording(rope.content(), head_bytes=len(head))


def backpatching(spec: RecordingSpec) -> Recording:
    """As `matroska`; each cluster's size is filled in when it ends, one cluster behind the tail."""
    head = _head()
    rope = Rope()
    rope.add(head.whole())
    edits = []
    room = spec.media_bytes(rope.size_bytes + spec.index_bytes(_CUES_BYTES))
    for share in _shares(spec, room):
        at = rope.size_bytes
        rope.add(*_cluster(spec, at, share, known=False))
        edits.append(Edit(rope.size_bytes, at + 4, literal(size_of(share - 12))))
    rope.add(_cues(spec))
    return Recording(
        rope.content(), (*edits, *_closing(head, rope.size_bytes, rope.size_bytes)), len(head.whole())
    )


def _head() -> _Head:
    header = element(bytes.fromhex("1a45dfa3"), element(bytes.fromhex("4282"), b"matroska"))
    duration = _DURATION + size_of(8) + bytes(8)
    info = element(_INFO, element(_TIMESTAMP_SCALE, (1_000_000).to_bytes(3)) + duration)
    void = element(_VOID, bytes(_SEEK_BYTES - 9))
    return _Head(header, void + info + element(_TRACKS, element(b"\xae", bytes.fromhex("d78101838101"))))


def _closing(head: _Head, after: int, size_bytes: int) -> tuple[Edit, ...]:
    """Size of the Segment, SeekHead over the Void, Duration."""
    seek = element(_SEEK_HEAD, bytes(0))
    rest = element(_VOID, bytes(_SEEK_BYTES - len(seek) - 9))
    return (
        Edit(after, head.segment_at, literal(size_of(size_bytes - head.void_at))),
        Edit(after, head.void_at, literal(seek + rest)),
        Edit(after, head.duration_at(), literal(b"\x40" + bytes(7))),
    )


def _cues(spec: RecordingSpec) -> bytes:
    return element(_CUES, element(_VOID, bytes(spec.index_bytes(_CUES_BYTES) - 4 - 8 - 9)))


def _shares(spec: RecordingSpec, total: int) -> Iterator[int]:
    return shares(total, spec.period_bytes(_CLUSTER_S))


def _clusters(spec: RecordingSpec, total: int) -> Iterator[Piece]:
    at = 0
    for share in _shares(spec, total):
        yield from _cluster(spec, at, share, known=True)
        at += share


def _cluster(spec: RecordingSpec, at: int, total: int, *, known: bool) -> Iterator[Piece]:
    """A cluster of `total` bytes with one block; its size is unknown at first unless `known`."""
    block = total - _CLUSTER_HEAD_BYTES
    size = size_of(total - 12) if known else _UNKNOWN
    yield _CLUSTER + size + _TIMESTAMP + b"\x88" + (at // 1000).to_bytes(8) + _SIMPLE_BLOCK + size_of(block)
    yield Noise(spec.seed, at, block)


CONTAINERS: dict[str, ContainerWriter] = {
    "mkv": matroska,
    "mkv-cues-front": cues_to_front,
    "mkv-backpatching": backpatching,
    "mkv-live": live,
}
