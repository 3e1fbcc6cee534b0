"""MXF as its writers leave it while they record, and when they close.

SMPTE ST 377-1 §7.1 (partition pack), §7.4 (footer partition), §9 (header metadata: primer pack and sets), §11
(index table segment), §12 (random index pack); SMPTE ST 336 (KLV, lengths in the long form); SMPTE ST 379-2
(frame wrapping, clip wrapping of essence). The essence is noise.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from attrs import evolve, frozen

from agent.simulate.content import Noise, Rope, literal
from agent.simulate.recording import ContainerWriter, Edit, Material, Recording, shares

HEADER, BODY, FOOTER = 2, 3, 4
OPEN_INCOMPLETE, CLOSED_INCOMPLETE, CLOSED_COMPLETE = 1, 2, 4

_PACK_KEY = bytes.fromhex("060e2b34020501010d01020101")
_PRIMER_KEY = bytes.fromhex("060e2b34020501010d01020101050100")
_PREFACE_KEY = bytes.fromhex("060e2b34025301010d01010101012f00")
_FILL_KEY = bytes.fromhex("060e2b34010101020301021001000000")
_INDEX_KEY = bytes.fromhex("060e2b34025301010d01020101100100")
_RANDOM_INDEX_KEY = bytes.fromhex("060e2b34020501010d01020101110100")
_PICTURE_KEY = bytes.fromhex("060e2b34010201010d01030115010500")
_OP1A = bytes.fromhex("060e2b34040101010d01020101010900")
_GENERIC_CONTAINER = bytes.fromhex("060e2b34040101020d01030102046001")
_PACK_BYTES = 16 + 4 + 88 + 16
_HEAD_BYTES = 16 + 9
_INDEX_BYTES = 400
_LEAST_ESSENCE_BYTES = 1024
_LEAST_PARTITION_BYTES = 16_384
_FOOTER_OFFSET_AT = 16 + 4 + 24
_FRAME_RATE = 25
_AVID_HEAD_BYTES = 262_144 + 32


@frozen
class _PartitionPack:
    """A partition pack and the header metadata behind it."""

    kind: int
    state: int
    this: int = 0
    previous: int = 0
    footer: int = 0
    metadata_bytes: int = 0
    index_bytes: int = 0
    body_offset: int = 0
    body_sid: int = 0

    def pack(self) -> bytes:
        places = (self.this, self.previous, self.footer, self.metadata_bytes, self.index_bytes)
        value = b"".join(
            (
                bytes.fromhex("0001000300000001"),  # version 1.3, no alignment grid
                *(place.to_bytes(8) for place in places),
                int(bool(self.index_bytes)).to_bytes(4),
                self.body_offset.to_bytes(8),
                self.body_sid.to_bytes(4),
                _OP1A,
                bytes.fromhex("0000000100000010") + _GENERIC_CONTAINER,
            )
        )
        return _PACK_KEY + bytes([self.kind, self.state, 0]) + b"\x83" + len(value).to_bytes(3) + value

    def whole(self) -> bytes:
        return self.pack() + (_metadata(self.metadata_bytes, self.state) if self.metadata_bytes else b"")


@frozen
class _Kind:
    """How one family of writers lays its files out."""

    header: _PartitionPack
    partition_s: float | None = 10  # a new body partition so often; None: one for all
    patches_bodies: bool = True
    rewrites_header_s: float | None = None
    headroom_s: float | None = None
    closed_header: _PartitionPack | None = None


def _recording(kind: _Kind, material: Material) -> Recording:
    """Header, body partitions of frame-wrapped essence, footer with an index, random index pack."""
    bodies = _bodies(kind, material)
    end = len(_end(material, 0, [0] * bodies))
    head = _PACK_BYTES + kind.header.metadata_bytes
    essence = material.room(head + bodies * (_PACK_BYTES + _LEAST_ESSENCE_BYTES) + end)
    essence += bodies * _LEAST_ESSENCE_BYTES
    strip = Rope()
    places: list[int] = []
    strip.add(kind.header.whole())
    before = 0
    for share in shares(essence, essence // bodies):
        previous = places[-1] if places else 0
        body = _PartitionPack(BODY, CLOSED_COMPLETE, strip.at, previous, body_offset=before, body_sid=1)
        places.append(strip.add(body.pack()))
        strip.add(*_frames(material, strip.at, share))
        before += share
    footer_at = strip.add(_end(material, strip.at, places))
    edits = [*_while_recording(kind, material, places), *_at_close(kind, places, footer_at, strip.at)]
    return Recording(strip.content(), tuple(edits), head)


def _bodies(kind: _Kind, material: Material) -> int:
    """One in a period, and one in a file too short for more."""
    if not kind.partition_s:
        return 1
    fitting = (material.size_bytes - kind.header.metadata_bytes) // _LEAST_PARTITION_BYTES
    return max(1, min(fitting, material.size_bytes // material.period_bytes(kind.partition_s)))


def _frames(material: Material, start: int, total: int) -> Iterator[bytes | Noise]:
    """Essence KLVs, one a frame, of `total` bytes together."""
    frame = min(max(material.rate_bytes_s // _FRAME_RATE, 4096), 4 << 20)
    for share in shares(total, frame):
        yield _PICTURE_KEY + b"\x83" + (share - 20).to_bytes(3)
        yield Noise(material.seed, start, share - 20)
        start += share


def _while_recording(kind: _Kind, material: Material, places: list[int]) -> Iterator[Edit]:
    if kind.rewrites_header_s:
        for at in range(places[0], material.size_bytes, material.period_bytes(kind.rewrites_header_s)):
            duration = kind.header.whole()[:-8] + at.to_bytes(8)
            yield Edit(at, 0, literal(duration))
    if kind.headroom_s:
        # Provisional, so closed but incomplete: the next essence overwrites it.
        for at in places[1:]:
            before = [place for place in places if place < at]
            yield Edit(at, at, literal(_end(material, at, before, CLOSED_INCOMPLETE)))


def _at_close(kind: _Kind, places: list[int], footer_at: int, end: int) -> Iterator[Edit]:
    if kind.closed_header:
        yield Edit(end, 0, literal(evolve(kind.closed_header, footer=footer_at).whole()))
    if kind.patches_bodies:
        yield from (Edit(end, at + _FOOTER_OFFSET_AT, literal(footer_at.to_bytes(8))) for at in places)


def _end(material: Material, at: int, bodies: list[int], state: int = CLOSED_COMPLETE) -> bytes:
    """Footer partition with an index table segment, and the random index pack."""
    size = material.tail(_INDEX_BYTES)
    pack = _PartitionPack(FOOTER, state, this=at, previous=bodies[-1], footer=at, index_bytes=size).pack()
    index = _INDEX_KEY + b"\x83" + (size - 20).to_bytes(3) + bytes(size - 20)
    entries = [(0, 0), *((1, body) for body in bodies), (0, at)]
    table = b"".join(sid.to_bytes(4) + place.to_bytes(8) for sid, place in entries)
    total = 20 + len(table) + 4
    return pack + index + _RANDOM_INDEX_KEY + b"\x83" + (total - 20).to_bytes(3) + table + total.to_bytes(4)


def _metadata(size: int, state: int) -> bytes:
    """Primer pack, a preface set, and fill up to `size` bytes; differs from state to state."""
    primer = _PRIMER_KEY + b"\x83\x00\x00\x08" + bytes.fromhex("0000000000000012")
    version = bytes.fromhex("3b0500020103") + bytes.fromhex("3c0a0010") + bytes([state]) * 16
    preface = _PREFACE_KEY + b"\x83" + len(version).to_bytes(3) + version
    fill = size - len(primer) - len(preface) - 20
    return primer + preface + _FILL_KEY + b"\x83" + fill.to_bytes(3) + bytes([state]) * fill


def _clip_wrapped(material: Material, *, growing: bool) -> Recording:
    """Avid's kind: 262 KB of header, then all essence in one KLV, whose length is written at close.

    The growing flavour says "closed, complete" from the first byte, and calls its essence the footer.
    """
    end = len(_end(material, 0, [0]))
    essence = material.room(_AVID_HEAD_BYTES + _PACK_BYTES + _HEAD_BYTES + end)
    metadata = _AVID_HEAD_BYTES - _PACK_BYTES
    footer_at = material.size_bytes - end
    closed = _PartitionPack(HEADER, CLOSED_COMPLETE, footer=footer_at, metadata_bytes=metadata)
    first = evolve(closed, footer=_AVID_HEAD_BYTES) if growing else evolve(closed, state=1, footer=0)
    body = _PartitionPack(BODY, CLOSED_COMPLETE, this=_AVID_HEAD_BYTES, footer=footer_at, body_sid=1)
    told = evolve(body, kind=FOOTER, state=CLOSED_INCOMPLETE) if growing else evolve(body, footer=0)
    strip = Rope()
    strip.add(first.whole(), told.pack())
    length_at = strip.add(_PICTURE_KEY + b"\x88" + bytes(8)) + 16
    strip.add(Noise(material.seed, strip.at, essence))
    strip.add(_end(material, footer_at, [_AVID_HEAD_BYTES]))
    edits = (
        Edit(strip.at, 0, literal(closed.whole())),
        Edit(strip.at, _AVID_HEAD_BYTES, literal(body.pack())),
        Edit(strip.at, length_at, literal(b"\x88" + essence.to_bytes(8))),
    )
    return Recording(strip.content(), edits, length_at + 9)


def _opened(metadata_bytes: int, **rules: Any) -> ContainerWriter:  # noqa: ANN401  rules of a _Kind
    """A form whose header is open while it records, and closed with the footer's place at the end."""
    header = _PartitionPack(HEADER, OPEN_INCOMPLETE, metadata_bytes=metadata_bytes)
    kind = _Kind(header, closed_header=evolve(header, state=CLOSED_COMPLETE))
    return partial(_recording, evolve(kind, **rules))


FORMS: dict[str, ContainerWriter] = {
    "mxf-op1a": _opened(6_144),
    "mxf-d10": _opened(5_120, partition_s=None),
    "mxf-rdd9": _opened(16_384, partition_s=10),
    "mxf-part": _opened(22_528, partition_s=5),
    "mxf-as11": _opened(4_200_000, partition_s=10),
    "mxf-duration": _opened(8_192, rewrites_header_s=10),
    "mxf-headroom": _opened(8_192, headroom_s=10),
    "mxf-single-pass": partial(
        _recording,
        _Kind(_PartitionPack(HEADER, OPEN_INCOMPLETE, metadata_bytes=8_192), None, patches_bodies=False),
    ),
    "mxf-avid": partial(_clip_wrapped, growing=False),
    "mxf-avid-growing": partial(_clip_wrapped, growing=True),
}
