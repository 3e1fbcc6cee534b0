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
from agent.simulate.recording import ContainerWriter, Edit, Recording, RecordingSpec, shares

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
        offsets = (self.this, self.previous, self.footer, self.metadata_bytes, self.index_bytes)
        value = b"".join(
            (
                bytes.fromhex("0001000300000001"),  # version 1.3, no alignment grid
                *(offset.to_bytes(8) for offset in offsets),
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
class _Layout:
    """The layout of one family of writers.

    `partition_s`: length of a body partition, None: one for all. `headroom_s`: interval of provisional
    footers.
    """

    header: _PartitionPack
    partition_s: float | None = 10
    patches_bodies: bool = True
    rewrites_header_s: float | None = None
    headroom_s: float | None = None
    closed_header: _PartitionPack | None = None


def _recording(layout: _Layout, spec: RecordingSpec) -> Recording:
    """Header, body partitions of frame-wrapped essence, footer with an index, random index pack."""
    bodies = _bodies(layout, spec)
    end = len(_end(spec, 0, [0] * bodies))
    head = _PACK_BYTES + layout.header.metadata_bytes
    essence = spec.media_bytes(head + bodies * (_PACK_BYTES + _LEAST_ESSENCE_BYTES) + end)
    essence += bodies * _LEAST_ESSENCE_BYTES
    rope = Rope()
    offsets: list[int] = []
    rope.add(layout.header.whole())
    before = 0
    for share in shares(essence, essence // bodies):
        previous = offsets[-1] if offsets else 0
        body = _PartitionPack(
            BODY, CLOSED_COMPLETE, rope.size_bytes, previous, body_offset=before, body_sid=1
        )
        offsets.append(rope.add(body.pack()))
        rope.add(*_frames(spec, rope.size_bytes, share))
        before += share
    footer_at = rope.add(_end(spec, rope.size_bytes, offsets))
    edits = [
        *_while_recording(layout, spec, offsets),
        *_at_close(layout, offsets, footer_at, rope.size_bytes),
    ]
    return Recording(rope.content(), tuple(edits), head)


def _bodies(layout: _Layout, spec: RecordingSpec) -> int:
    """The number of body partitions: one for each period, at least one."""
    if not layout.partition_s:
        return 1
    fitting = (spec.size_bytes - layout.header.metadata_bytes) // _LEAST_PARTITION_BYTES
    return max(1, min(fitting, spec.size_bytes // spec.period_bytes(layout.partition_s)))


def _frames(spec: RecordingSpec, start: int, total: int) -> Iterator[bytes | Noise]:
    """Essence KLVs, one for each frame, `total` bytes together."""
    frame = min(max(spec.rate_bytes_s // _FRAME_RATE, 4096), 4 << 20)
    for share in shares(total, frame):
        yield _PICTURE_KEY + b"\x83" + (share - 20).to_bytes(3)
        yield Noise(spec.seed, start, share - 20)
        start += share


def _while_recording(layout: _Layout, spec: RecordingSpec, offsets: list[int]) -> Iterator[Edit]:
    if layout.rewrites_header_s:
        for at in range(offsets[0], spec.size_bytes, spec.period_bytes(layout.rewrites_header_s)):
            duration = layout.header.whole()[:-8] + at.to_bytes(8)
            yield Edit(at, 0, literal(duration))
    if layout.headroom_s:
        # Provisional, so closed but incomplete: the next essence overwrites it.
        for at in offsets[1:]:
            before = [offset for offset in offsets if offset < at]
            yield Edit(at, at, literal(_end(spec, at, before, CLOSED_INCOMPLETE)))


def _at_close(layout: _Layout, offsets: list[int], footer_at: int, end: int) -> Iterator[Edit]:
    if layout.closed_header:
        yield Edit(end, 0, literal(evolve(layout.closed_header, footer=footer_at).whole()))
    if layout.patches_bodies:
        yield from (Edit(end, at + _FOOTER_OFFSET_AT, literal(footer_at.to_bytes(8))) for at in offsets)


def _end(spec: RecordingSpec, at: int, bodies: list[int], state: int = CLOSED_COMPLETE) -> bytes:
    """Footer partition with an index table segment, and the random index pack."""
    size = spec.index_bytes(_INDEX_BYTES)
    pack = _PartitionPack(FOOTER, state, this=at, previous=bodies[-1], footer=at, index_bytes=size).pack()
    index = _INDEX_KEY + b"\x83" + (size - 20).to_bytes(3) + bytes(size - 20)
    entries = [(0, 0), *((1, body) for body in bodies), (0, at)]
    table = b"".join(sid.to_bytes(4) + offset.to_bytes(8) for sid, offset in entries)
    total = 20 + len(table) + 4
    return pack + index + _RANDOM_INDEX_KEY + b"\x83" + (total - 20).to_bytes(3) + table + total.to_bytes(4)


def _metadata(size: int, state: int) -> bytes:
    """Primer pack, a preface set, and fill up to `size` bytes; its bytes differ by partition state."""
    primer = _PRIMER_KEY + b"\x83\x00\x00\x08" + bytes.fromhex("0000000000000012")
    version = bytes.fromhex("3b0500020103") + bytes.fromhex("3c0a0010") + bytes([state]) * 16
    preface = _PREFACE_KEY + b"\x83" + len(version).to_bytes(3) + version
    fill = size - len(primer) - len(preface) - 20
    return primer + preface + _FILL_KEY + b"\x83" + fill.to_bytes(3) + bytes([state]) * fill


def _clip_wrapped(spec: RecordingSpec, *, growing: bool) -> Recording:
    """Avid: 262 KB of header, then all essence in one KLV, whose length is written at close.

    The growing variant says "closed, complete" from the first byte and names its essence as the footer.
    """
    end = len(_end(spec, 0, [0]))
    essence = spec.media_bytes(_AVID_HEAD_BYTES + _PACK_BYTES + _HEAD_BYTES + end)
    metadata = _AVID_HEAD_BYTES - _PACK_BYTES
    footer_at = spec.size_bytes - end
    closed = _PartitionPack(HEADER, CLOSED_COMPLETE, footer=footer_at, metadata_bytes=metadata)
    first_header = evolve(closed, footer=_AVID_HEAD_BYTES) if growing else evolve(closed, state=1, footer=0)
    body = _PartitionPack(BODY, CLOSED_COMPLETE, this=_AVID_HEAD_BYTES, footer=footer_at, body_sid=1)
    first_body = evolve(body, kind=FOOTER, state=CLOSED_INCOMPLETE) if growing else evolve(body, footer=0)
    rope = Rope()
    rope.add(first_header.whole(), first_body.pack())
    length_at = rope.add(_PICTURE_KEY + b"\x88" + bytes(8)) + 16
    rope.add(Noise(spec.seed, rope.size_bytes, essence))
    rope.add(_end(spec, footer_at, [_AVID_HEAD_BYTES]))
    edits = (
        Edit(rope.size_bytes, 0, literal(closed.whole())),
        Edit(rope.size_bytes, _AVID_HEAD_BYTES, literal(body.pack())),
        Edit(rope.size_bytes, length_at, literal(b"\x88" + essence.to_bytes(8))),
    )
    return Recording(rope.content(), edits, length_at + 9)


def _opened(metadata_bytes: int, **details: Any) -> ContainerWriter:  # noqa: ANN401  fields of a _Layout
    """A header that is open while it records; at close it is complete and names the footer's offset."""
    header = _PartitionPack(HEADER, OPEN_INCOMPLETE, metadata_bytes=metadata_bytes)
    layout = _Layout(header, closed_header=evolve(header, state=CLOSED_COMPLETE))
    return partial(_recording, evolve(layout, **details))


CONTAINERS: dict[str, ContainerWriter] = {
    "mxf-op1a": _opened(6_144),
    "mxf-d10": _opened(5_120, partition_s=None),
    "mxf-rdd9": _opened(16_384, partition_s=10),
    "mxf-part": _opened(22_528, partition_s=5),
    "mxf-as11": _opened(4_200_000, partition_s=10),
    "mxf-duration": _opened(8_192, rewrites_header_s=10),
    "mxf-headroom": _opened(8_192, headroom_s=10),
    "mxf-single-pass": partial(
        _recording,
        _Layout(_PartitionPack(HEADER, OPEN_INCOMPLETE, metadata_bytes=8_192), None, patches_bodies=False),
    ),
    "mxf-avid": partial(_clip_wrapped, growing=False),
    "mxf-avid-growing": partial(_clip_wrapped, growing=True),
}
