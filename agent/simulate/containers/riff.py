"""WAV, RF64 and AVI as their writers leave them while they record, and when they close.

Multimedia Programming Interface and Data Specifications 1.0 (IBM and Microsoft, 1991), chapter 2 (chunks,
sizes of 32 bits, even padding) and 3 (WAVE). OpenDML AVI File Format Extensions 1.02 (AVI: `hdrl`, `movi`,
`idx1`). EBU Tech 3285 (`bext`). EBU Tech 3306 (RF64: a `JUNK` chunk reserves the space of `ds64`). The rest
is noise.
"""

from agent.simulate.content import Content, Noise, Rope, literal
from agent.simulate.recording import ContainerWriter, Edit, Recording, RecordingSpec, TooLarge

_ONES_32 = (1 << 32) - 1
_FMT = bytes.fromhex("0100020080bb000000ee020004001000")  # PCM, 2 channels, 48 kHz, 16 bits
_DS64_BYTES = 28
_INDEX_BYTES = 1600


def chunk(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)


def wav(spec: RecordingSpec, extra: bytes = b"") -> Recording:
    """Sizes of 0 in the head, filled in at close: two times 4 bytes."""
    head = b"RIFF" + bytes(4) + b"WAVE" + extra + chunk(b"fmt ", _FMT) + b"data" + bytes(4)
    sound = _even(spec.media_bytes(len(head)))
    total = _fits(len(head) + sound)
    edits = (
        Edit(total, 4, literal((total - 8).to_bytes(4, "little"))),
        Edit(total, len(head) - 4, literal(sound.to_bytes(4, "little"))),
    )
    return Recording(_content(head, spec, sound), edits, len(head))


def bwf(spec: RecordingSpec) -> Recording:
    """WAV with a `bext` chunk in front."""
    return wav(spec, chunk(b"bext", b"a take".ljust(602, b"\0")))


def rf64(spec: RecordingSpec) -> Recording:
    """`JUNK` in the head of a RIFF becomes `ds64`, and RIFF becomes RF64, at close."""
    junk, fmt = chunk(b"JUNK", bytes(_DS64_BYTES)), chunk(b"fmt ", _FMT)
    head = b"RIFF" + bytes(4) + b"WAVE" + junk + fmt + b"data" + bytes(4)
    sound = _even(spec.media_bytes(len(head)))
    total = len(head) + sound
    sizes = (total - 8, sound, sound // 4)
    ds64 = chunk(b"ds64", b"".join(size.to_bytes(8, "little") for size in sizes) + bytes(4))
    ones = _ONES_32.to_bytes(4)
    edits = (
        Edit(total, len(head) - 4, literal(ones)),
        Edit(total, 0, literal(b"RF64" + ones + b"WAVE" + ds64)),
    )
    return Recording(_content(head, spec, sound), edits, len(head))


def avi(spec: RecordingSpec) -> Recording:
    """RIFF and `movi` of size 0; at close `idx1` is appended, then sizes and frame count are filled in."""
    hdrl = b"hdrl" + chunk(b"avih", bytes(56))
    head = b"RIFF" + bytes(4) + b"AVI " + chunk(b"LIST", hdrl)
    index = chunk(b"idx1", bytes(spec.index_bytes(_INDEX_BYTES)))
    picture = _even(spec.media_bytes(len(head) + 12 + 8 + len(index)))
    total = _fits(len(head) + 12 + 8 + picture + len(index))
    rope = Rope()
    rope.add(head)
    movi_at = rope.add(b"LIST" + bytes(4) + b"movi")
    rope.add(b"00dc" + picture.to_bytes(4, "little"), Noise(spec.seed, 0, picture), index)
    edits = (
        Edit(total, 4, literal((total - 8).to_bytes(4, "little"))),
        Edit(total, movi_at + 4, literal((picture + 12).to_bytes(4, "little"))),
        Edit(total, head.index(b"avih") + 8 + 16, literal((1).to_bytes(4, "little"))),
    )
    return Recording(rope.content(), edits, len(head) + 20)


def _content(head: bytes, spec: RecordingSpec, sound: int) -> Content:
    rope = Rope()
    rope.add(head, Noise(spec.seed, 0, sound))
    return rope.content()


def _even(count: int) -> int:
    return count // 4 * 4


def _fits(total: int) -> int:
    if total - 8 >= _ONES_32:
        raise TooLarge(_ONES_32)
    return total


CONTAINERS: dict[str, ContainerWriter] = {"wav": wav, "bwf": bwf, "rf64": rf64, "avi": avi}
