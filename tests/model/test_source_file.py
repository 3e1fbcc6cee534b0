from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st

from agent.model.source_file import (
    FileVersion,
    ScannedFile,
    Signature,
    may_have_same_content,
    may_share_blocks,
    signature_from_bytes,
)
from agent.protocol.frames import frame, read_frame
from tests.samples import CLOSED, STATE, but

SECONDS = st.integers(-(2**63), 2**63 - 1)
TIMES_NS = st.one_of(st.integers(-(2**63), 2**63 - 1), SECONDS.map(lambda seconds: seconds * 10**9 + 1))
NUMBERS = st.tuples(
    st.integers(0, 2**63 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**63 - 1), TIMES_NS, TIMES_NS
)


@given(NUMBERS)
def test_a_signature_keeps_all_numbers_exactly(
    numbers: tuple[int, int, int, int, int],
) -> None:
    state = Signature(*numbers)
    assert state.numbers == numbers
    assert (state.device, state.inode, state.size_bytes, state.mtime_ns) == numbers[:4]
    assert state == Signature(*numbers)
    assert repr(state) == f"Signature{numbers}"


@given(NUMBERS, NUMBERS)
def test_two_signatures_are_equal_only_if_all_their_numbers_are(
    some: tuple[int, int, int, int, int], others: tuple[int, int, int, int, int]
) -> None:
    assert (Signature(*some) == Signature(*others)) is (some == others)


def test_a_file_is_identified_by_device_and_inode() -> None:
    assert STATE.is_same_file(but(STATE, size_bytes=7, mtime_ns=8, ctime_ns=9))
    assert not STATE.is_same_file(but(STATE, inode=7))
    assert not STATE.is_same_file(but(STATE, device=7))


def test_a_state_is_the_same_on_a_share_that_was_mounted_again() -> None:
    assert STATE.is_same_state(but(STATE, device=7))
    for name in ("inode", "size_bytes", "mtime_ns", "ctime_ns"):
        assert not STATE.is_same_state(but(STATE, **{name: 7}))


def test_size_and_mtime_tell_whether_two_states_may_have_the_same_content() -> None:
    assert may_have_same_content(STATE, but(STATE, device=7, inode=7, ctime_ns=7))
    assert may_share_blocks(STATE, but(STATE, device=7, inode=7, ctime_ns=7))
    for name in ("size_bytes", "mtime_ns"):
        assert not may_have_same_content(STATE, but(STATE, **{name: 7}))
        assert may_share_blocks(STATE, but(STATE, **{name: 7}))
        assert not may_share_blocks(STATE, but(STATE, inode=7, **{name: 7}))


def test_a_placeholder_is_of_the_same_file_and_never_found() -> None:
    assert STATE.placeholder() == but(STATE, ctime_ns=-1)


def test_pickling_round_trips() -> None:
    far = but(STATE, mtime_ns=2**70)
    for value in (STATE, far, ScannedFile("a", far), ScannedFile("caf\udce9", STATE, CLOSED)):
        assert read_frame(BytesIO(frame(value))) == value
    assert isinstance(read_frame(BytesIO(frame(far))), Signature)


def test_files_keep_their_signature_as_plain_bytes_and_one_copy_of_it() -> None:
    file = FileVersion("1", "mxf", "a", STATE, 1.0)
    again = FileVersion("1", "mxf", "a", file.packed_signature, 1.0)
    assert (type(file.packed_signature), again.packed_signature is file.packed_signature) == (bytes, True)
    assert file.signature == signature_from_bytes(file.packed_signature) == STATE
    assert ScannedFile("a", STATE).signature == STATE
