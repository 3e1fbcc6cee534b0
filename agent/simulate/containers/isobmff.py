"""MP4 and MOV as their writers leave them while they record, and when they close.

ISO/IEC 14496-12 §4.2 (boxes, 64-bit sizes, "to the end of the file"), §4.3 (`ftyp`), §8.1 (`mdat`, `free`),
§8.2 (`moov`, `mvhd`), §8.3 (`trak`, `tkhd`), §8.8 (`mvex`, `trex`, `moof`, `mfhd`, `mfra`, `tfra`, `mfro`).
QuickTime File Format: `wide` keeps the place for a 64-bit size. The media data is noise.
"""

from collections.abc import Iterator

from agent.simulate.content import Content, Noise, Rope, Zeros, literal
from agent.simulate.recording import ContainerWriter, Edit, Material, Recording, shares

_ONES_32 = (1 << 32) - 1
_SLOT_BYTES = 65_536
_FRAGMENT_S = 2.0
_ROBUST_S = 2.0
_MFRA_BYTES = 8 + 24 + 16


def box(kind: bytes, *inside: bytes) -> bytes:
    body = b"".join(inside)
    return (8 + len(body)).to_bytes(4) + kind + body


def mov(material: Material, brand: bytes = b"qt  ") -> Recording:
    """`mdat` "to the end of the file"; at close its size is filled in, then `moov` is appended."""
    head = _ftyp(brand) + box(b"wide")
    moov = _moov(material, len(head) + 8)
    media = material.room(len(head) + 8 + len(moov))
    strip = Rope()
    strip.add(head, bytes(4) + b"mdat", Noise(material.seed, 0, media))
    closing = _sized(strip.at, len(head) - 8, media)
    strip.add(moov)
    return Recording(strip.content(), (closing,), len(head) + 8)


def mp4(material: Material) -> Recording:
    return mov(material, b"isom")


def faststart(material: Material) -> Recording:
    """At close all media data is moved back, in the same file, and `moov` is put in front of it."""
    head = _ftyp(b"isom") + box(b"free")
    moov = _moov(material, len(head))
    media = material.room(len(head) + 8 + len(moov))
    strip = Rope()
    strip.add(head, bytes(4) + b"mdat", Noise(material.seed, 0, media))
    sized = _sized(strip.at, len(head) - 8, media)
    moved = strip.content().patched(sized.offset, sized.content).cut(len(head) - 8, strip.at)
    shift = Edit(strip.at, len(head) - 8 + len(moov), moved)
    edits = (sized, shift, Edit(strip.at, len(head) - 8, literal(moov)))
    return Recording(strip.content(), edits, len(head) + 8)


def reserved(material: Material) -> Recording:
    """The place of `moov` is kept by `free` in front of the media data, and filled at close."""
    ftyp, moov = _ftyp(b"isom"), _moov(material, 0)
    place = 2 * len(moov)
    strip = Rope()
    strip.add(ftyp, *_free(place), box(b"wide"))
    head = strip.at + 8
    media = material.room(head)
    strip.add(bytes(4) + b"mdat", Noise(material.seed, 0, media))
    index = Edit(strip.at, len(ftyp), Content((moov, *_free(place - len(moov)))))
    return Recording(strip.content(), (_sized(strip.at, head - 16, media), index), head)


