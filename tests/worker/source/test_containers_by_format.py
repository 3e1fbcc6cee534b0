import pytest

from agent.model.source_file import ContainerState
from agent.worker.source.containers import judge
from tests.worker.source.containers_corpus import (
    AVI,
    AVI_HEAD,
    BODY,
    CLOSED_COMPLETE,
    CLOSED_INCOMPLETE,
    DATA,
    EBML,
    ESSENCE,
    ESSENCE_KEY,
    FASTSTART,
    FMT,
    FOOTER,
    FOOTER_AT,
    FRAGMENT,
    FRAGMENTED,
    FRAGMENTED_MOOV,
    FREE,
    FTYP,
    GARBAGE,
    HEADER,
    INDEX,
    LIST,
    LIVE_MKV,
    MAX_READ_BYTES,
    MDAT,
    MDAT_TO_THE_END,
    MFRA,
    MKV,
    MOOV,
    MOVI,
    MP4,
    ONES,
    OPEN_COMPLETE,
    OPEN_INCOMPLETE,
    PACK_BYTES,
    RF64,
    RF64_BYTES,
    RF64_DATA,
    SEGMENT_ID,
    VOID,
    WAV,
    Memory,
    Sparse,
    box,
    chunk,
    ds64,
    klv,
    mxf,
    pack,
    packets,
    random_index,
    riff,
    said_of,
    segment,
    verdict_of,
)

CLOSED, OPEN, TRUNCATED, UNKNOWN = (
    ContainerState.CLOSED,
    ContainerState.OPEN,
    ContainerState.TRUNCATED,
    ContainerState.UNKNOWN,
)


@pytest.mark.parametrize(
    ("said", "content"),
    [
        (OPEN, mxf(header=OPEN_INCOMPLETE, named_at=0)[:FOOTER_AT]),
        (OPEN, mxf(header=OPEN_COMPLETE, named_at=0)[: FOOTER_AT - 50]),
        (TRUNCATED, mxf()[:FOOTER_AT]),
        (TRUNCATED, mxf()[:FOOTER_AT] + bytes(500)),
        (TRUNCATED, mxf(rip=True)[:-4]),
        (TRUNCATED, mxf(index=len(INDEX) + 1)),
        (TRUNCATED, mxf(metadata=1)),
        (TRUNCATED, mxf()[:FOOTER_AT] + klv(ESSENCE_KEY, b"\x01" * 200)),
        (TRUNCATED, mxf(tail=bytes(len(INDEX)))),
        (TRUNCATED, pack(HEADER, OPEN_INCOMPLETE)[:30]),
        (TRUNCATED, pack(HEADER, OPEN_INCOMPLETE)[:17]),
        (TRUNCATED, klv(pack(HEADER, OPEN_INCOMPLETE)[:16], bytes(87)) + bytes(100)),
        (UNKNOWN, mxf(named_at=0)[:FOOTER_AT]),
        (UNKNOWN, mxf(header=OPEN_INCOMPLETE, named_at=0, footer=CLOSED_INCOMPLETE)),
        (UNKNOWN, mxf(named_at=PACK_BYTES, rip=True)),
        (UNKNOWN, mxf(run_in=b"./clip.mxf" + bytes(502)) + bytes(1024)),
        (UNKNOWN, mxf(run_in=b"run-in")[:FOOTER_AT]),
        (UNKNOWN, pack(BODY, CLOSED_COMPLETE)),
        (UNKNOWN, mxf() + pack(BODY, OPEN_INCOMPLETE, this=len(mxf()), body_sid=1) + ESSENCE),
        (UNKNOWN, mxf() + ESSENCE_KEY + b"\x80"),
        (UNKNOWN, mxf() + ESSENCE_KEY + b"\x89" + bytes(9)),
        (TRUNCATED, mxf() + ESSENCE_KEY + b"\x88" + b"\xff" * 8),
        (TRUNCATED, mxf() + ESSENCE_KEY + b"\x88"),
        (TRUNCATED, mxf() + ESSENCE_KEY[:5]),
    ],
)
def test_mxf_is_judged_by_its_footer(said: ContainerState, content: bytes) -> None:
    assert said_of(content) is said


