"""Matroska as its writers leave it while they record, and when they close.

EBML: RFC 8794 §4 (variable-size integers), §6.2 (unknown sizes), §11.2 (header), §11.3.2 (Void). Matroska:
RFC 9559 §5.1 (Segment, SeekHead, Info, Tracks, Cluster, Cues). The blocks are noise.
"""

from collections.abc import Iterator

from attrs import frozen

from agent.simulate.content import Noise, Piece, Rope, literal
from agent.simulate.recording import ContainerWriter, Edit, Material, Recording, shares

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
    """All before the first cluster: the EBML header, and what the Segment begins with."""

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


def matroska(material: Material) -> Recording:
    """Segment of unknown size; at close the Cues are appended, then size, SeekHead and Duration filled in."""
    head = _head()
    strip = Rope()
    strip.add(head.whole())
    strip.add(*_clusters(material, material.room(strip.at + material.tail(_CUES_BYTES))))
    strip.add(_cues(material))
    return Recording(strip.content(), _closing(head, strip.at, strip.at), len(head.whole()))


def cues_to_front(material: Material) -> Recording:
    """At close all clusters are moved back, in the same file, and the Cues are put in front of them."""
    head = _head()
    start = len(head.whole())
    strip = Rope()
    strip.add(head.whole())
    strip.add(*_clusters(material, material.room(start + material.tail(_CUES_BYTES))))
    moved = Edit(strip.at, start + material.tail(_CUES_BYTES), strip.content().cut(start, strip.at))
    cues = Edit(strip.at, start, literal(_cues(material)))
    closing = _closing(head, strip.at, strip.at + material.tail(_CUES_BYTES))
    return Recording(strip.content(), (moved, cues, *closing), start)


def live(material: Material) -> Recording:
    """Nothing is ever filled in: neither sizes nor Cues."""
    head = _head().whole()
    strip = Rope()
    strip.add(head)
    strip.add(*_clusters(material, material.room(len(head))))
    return Recording(strip.content(), head_bytes=len(head))


def backpatching(material: Material) -> Recording:
    """As `matroska`, and each cluster's size is filled in when it ends: a cluster behind the tail."""
    head = _head()
    strip = Rope()
    strip.add(head.whole())
    edits = []
    room = material.room(strip.at + material.tail(_CUES_BYTES))
    for share in _shares(material, room):
        at = strip.at
        strip.add(*_cluster(material, at, share, known=False))
        edits.append(Edit(strip.at, at + 4, literal(size_of(share - 12))))
    strip.add(_cues(material))
    return Recording(strip.content(), (*edits, *_closing(head, strip.at, strip.at)), len(head.whole()))


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


def _cues(material: Material) -> bytes:
    return element(_CUES, element(_VOID, bytes(material.tail(_CUES_BYTES) - 4 - 8 - 9)))


def _shares(material: Material, total: int) -> Iterator[int]:
    return shares(total, material.period_bytes(_CLUSTER_S))


def _clusters(material: Material, total: int) -> Iterator[Piece]:
    at = 0
    for share in _shares(material, total):
        yield from _cluster(material, at, share, known=True)
        at += share


def _cluster(material: Material, at: int, total: int, *, known: bool) -> Iterator[Piece]:
    """A cluster of `total` bytes with one block; its size is unknown at first unless `known`."""
    block = total - _CLUSTER_HEAD_BYTES
    size = size_of(total - 12) if known else _UNKNOWN
    yield _CLUSTER + size + _TIMESTAMP + b"\x88" + (at // 1000).to_bytes(8) + _SIMPLE_BLOCK + size_of(block)
    yield Noise(material.seed, at, block)


FORMS: dict[str, ContainerWriter] = {
    "mkv": matroska,
    "mkv-cues-front": cues_to_front,
    "mkv-backpatching": backpatching,
    "mkv-live": live,
}
