"""MP4 and MOV as their writers leave them while they record, and when they close.

ISO/IEC 14496-12 §4.2 (boxes, 64-bit sizes, "to the end of the file"), §4.3 (`ftyp`), §8.1 (`mdat`, `free`),
§8.2 (`moov`, `mvhd`), §8.3 (`trak`, `tkhd`), §8.8 (`mvex`, `trex`, `moof`, `mfhd`, `mfra`, `tfra`, `mfro`).
QuickTime File Format: `wide` reserves space for a 64-bit size. The media data is noise.
"""

from collections.abc import Iterator

from agent.simulate.content import Content, Noise, Rope, Zeros, literal
from agent.simulate.recording import ContainerWriter, Edit, Recording, RecordingSpec, shares

_ONES_32 = (1 << 32) - 1
_SLOT_BYTES = 65_536
_FRAGMENT_S = 2.0
_ROBUST_S = 2.0
_MFRA_BYTES = 8 + 24 + 16


def box(kind: bytes, *inside: bytes) -> bytes:
    body = b"".join(inside)
    return (8 + len(body)).to_bytes(4) + kind + body


def mov(spec: RecordingSpec, brand: bytes = b"qt  ") -> Recording:
    """`mdat` "to the end of the file"; at close its size is filled in, then `moov` is appended."""
    head = _ftyp(brand) + box(b"wide")
    moov = _moov(spec, len(head) + 8)
    media = spec.media_bytes(len(head) + 8 + len(moov))
    rope = Rope()
    rope.add(head, bytes(4) + b"mdat", Noise(spec.seed, 0, media))
    closing = _sized(rope.size_bytes, len(head) - 8, media)
    rope.add(moov)
    return Recording(rope.content(), (closing,), len(head) + 8)


def mp4(spec: RecordingSpec) -> Recording:
    return mov(spec, b"isom")


def faststart(spec: RecordingSpec) -> Recording:
    """At close all media data is moved back, in the same file, and `moov` is put in front of it."""
    head = _ftyp(b"isom") + box(b"free")
    moov = _moov(spec, len(head))
    media = spec.media_bytes(len(head) + 8 + len(moov))
    rope = Rope()
    rope.add(head, bytes(4) + b"mdat", Noise(spec.seed, 0, media))
    sized = _sized(rope.size_bytes, len(head) - 8, media)
    moved = rope.content().patched(sized.offset, sized.content).cut(len(head) - 8, rope.size_bytes)
    shift = Edit(rope.size_bytes, len(head) - 8 + len(moov), moved)
    edits = (sized, shift, Edit(rope.size_bytes, len(head) - 8, literal(moov)))
    return Recording(rope.content(), edits, len(head) + 8)


def reserved(spec: RecordingSpec) -> Recording:
    """`free` reserves space for `moov` in front of the media data; it is filled at close."""
    ftyp, moov = _ftyp(b"isom"), _moov(spec, 0)
    reserved_bytes = 2 * len(moov)
    rope = Rope()
    rope.add(ftyp, *_free(reserved_bytes), box(b"wide"))
    head = rope.size_bytes + 8
    media = spec.media_bytes(head)
    rope.add(bytes(4) + b"mdat", Noise(spec.seed, 0, media))
    index = Edit(rope.size_bytes, len(ftyp), Content((moov, *_free(reserved_bytes - len(moov)))))
    return Recording(rope.content(), (_sized(rope.size_bytes, head - 16, media), index), head)