def robust(material: Material) -> Recording:
    """Two places for `moov` in front; every two seconds the one not in use is written, then takes over."""
    ftyp, wide = _ftyp(b"qt  "), box(b"wide")
    period = material.period_bytes(_ROBUST_S)
    slot = max(_SLOT_BYTES, 2 * len(_moov(material, 0)))

    def slots(at: int) -> Content:
        """Both places as they are when so much has been recorded."""
        moov = _moov(material, at)
        used, spare = (moov, *_free(slot - len(moov))), _free(slot)
        return Content((*spare, *used) if at // period % 2 else (*used, *spare))

    strip = Rope()
    strip.add(ftyp, *slots(0).pieces, wide)
    head = strip.at + 8
    media = material.room(head)
    strip.add(bytes(4) + b"mdat", Noise(material.seed, 0, media))
    live = [Edit(at, len(ftyp), slots(at)) for at in range(period, strip.at, period)]
    last = (_sized(strip.at, head - 16, media), Edit(strip.at, len(ftyp), slots(strip.at)))
    return Recording(strip.content(), (*live, *last), head)


def fragmented(material: Material, *, indexed: bool = True) -> Recording:
    """`moof` and `mdat` by turns, whole from the start; `mfra` at the end if `indexed`."""
    head = _ftyp(b"iso6") + _fragmented_moov()
    media = material.room(len(head) + _MFRA_BYTES * indexed)
    strip = Rope()
    strip.add(head)
    strip.add(*_fragments(material, media))
    if indexed:
        tfra, mfro = box(b"tfra", bytes(16)), box(b"mfro", bytes(4), _MFRA_BYTES.to_bytes(4))
        strip.add(box(b"mfra", tfra, mfro))
    return Recording(strip.content(), head_bytes=len(head))


def live(material: Material) -> Recording:
    """Fragments without an index: nothing ever says that it is finished."""
    return fragmented(material, indexed=False)


def hybrid(material: Material) -> Recording:
    """Fragments while recording; at close a `moov`, and all before it becomes one `mdat`: 8 bytes, or 16."""
    ftyp = _ftyp(b"iso6")
    head = ftyp + box(b"free", bytes(8)) + _fragmented_moov()
    moov = _moov(material, len(head))
    media = material.room(len(head) + len(moov))
    strip = Rope()
    strip.add(head)
    strip.add(*_fragments(material, media))
    size = strip.at - len(ftyp)
    small = size.to_bytes(4) + b"mdat" if size <= _ONES_32 else _large(size)
    strip.add(moov)
    return Recording(strip.content(), (Edit(strip.at, len(ftyp), literal(small)),), len(head))


def _ftyp(brand: bytes) -> bytes:
    return box(b"ftyp", brand + bytes(4) + brand + b"isom")


def _sized(after: int, wide_at: int, media: int) -> Edit:
    """The size of `mdat`: four bytes, or sixteen over `wide` and the head when it takes 64 bits."""
    if media + 8 <= _ONES_32:
        return Edit(after, wide_at + 8, literal((media + 8).to_bytes(4)))
    return Edit(after, wide_at, literal(_large(media + 16)))


def _large(size: int) -> bytes:
    return (1).to_bytes(4) + b"mdat" + size.to_bytes(8)


def _moov(material: Material, mark: int) -> bytes:
    """A movie box of one track, told apart by `mark`, in proportion to the media."""
    mvhd = box(b"mvhd", mark.to_bytes(16), bytes(84))
    trak = box(b"trak", box(b"tkhd", bytes(84)))
    size = material.tail(1024 + material.size_bytes // 10_000)
    return box(b"moov", mvhd, trak, box(b"free", bytes(size - len(mvhd) - len(trak) - 16)))


def _free(size: int) -> tuple[bytes, Zeros]:
    return size.to_bytes(4) + b"free", Zeros(size - 8)


def _fragmented_moov() -> bytes:
    mvhd = box(b"mvhd", bytes(100))
    return box(b"moov", mvhd, box(b"trak", box(b"tkhd", bytes(84))), box(b"mvex", box(b"trex", bytes(24))))


def _fragments(material: Material, total: int) -> Iterator[bytes | Noise]:
    at = 0
    each = min(material.period_bytes(_FRAGMENT_S), 1 << 30)
    for number, share in enumerate(shares(total, each)):
        yield box(b"moof", box(b"mfhd", bytes(4), number.to_bytes(4))) + (share - 24).to_bytes(4) + b"mdat"
        yield Noise(material.seed, at, share - 32)
        at += share


FORMS: dict[str, ContainerWriter] = {
    "mov": mov,
    "mp4": mp4,
    "mp4-faststart": faststart,
    "mp4-reserved": reserved,
    "mp4-fragmented": fragmented,
    "mp4-live": live,
    "mp4-hybrid": hybrid,
    "mov-robust": robust,
}
