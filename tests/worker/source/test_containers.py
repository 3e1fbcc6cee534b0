import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.source_file import ContainerState
from agent.worker.source.containers import judge
from agent.worker.source.containers.probe import WINDOW_BYTES, ContainerVerdict, Probe
from tests.worker.source.containers_corpus import (
    AVI,
    CLOSED_COMPLETE,
    CLOSED_FILES,
    EBML,
    ESSENCE_KEY,
    FOOTER,
    FOOTER_AT,
    FRAGMENT,
    FRAGMENTED_MOOV,
    FREE,
    FTYP,
    GARBAGE,
    INDEX,
    MAX_READ_BYTES,
    MAX_READS,
    MDAT,
    MKV,
    MOVI,
    OPEN_INCOMPLETE,
    OPENDML,
    VOID,
    Memory,
    box,
    chunk,
    klv,
    mxf,
    pack,
    riff,
    said_of,
    segment,
    verdict_of,
)

CLOSED, UNKNOWN = ContainerState.CLOSED, ContainerState.UNKNOWN


@pytest.mark.parametrize("name", CLOSED_FILES)
def test_a_finished_file_is_closed(name: str) -> None:
    assert said_of(CLOSED_FILES[name]) is CLOSED


# What may be lost without a trace: a whole optional part at the very end.
OPTIONAL_ENDS = {
    "mxf with random index": {len(mxf())},
    "avi opendml": {len(AVI)},
    "mkv twice": {len(MKV)},
}


@pytest.mark.parametrize("name", CLOSED_FILES)
def test_no_cut_of_a_finished_file_is_closed(name: str) -> None:
    whole = CLOSED_FILES[name]
    closed = {size for size in range(len(whole)) if said_of(whole[:size]) is CLOSED}
    assert closed == OPTIONAL_ENDS.get(name, set())


@pytest.mark.parametrize("name", CLOSED_FILES)
def test_a_finished_file_with_other_bytes_behind_it_is_never_held_back(name: str) -> None:
    for tail in (bytes(4), bytes(1000), GARBAGE, b"TAGTitle of the song" + bytes(108)):
        assert said_of(CLOSED_FILES[name] + tail) is UNKNOWN


@pytest.mark.parametrize("content", [b"", bytes(100_000), b"plain text\n" * 9, b"\x06\x0e\x2b\x34"])
def test_what_is_no_container_is_unknown(content: bytes) -> None:
    assert verdict_of(content).detail == "not a known container"


ENDLESS = {
    "boxes": FTYP + box(b"free", bytes(2000)) * 600,
    "fragments": FTYP + FRAGMENTED_MOOV + (FRAGMENT + FREE * 50) * 600,
    "klvs": mxf() + klv(ESSENCE_KEY, bytes(2000)) * 600,
    "footers": mxf(header=OPEN_INCOMPLETE, named_at=0)[:FOOTER_AT]
    + (pack(FOOTER, CLOSED_COMPLETE) + bytes(2000)) * 600,
    "chunks": riff(chunk(b"JUNK", bytes(2000)) * 600),
    "riffs": OPENDML + riff(MOVI, chunk(b"JUNK", bytes(2000)), form=b"AVIX") * 600,
    "elements": EBML + (VOID + segment(bytes(2000))) * 600,
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_file_of_too_many_parts_is_given_up(name: str) -> None:
    file = Memory(ENDLESS[name])
    assert judge(file) == ContainerVerdict(UNKNOWN, "too many parts to read them all")
    assert file.read_bytes <= MAX_READ_BYTES


def _judged_within_bounds(file: Memory) -> None:
    assert judge(file).detail
    assert file.reads <= MAX_READS
    assert file.read_bytes <= MAX_READ_BYTES


@given(
    st.sampled_from([content[:size] for content in CLOSED_FILES.values() for size in (0, 4, 12, 16, 24)]),
    st.binary(max_size=300),
)
def test_no_bytes_behind_any_magic_raise_or_cost_more_than_allowed(magic: bytes, rest: bytes) -> None:
    _judged_within_bounds(Memory(magic + rest))


@given(
    st.sampled_from(sorted(CLOSED_FILES.values())),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=12), st.integers(0, 12)), max_size=4),
)
def test_no_damage_raises_or_costs_more_than_allowed(
    content: bytes, damages: list[tuple[int, bytes, int]]
) -> None:
    for at, new, removed in damages:
        content = content[: at % len(content)] + new + content[at % len(content) + removed :] or b"\0"
    _judged_within_bounds(Memory(content))


@given(st.sampled_from(sorted(CLOSED_FILES.values())), st.integers(0, 2000))
def test_a_file_that_shrinks_under_the_look_raises_nothing(content: bytes, left: int) -> None:
    _judged_within_bounds(Memory(content[:left], len(content)))


FILLED_FROM_THE_FRONT = {
    "mxf": mxf(tail=klv(INDEX[:16], b"\x01" * 60), index=77),
    "mp4": FTYP + MDAT + box(b"moov", box(b"mvhd", bytes(100)), box(b"udta")),
}


@pytest.mark.parametrize("name", FILLED_FROM_THE_FRONT)
def test_a_file_that_had_its_size_from_the_start_is_not_closed_before_its_last_part_has_come(
    name: str,
) -> None:
    whole = FILLED_FROM_THE_FRONT[name]
    last_part = len(whole) - (77 if name == "mxf" else 8)
    for filled in range(last_part):
        assert said_of(whole[:filled] + bytes(len(whole) - filled)) is not CLOSED
    assert said_of(whole) is CLOSED


@given(
    st.binary(max_size=3000),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, WINDOW_BYTES)), max_size=8),
)
def test_a_look_through_the_window_shows_what_stands_there(
    content: bytes, looks: list[tuple[int, int]]
) -> None:
    probe = Probe(Memory(content))
    assert [probe.peek(at, length) for at, length in looks] == [content[at:][:length] for at, length in looks]


def test_neighbours_share_one_read() -> None:
    file = Memory(bytes(5000))
    probe = Probe(file)
    for at in (1000, 1000, 1500, 2000):
        probe.peek(at, 24)
    assert file.reads == 1
