from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st

from agent.terms import Entry, Signature, SourceFile, unpacked
from agent.worker import frame, read_frame
from tests.rules.samples import CLOSED, STATE, but

SECONDS = st.integers(-(2**63), 2**63 - 1)
TIMES_NS = st.one_of(st.integers(-(2**63), 2**63 - 1), SECONDS.map(lambda seconds: seconds * 10**9 + 1))
NUMBERS = st.tuples(
    st.integers(0, 2**63 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**63 - 1), TIMES_NS, TIMES_NS
)


@given(NUMBERS)
def test_whatever_the_kernel_says_of_a_file_is_kept_exactly(
    numbers: tuple[int, int, int, int, int],
) -> None:
    state = Signature(*numbers)
    assert state.numbers == numbers
    assert (state.device, state.inode, state.size_bytes, state.mtime_ns) == numbers[:4]
    assert state == Signature(*numbers)
    assert repr(state) == f"Signature{numbers}"


@given(NUMBERS, NUMBERS)
def test_two_states_are_equal_only_if_all_their_numbers_are(
    some: tuple[int, int, int, int, int], others: tuple[int, int, int, int, int]
) -> None:
    assert (Signature(*some) == Signature(*others)) is (some == others)


def test_a_file_is_the_same_in_another_state_and_another_one_with_another_inode_or_device() -> None:
    assert STATE.is_same_file(but(STATE, size_bytes=7, mtime_ns=8, ctime_ns=9))
    assert not STATE.is_same_file(but(STATE, inode=7))
    assert not STATE.is_same_file(but(STATE, device=7))


def test_a_provisional_state_is_of_the_same_file_and_never_found() -> None:
    assert STATE.provisional() == but(STATE, ctime_ns=-1)


def test_what_goes_from_process_to_process_arrives_as_it_was() -> None:
    far = but(STATE, mtime_ns=2**70)
    for value in (STATE, far, Entry("a", far), Entry("caf\udce9", STATE, CLOSED)):
        assert read_frame(BytesIO(frame(value))) == value
    assert isinstance(read_frame(BytesIO(frame(far))), Signature)


def test_files_keep_their_state_as_plain_bytes_and_one_copy_of_it() -> None:
    file = SourceFile("1", "mxf", "a", STATE, 1.0)
    again = SourceFile("1", "mxf", "a", file.state, 1.0)
    assert (type(file.state), again.state is file.state) == (bytes, True)
    assert file.signature == unpacked(file.state) == STATE
    assert Entry("a", STATE).signature == STATE
