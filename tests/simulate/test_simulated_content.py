"""Contents that are described, not held, and the expected state of a folder."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.simulate.content import Content, Noise, Packets, Zeros
from agent.simulate.expected_state import ExpectedState
from agent.simulate.steps import Allocate, Create, Remove, Rename, Truncate, Write, WriteStep

PATH = "clip.bin"


@pytest.mark.parametrize("kind", [Noise, Packets])
@given(start=st.integers(0, 300_000), length=st.integers(0, 2_000))
def test_noise_is_the_same_at_a_place_however_it_is_read(kind: type[Noise], start: int, length: int) -> None:
    whole = kind("7/1", 0, 310_000)
    assert kind("7/1", start, length).read() == whole.read()[start : start + length]


def test_noise_differs_from_place_to_place_and_from_seed_to_seed() -> None:
    blocks = [Noise(seed, start, 65_536).read() for seed in ("1", "2") for start in range(0, 1 << 22, 65_536)]
    assert len(set(blocks)) == len(blocks)


def test_packets_begin_with_their_sync_byte_and_count_on() -> None:
    data = Packets("7/1", 0, 188 * 40).read()
    assert set(data[::188]) == {0x47}
    assert [byte & 0xF for byte in data[3::188]] == [number % 16 for number in range(40)]


@given(st.lists(st.integers(0, 300), max_size=6), st.data())
def test_a_content_can_be_cut_anywhere(lengths: list[int], data: st.DataObject) -> None:
    pieces = [Noise(str(n), n, length) if n % 2 else Zeros(length) for n, length in enumerate(lengths)]
    content = Content((*pieces, b"the end"))
    whole = content.read()
    assert len(whole) == content.size_bytes
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    assert content.cut(start, end).read() == whole[start:end]


def test_a_content_of_many_gigabytes_is_cheap_to_describe_and_to_look_into() -> None:
    content = Content((b"head", Noise("7/1", 0, 10_000_000_000)))
    assert content.size_bytes == 10_000_000_004
    assert content.cut(9_999_999_004, 9_999_999_104).read() == Noise("7/1", 9_999_999_000, 100).read()


def writes(offset: int, length: int) -> WriteStep:
    return Write(0, PATH, offset, Content((Noise("w", offset, length),)))


CHANGES = st.one_of(
    st.builds(writes, st.integers(0, 900), st.integers(1, 300)),
    st.builds(lambda length: Truncate(0, PATH, length), st.integers(0, 1000)),
    st.builds(lambda length: Allocate(0, PATH, length, "truncate"), st.integers(0, 1000)),
    st.builds(lambda length: Allocate(0, PATH, length, "keep-size"), st.integers(0, 1000)),
)


@given(st.lists(CHANGES, max_size=12))
def test_the_expected_state_equals_a_real_file_after_any_changes(changes: list[WriteStep]) -> None:
    expected, plain = ExpectedState(), bytearray()
    expected.apply(Create(0, PATH))
    for step in changes:
        expected.apply(step)
        match step:
            case Write():
                plain.extend(bytes(max(0, step.offset - len(plain))))
                plain[step.offset : step.offset + step.content.size_bytes] = step.content.read()
            case Truncate():
                plain = plain[: step.length] + bytes(max(0, step.length - len(plain)))
            case Allocate() if step.way == "truncate":
                plain += bytes(max(0, step.length - len(plain)))
        assert expected.contents()[PATH].read() == plain


def test_the_expected_state_follows_renames_and_removals() -> None:
    expected = ExpectedState()
    for step in (Create(0, "a"), Create(0, "b"), Rename(0, "a", "c"), Remove(0, "b")):
        expected.apply(step)
    assert list(expected.contents()) == ["c"]