def robust(spec: RecordingSpec) -> Recording:
    """Two slots for `moov` in front; every 2 s the unused slot is written and then used."""
    ftyp, wide = _ftyp(b"qt  "), box(b"wide")
    period = spec.period_bytes(_ROBUST_S)
    slot = max(_SLOT_BYTES, 2 * len(_moov(spec, 0)))

    def slots(at: int) -> Content:
        """Both slots when `at` bytes have been recorded."""
        moov = _moov(spec, at)
        used, spare = (moov, *_free(slot - len(moov))), _free(slot)
        return Content((*spare, *used) if at // period % 2 else (*used, *spare))

    rope = Rope()
    rope.add(ftyp, *slots(0).pieces, wide)
    head = rope.size_bytes + 8
    media = spec.media_bytes(head)
    rope.add(bytes(4) + b"mdat", Noise(spec.seed, 0, media))
    live = [Edit(at, len(ftyp), slots(at)) for at in range(period, rope.size_bytes, period)]
    last = (
        _sized(rope.size_bytes, head - 16, media),
        Edit(rope.size_bytes, len(ftyp), slots(rope.size_bytes)),
    )
    return Recording(rope.content(), (*live, *last), head)


def fragmented(spec: RecordingSpec, *, indexed: bool = True) -> Recording:
    """`moof` and `mdat` by turns, each complete at once; `mfra` at the end if `indexed`."""
    head = _ftyp(b"iso6") + _fragmented_moov()
    media = spec.media_bytes(len(head) + _MFRA_BYTES * indexed)
    rope = Rope()
    rope.add(head)
    rope.add(*_fragments(spec, media))
    if indexed:
        tfra, mfro = box(b"tfra", bytes(16)), box(b"mfro", bytes(4), _MFRA_BYTES.to_bytes(4))
        rope.add(box(b"mfra", tfra, mfro))
    return Recording(rope.content(), head_bytes=len(head))


def live(spec: RecordingSpec) -> Recording:
    """Fragments without an index: the file never shows that it is complete."""
    return fragmented(spec, indexed=False)


def hybrid(spec: RecordingSpec) -> Recording:
    """Fragments while recording.

    At close `moov` is appended and all before it becomes one `mdat` (8 or 16 bytes).
    """
    ftyp = _ftyp(b"iso6")
    head = ftyp + box(b"free", bytes(8)) + _fragmented_moov()
    moov = _moov(spec, len(head))
    media = spec.media_bytes(len(head) + len(moov))
    rope = Rope()
    rope.add(head)
    rope.add(*_fragments(spec, media))
    size = rope.size_bytes - len(ftyp)
    small = size.to_bytes(4) + b"mdat" if size <= _ONES_32 else _large(size)
    rope.add(moov)
    return Recording(rope.content(), (Edit(rope.size_bytes, len(ftyp), literal(small)),), len(head))


def _ftyp(brand: bytes) -> bytes:
    return box(b"ftyp", brand + bytes(4) + brand + b"isom")


def _sized(after: int, wide_at: int, media: int) -> Edit:
    """The size of `mdat`: 4 bytes, or 16 over `wide` and the box header when it needs 64 bits."""
    if media + 8 <= _ONES_32:
        return Edit(after, wide_at + 8, literal((media + 8).to_bytes(4)))
    return Edit(after, wide_at, literal(_large(media + 16)))


def _large(size: int) -> bytes:
    return (1).to_bytes(4) + b"mdat" + size.to_bytes(8)


def _moov(spec: RecordingSpec, at: int) -> bytes:
    """A movie box of one track, distinguished by `at`; its size is in proportion to the media."""
    mvhd = box(b"mvhd", at.to_bytes(16), bytes(84))
    trak = box(b"trak", box(b"tkhd", bytes(84)))
    size = spec.index_bytes(1024 + spec.size_bytes // 10_000)
    return box(b"moov", mvhd, trak, box(b"free", bytes(size - len(mvhd) - len(trak) - 16)))


def _free(size: int) -> tuple[bytes, Zeros]:
    return size.to_bytes(4) + b"free", Zeros(size - 8)


def _fragmented_moov() -> bytes:
    mvhd = box(b"mvhd", bytes(100))
    return box(b"moov", mvhd, box(b"trak", box(b"tkhd", bytes(84))), box(b"mvex", box(b"trex", bytes(24))))


def _fragments(spec: RecordingSpec, total: int) -> Iterator[bytes | Noise]:
    at = 0
    each = min(spec.period_bytes(_FRAGMENT_S), 1 << 30)
    for number, share in enumerate(shares(total, each)):
        yield box(b"moof", box(b"mfhd", bytes(4), number.to_bytes(4))) + (share - 24).to_bytes(4) + b"mdat"
        yield Noise(spec.seed, at, share - 32)
        at += share


CONTAINERS: dict[str, ContainerWriter] = {
    "mov": mov,
    "mp4": mp4,
    "mp4-faststart": faststart,
    "mp4-reserved": reserved,
    "mp4-fragmented": fragmented,
    "mp4-live": live,
    "mp4-hybrid": hybrid,
    "mov-robust": robust,
}
