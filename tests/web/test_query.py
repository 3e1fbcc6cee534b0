import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import BadRequest

from agent.model.transfer import Status
from web import query


@given(st.integers(1, query.MAX_LIMIT))
def test_a_limit_is_read(number: int) -> None:
    assert query.limit({"limit": str(number)}, 5) == number


def test_without_parameters_the_defaults_hold() -> None:
    assert query.limit({}, 5) == 5
    assert query.time_at({}, "since") is None
    assert query.status({}) is None
    assert query.row_cursor({}) is None
    assert query.file_cursor({}) is None


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("1767225600", 1_767_225_600.0),
        ("1767225600.25", 1_767_225_600.25),
        ("2026-01-01T00:00:00Z", 1_767_225_600.0),
        ("2026-01-01t00:00:00.250z", 1_767_225_600.25),
        ("2026-01-01T01:00:00+01:00", 1_767_225_600.0),
    ],
)
def test_times_are_rfc_3339_or_seconds(written: str, at: float) -> None:
    assert query.time_at({"since": written}, "since") == at


@pytest.mark.parametrize(
    "written", ["", "yesterday", "2026-01-01", "2026-01-01T00:00:00", "nan", "-1", "1e9", "2026-01-01T25:00Z"]
)
def test_a_time_that_cannot_be_understood_is_refused_by_name(written: str) -> None:
    with pytest.raises(BadRequest, match="until: must be a time"):
        query.time_at({"until": written}, "until")


@pytest.mark.parametrize("written", ["", "0", "1001", "-1", "1.5", "ten", "1_0", "٣", " 3", "9" * 30])
def test_a_limit_out_of_range_is_refused(written: str) -> None:
    with pytest.raises(BadRequest, match="limit: must be a number from 1 to 1000"):
        query.limit({"limit": written}, 5)


def test_a_status_is_one_of_the_contracts_words() -> None:
    assert query.status({"status": "InQueue"}) is Status.IN_QUEUE
    with pytest.raises(BadRequest, match="status: must be one of Discovered"):
        query.status({"status": "inqueue"})


@given(st.floats(allow_nan=False), st.text())
def test_a_file_cursor_is_read_back_exactly(at: float, file_id: str) -> None:
    assert query.file_cursor({"cursor": query.write_file_cursor((at, file_id))}) == (at, file_id)


@pytest.mark.parametrize("written", ["", "x", "12", "x,f1"])
def test_a_cursor_that_was_never_given_out_is_refused(written: str) -> None:
    with pytest.raises(BadRequest, match="cursor: must be the next_cursor"):
        query.file_cursor({"cursor": written})


@pytest.mark.parametrize("written", ["", "x", "-1", "9" * 19])
def test_a_row_cursor_is_a_number_that_the_journal_can_hold(written: str) -> None:
    with pytest.raises(BadRequest, match="cursor: must be the next_cursor"):
        query.row_cursor({"cursor": written})


def test_a_row_cursor_is_read() -> None:
    assert query.row_cursor({"cursor": "7"}) == 7


@pytest.mark.parametrize("args", [{}, {"path": ""}])
def test_a_required_parameter_must_be_given(args: dict[str, str]) -> None:
    with pytest.raises(BadRequest, match="path: must be given"):
        query.required(args, "path")
