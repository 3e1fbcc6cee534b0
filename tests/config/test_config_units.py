import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.units import (
    format_bandwidth,
    format_duration,
    format_size,
    parse_bandwidth,
    parse_duration,
    parse_size,
)
from agent.model.storage import BandwidthStep


@given(st.integers(0, 366 * 86_400_000))
def test_a_duration_reads_back_as_written(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(0, 2**63 - 1))
def test_a_size_reads_back_as_written(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes


STEP = st.builds(BandwidthStep, st.integers(0, 1439), st.none() | st.integers(1, 2**63 - 1))


@given(st.lists(STEP, unique_by=lambda step: step.minute_of_day))
def test_a_bandwidth_reads_back_as_written(steps: list[BandwidthStep]) -> None:
    day = tuple(sorted(steps, key=lambda step: step.minute_of_day))
    assert parse_bandwidth(format_bandwidth(day)) == day


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("2m", 120),
        ("1h", 3600),
        ("250ms", 0.25),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("1d1ms", 86400.001),
    ],
)
def test_durations_are_written_with_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "1x", "1m1h", "-1s", "1e3", "٣s", "1s ", "1 s"])
def test_a_text_that_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("50GiB", 50 * 2**30),
        ("8MB", 8_000_000),
        ("1.5GB", 1_500_000_000),
        ("1 kB", 1000),
        ("0.5KiB", 512),
    ],
)
def test_sizes_are_decimal_or_binary_as_written(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "GB", "1G", "1gb", "-1", "1.GB", "1,5GB", "٣B"])
def test_a_text_that_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a size"):
        parse_size(text)
