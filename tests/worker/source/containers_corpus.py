"""Tiny but valid skeletons of each container, and readers that serve them from memory."""

from attrs import define, field

from agent.model.source_file import ContainerState
from agent.worker.source.containers import judge
from agent.worker.source.containers.probe import ContainerVerdict

MAX_READS = 512
MAX_READ_BYTES = MAX_READS * 1024 + 2 * 1024 * 1024 + 2 * 65536


@define
class Memory:
    """A file in memory, `size_bytes` of it; counts what is read."""

    content: bytes
    size_bytes: int = field()
    reads: int = 0
    read_bytes: int = 0

    @size_bytes.default
    def _whole(self) -> int:
        return len(self.content)

    def read(self, offset: int, length: int) -> bytes:
        assert 0 <= offset < offset + length <= self.size_bytes
        self.reads += 1
        got = self.content[offset : offset + length]
        self.read_bytes += len(got)
        return got


@define
class Sparse:
    """A huge file: pieces at offsets, zeros elsewhere."""

    pieces: dict[int, bytes]
    size_bytes: int

    def read(self, offset: int, length: int) -> bytes:
        got = bytearray(min(length, self.size_bytes - offset))
        for at, piece in self.pieces.items():
            for index in range(max(at, offset), min(at + len(piece), offset + len(got))):
                got[index - offset] = piece[index - at]
        return bytes(got)


GARBAGE = b"\x00\x01\x02\x03 and so on, for a while"


def verdict_of(content: bytes) -> ContainerVerdict:
    return judge(Memory(content))


def said_of(content: bytes) -> ContainerState:
    return verdict_of(content).container


# MXF: kinds and states as they stand in the key
HEADER, BODY, FOOTER = 2, 3, 4
OPEN_INCOMPLETE, CLOSED_INCOMPLETE, OPEN_COMPLETE, CLOSED_COMPLETE = 1, 2, 3, 4
_PACK_KEY = bytes.fromhex("060e2b34020501010d01020101")
ESSENCE_KEY = bytes.fromhex("060e2b34010201010d01030115010500")
INDEX_KEY = bytes.fromhex("060e2b34025301010d01020101100100")
PACK_BYTES = 16 + 4 + 88


def klv(key: bytes, value: bytes, *, short: bool = False) -> bytes:
    return key + (bytes([len(value)]) if short else b"\x83" + len(value).to_bytes(3)) + value


def pack(
    kind: int,
    state: int,
    *,
    this: int = 0,
    footer: int = 0,
    metadata: int = 0,
    index: int = 0,
    body_sid: int = 0,
) -> bytes:
    numbers = b"".join(number.to_bytes(8) for number in (this, 0, footer, metadata, index))
    value = bytes.fromhex("0001000300000200") + numbers + bytes(12) + body_sid.to_bytes(4) + bytes(24)
    return klv(_PACK_KEY + bytes([kind, state, 0]), value)


def random_index(*offsets: int) -> bytes:
    entries = b"".join((0).to_bytes(4) + offset.to_bytes(8) for offset in offsets)
    return klv(_PACK_KEY + b"\x11\x01\x00", entries + (20 + len(entries) + 4).to_bytes(4))


ESSENCE = klv(ESSENCE_KEY, bytes(200))
INDEX = klv(INDEX_KEY, bytes(60), short=True)
FOOTER_AT = PACK_BYTES + len(ESSENCE)


def mxf(
    *,
    header: int = CLOSED_COMPLETE,
    footer: int = CLOSED_COMPLETE,
    named_at: int = FOOTER_AT,
    metadata: int = 0,
    index: int = len(INDEX),
    rip: bool = False,
    run_in: bytes = b"",
    tail: bytes = INDEX,
) -> bytes:
    """Header, one essence KLV, footer with an index table, and a random index pack if `rip`."""
    head = run_in + pack(HEADER, header, footer=named_at, body_sid=1) + ESSENCE
    foot = pack(FOOTER, footer, this=FOOTER_AT, footer=FOOTER_AT, metadata=metadata, index=index) + tail
    return head + foot + (random_index(0, FOOTER_AT) if rip else b"")


# ISO base media files
def box(kind: bytes, *inside: bytes, large: bool = False) -> bytes:
    body = b"".join(inside)
    if large:
        return (1).to_bytes(4) + kind + (16 + len(body)).to_bytes(8) + body
    return (8 + len(body)).to_bytes(4) + kind + body