def test_an_avid_mxf_that_grows_is_open_although_its_header_says_complete() -> None:
    head = pack(HEADER, CLOSED_COMPLETE, footer=PACK_BYTES)
    growing = pack(FOOTER, CLOSED_INCOMPLETE, this=PACK_BYTES, footer=PACK_BYTES, body_sid=1) + ESSENCE
    verdict = verdict_of(head + growing)
    assert verdict.container is OPEN
    assert "growing" in verdict.detail


def test_a_random_index_that_points_elsewhere_is_not_believed() -> None:
    assert said_of(mxf() + random_index(0, PACK_BYTES)) is CLOSED
    assert said_of(mxf(header=OPEN_INCOMPLETE, named_at=0)[:FOOTER_AT] + random_index(0, 1 << 63)) is OPEN


def test_a_footer_named_nowhere_is_found_across_steps_of_the_backward_scan() -> None:
    for behind in (60, 65_400, *range(65_405, 65_430), 200_000):
        index = klv(INDEX[:16], bytes(behind))
        content = mxf(header=OPEN_INCOMPLETE, named_at=0, tail=index, index=len(index))
        assert said_of(content) is CLOSED


def test_a_footer_beyond_the_backward_scan_is_not_looked_for() -> None:
    tail = klv(INDEX[:16], bytes(2 * 1024 * 1024))
    file = Memory(mxf(header=OPEN_INCOMPLETE, named_at=0, tail=tail))
    assert judge(file).container is OPEN
    assert file.read_bytes <= MAX_READ_BYTES


def test_the_random_index_finds_a_footer_wherever_it_is() -> None:
    tail = klv(INDEX[:16], bytes(2 * 1024 * 1024))
    assert said_of(mxf(header=OPEN_INCOMPLETE, named_at=0, tail=tail, rip=True)) is CLOSED


@pytest.mark.parametrize(
    ("said", "content"),
    [
        (OPEN, FTYP),
        (OPEN, FTYP + FREE + MDAT_TO_THE_END),
        (OPEN, FTYP + FREE + MDAT),
        (CLOSED, FASTSTART + FREE),
        (CLOSED, FTYP + MOOV + box(b"uuid", bytes(16)) + MDAT + MDAT),
        (TRUNCATED, FTYP + MDAT + bytes(len(MOOV))),
        (TRUNCATED, FTYP + MOOV + bytes(len(MDAT))),
        (TRUNCATED, FTYP + MDAT + box(b"moov", bytes(100))),
        (TRUNCATED, FTYP + MDAT + b"\x00\x00"),
        (UNKNOWN, FTYP + MDAT + box(b"moov", box(b"mvhd", bytes(100)), bytes(8))),
        (TRUNCATED, FTYP + (1).to_bytes(4) + b"mdat" + (15).to_bytes(8) + bytes(40)),
        (TRUNCATED, FTYP + (1).to_bytes(4) + b"mdat" + b"\xff" * 8),
        (TRUNCATED, b"\xf0" + MDAT[1:]),
        (TRUNCATED, (MP4 + FREE)[:-1]),
        (TRUNCATED, FRAGMENTED[:-1]),
        (TRUNCATED, (FRAGMENTED + MFRA)[:-1]),
        (UNKNOWN, FTYP + MOOV + MDAT_TO_THE_END),
        (UNKNOWN, FTYP + MOOV),
        (UNKNOWN, FTYP + FRAGMENTED_MOOV + MDAT),
        (UNKNOWN, FRAGMENTED),
        (UNKNOWN, FRAGMENTED + box(b"mfra", box(b"mfro", bytes(4) + (99).to_bytes(4)))),
        (UNKNOWN, FRAGMENTED + box(b"mfra", box(b"mfro", bytes(4) + b"\xff" * 4))),
        (UNKNOWN, box(b"styp", b"msdh") + FRAGMENT),
        (UNKNOWN, FTYP + box(b"meta", bytes(40)) + MDAT),
        (UNKNOWN, FTYP + box(b"meta", bytes(40)) + MDAT + GARBAGE),
        (UNKNOWN, b"Fly-free, said the text, and so it did."),
        (UNKNOWN, b"\0\0\0"),
    ],
)
def test_iso_media_is_judged_by_its_chain_of_boxes(said: ContainerState, content: bytes) -> None:
    assert said_of(content) is said