FTYP = box(b"ftyp", b"isom\0\0\2\0isom")
FREE = box(b"free", bytes(16))
MDAT = box(b"mdat", bytes(300))
MDAT_TO_THE_END = bytes(4) + MDAT[4:]
MOOV = box(b"moov", box(b"mvhd", bytes(100)), box(b"trak", bytes(40)))
FRAGMENTED_MOOV = box(b"moov", box(b"mvhd", bytes(100)), box(b"mvex", box(b"trex", bytes(24))))
FRAGMENT = box(b"moof", box(b"mfhd", bytes(8))) + MDAT
MFRA = box(b"mfra", box(b"tfra", bytes(20)), box(b"mfro", bytes(4) + (8 + 28 + 16).to_bytes(4)))
MP4 = FTYP + MDAT + MOOV
FASTSTART = FTYP + MOOV + MDAT
LARGE = FTYP + box(b"mdat", bytes(300), large=True) + MOOV
FRAGMENTED = FTYP + FRAGMENTED_MOOV + FRAGMENT * 2


# RIFF
def chunk(kind: bytes, body: bytes, *, size: int | None = None) -> bytes:
    said = len(body) if size is None else size
    return kind + said.to_bytes(4, "little") + body + bytes(len(body) % 2)


def riff(*chunks: bytes, kind: bytes = b"RIFF", form: bytes = b"WAVE", size: int | None = None) -> bytes:
    return chunk(kind, form + b"".join(chunks), size=size)


def ds64(riff_bytes: int, data_bytes: int) -> bytes:
    numbers = (riff_bytes, data_bytes, data_bytes // 2)
    return chunk(b"ds64", b"".join(number.to_bytes(8, "little") for number in numbers) + bytes(4))


ONES = 0xFFFFFFFF
FMT = chunk(b"fmt ", bytes(16))
DATA = chunk(b"data", bytes(100))
LIST = chunk(b"LIST", b"INFOISFT" + bytes(8))
MOVI = chunk(b"LIST", b"movi" + bytes(100))
WAV = riff(FMT, DATA)
BWF = riff(chunk(b"bext", bytes(602)), FMT, DATA, LIST)
RF64_BYTES = 4 + 36 + len(FMT) + len(DATA)
RF64_DATA = chunk(b"data", bytes(100), size=ONES)
RF64 = riff(ds64(RF64_BYTES, 100), FMT, RF64_DATA, kind=b"RF64", size=ONES)
AVI_HEAD = chunk(b"LIST", b"hdrl" + bytes(60))
AVI = riff(AVI_HEAD, MOVI, chunk(b"idx1", bytes(32)), form=b"AVI ")
OPENDML = AVI + riff(MOVI, form=b"AVIX")


# Matroska
EBML = bytes.fromhex("1a45dfa3") + b"\x88" + bytes.fromhex("4282857765626d00")
SEGMENT_ID = bytes.fromhex("18538067")
VOID = b"\xec\x84" + bytes(4)


def segment(body: bytes, size: int | None = None) -> bytes:
    said = len(body) if size is None else size
    return SEGMENT_ID + ((1 << 56) | said).to_bytes(8) + body


MKV = EBML + segment(bytes(300))
LIVE_MKV = EBML + segment(bytes(300), (1 << 56) - 1)


# Transport streams
def packets(count: int, *, before: int = 0, behind: int = 0) -> bytes:
    return (bytes(before) + b"\x47" + bytes(187) + bytes(behind)) * count


CLOSED_FILES = {
    "mxf": mxf(),
    "mxf with random index": mxf(rip=True),
    "mxf by a single-pass writer": mxf(header=OPEN_INCOMPLETE, named_at=0),
    "mxf behind a run-in": mxf(run_in=b"run-in of this file"),
    "mxf with a closed header that names no footer": mxf(named_at=0),
    "mp4": MP4,
    "mp4 faststart": FASTSTART,
    "mov with a large mdat": LARGE,
    "mov from before ftyp": box(b"wide") + MDAT + MOOV,
    "mp4 fragmented with its index": FRAGMENTED + MFRA,
    "wav": WAV,
    "wav of odd length": riff(FMT, chunk(b"data", bytes(101))),
    "bwf": BWF,
    "rf64": RF64,
    "bw64": b"BW64" + RF64[4:],
    "avi": AVI,
    "avi opendml": OPENDML,
    "mkv": MKV,
    "mkv twice": MKV + MKV,
}