@pytest.mark.parametrize(
    ("said", "content"),
    [
        (OPEN, riff(FMT, DATA, size=0)),
        (OPEN, riff(FMT, chunk(b"data", bytes(100), size=ONES), size=ONES)),
        (OPEN, riff(FMT, chunk(b"data", b"", size=0), size=36) + bytes(100)),
        (OPEN, riff(ds64(0, 0), FMT, RF64_DATA, kind=b"RF64", size=ONES)),
        (OPEN, riff(ds64(ONES << 32 | ONES, 0), FMT, RF64_DATA, kind=b"RF64", size=ONES)),
        (OPEN, riff(FMT, DATA, kind=b"RF64", size=ONES)),
        (OPEN, AVI + riff(MOVI, form=b"AVIX", size=0)),
        (OPEN, riff(AVI_HEAD, MOVI, form=b"AVI ", size=ONES)),
        (CLOSED, riff(FMT, chunk(b"data", b""))),
        (CLOSED, riff(ds64(RF64_BYTES, 100), FMT, DATA, kind=b"RF64", size=RF64_BYTES)),
        (CLOSED, riff(FMT, DATA, chunk(b"LIST", bytes(7)), size=len(WAV) - 8 + 15)),
        (TRUNCATED, riff(FMT, DATA, LIST)[: len(WAV)]),
        (TRUNCATED, riff(FMT, chunk(b"data", bytes(100), size=101), size=len(WAV) - 8)),
        (TRUNCATED, RF64[:40]),
        (UNKNOWN, riff(FMT, DATA, size=len(WAV))),
        (UNKNOWN, riff(FMT, DATA, size=len(WAV) - 12)),
        (UNKNOWN, riff(FMT, DATA, chunk(b"junk", bytes(8), size=ONES - 1))),
        (UNKNOWN, riff(FMT, DATA, b"\xff\xff\xff\xff", bytes(8))),
        (UNKNOWN, riff(FMT, DATA, b"\x01\x02\x03\x04", bytes(8))),
        (UNKNOWN, riff(FMT, DATA, b"shor")),
        (UNKNOWN, riff(FMT, chunk(b"data", bytes(101)))[:-1]),
        (UNKNOWN, riff(FMT)),
        (UNKNOWN, riff(AVI_HEAD, form=b"AVI ")),
        (UNKNOWN, riff(bytes(8))),
        (UNKNOWN, riff(b"VP8 ", form=b"WEBP")),
        (UNKNOWN, AVI + b"RIFF"),
    ],
)
def test_riff_is_judged_by_its_sizes(said: ContainerState, content: bytes) -> None:
    assert said_of(content) is said


def test_a_wave_file_too_large_for_its_size_field_is_not_held_back() -> None:
    head = riff(FMT, chunk(b"data", b"", size=ONES), size=ONES)
    assert judge(Sparse({0: head}, ONES + 8)).container is UNKNOWN
    assert judge(Sparse({0: head}, ONES + 7)).container is OPEN


@pytest.mark.parametrize(
    ("said", "content"),
    [
        (CLOSED, EBML + VOID + segment(b"") + VOID),
        (TRUNCATED, MKV[:-1]),
        (TRUNCATED, EBML),
        (TRUNCATED, EBML + SEGMENT_ID),
        (TRUNCATED, MKV + EBML),
        (UNKNOWN, LIVE_MKV),
        (UNKNOWN, LIVE_MKV[:-100]),
        (UNKNOWN, EBML + SEGMENT_ID + b"\xff" + bytes(20)),
        (UNKNOWN, EBML + SEGMENT_ID + b"\x00" + bytes(20)),
        (UNKNOWN, EBML + b"\x08" + bytes(20)),
        (UNKNOWN, MKV + b"\x42\x86\x81\x01"),
    ],
)
def test_matroska_is_judged_by_the_size_of_its_segment(said: ContainerState, content: bytes) -> None:
    assert said_of(content) is said


def test_the_end_of_a_transport_stream_is_never_known() -> None:
    for stream in (packets(5), packets(5, before=4), packets(5, behind=16), packets(5)[:-1]):
        verdict = verdict_of(stream)
        assert verdict.container is UNKNOWN
        assert "transport stream" in verdict.detail
    assert "transport stream" not in verdict_of(packets(3)).detail
