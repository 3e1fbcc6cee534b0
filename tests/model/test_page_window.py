"""The files of a limited message: never above the limit, important ones first, some of each group."""

from collections import Counter

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agent.model.page_window import WAITING_STATUSES, exceeds, select
from agent.model.transfer import Status
from agent.model.views import FileView, Update
from tests.samples import a_file, a_view, shown_as

ENDED = (Status.FAILED, Status.COMPLETED)
A_FILE = a_view(a_file(), Status.IN_QUEUE)


def files(status: Status, count: int, *, begun: bool = False) -> list[FileView]:
    """Found, begun and ended in the order of their numbers."""
    at = [float(number) for number in range(count)]
    return [
        shown_as(
            A_FILE,
            id=f"{status.value}-{number:03}",
            status=status,
            discovered_at=at[number],
            started_at=at[number] if begun else None,
            completed_at=at[number] if status in ENDED else None,
        )
        for number in range(count)
    ]


def group_of(file: FileView) -> str:
    """As the page groups them."""
    if file.current.status in ENDED:
        return file.current.status.value
    has_begun = file.current.status is Status.PAUSED and file.current.started_at is not None
    return "active" if has_begun or file.current.status not in WAITING_STATUSES else "waiting"


FILES = st.lists(
    st.builds(
        lambda status, found_at, started_at, ended_at: shown_as(
            A_FILE, status=status, discovered_at=found_at, started_at=started_at, completed_at=ended_at
        ),
        st.sampled_from(Status),
        st.integers(0, 9).map(float),
        st.none() | st.integers(0, 9).map(float),
        st.none() | st.integers(0, 9).map(float),
    ),
    max_size=40,
).map(lambda drawn: [evolve(file, id=f"f{number}") for number, file in enumerate(drawn)])


@given(FILES, st.integers(1, 50))
def test_it_is_full_or_shows_all_and_each_group_has_a_fair_part(known: list[FileView], limit: int) -> None:
    shown = select(known, limit)
    ids = {file.id for file in shown}
    assert len(ids) == len(shown) == min(limit, len(known))
    assert ids <= {file.id for file in known}
    have, all_of = Counter(map(group_of, shown)), Counter(map(group_of, known))
    for group, count in all_of.items():
        assert have[group] >= min(count, limit // 4)


@given(FILES, st.integers(1, 50))
def test_of_those_waiting_the_first_in_the_pages_order_are_shown(known: list[FileView], limit: int) -> None:
    def place(file: FileView) -> tuple[int, float, str]:
        return WAITING_STATUSES.index(file.current.status), file.discovered_at, file.id

    waiting = sorted((file for file in known if group_of(file) == "waiting"), key=place)
    shown = [file for file in select(known, limit) if group_of(file) == "waiting"]
    assert shown == waiting[: len(shown)]


def test_what_is_under_way_failed_and_completed_is_not_crowded_out_by_100_000_waiting() -> None:
    few = [
        *files(Status.COPYING, 3, begun=True),
        *files(Status.VERIFYING, 1, begun=True),
        *files(Status.PAUSED, 2, begun=True),
        *files(Status.FAILED, 4),
        *files(Status.COMPLETED, 5),
        *files(Status.HELD, 2),
    ]
    shown = select([*files(Status.IN_QUEUE, 400), *few, *files(Status.DISCOVERED, 400)], 100)
    assert {file.id for file in few} <= {file.id for file in shown}
    assert sum(file.current.status is Status.IN_QUEUE for file in shown) == 100 - len(few)


def test_of_many_that_have_ended_the_latest_are_shown() -> None:
    known = [*files(Status.FAILED, 50), *files(Status.COMPLETED, 50), *files(Status.IN_QUEUE, 50)]
    ended = [file for file in select(known, 30) if file.current.status in ENDED]
    assert Counter(file.current.status for file in ended) == {Status.FAILED: 10, Status.COMPLETED: 10}
    assert {file.current.completed_at for file in ended} == {float(at) for at in range(40, 50)}


@pytest.mark.parametrize(
    ("changed", "removed", "is_much"), [(5, 0, False), (6, 0, True), (5, 50, False), (0, 51, True)]
)
def test_an_update_about_more_than_fits_overflows(changed: int, removed: int, *, is_much: bool) -> None:
    update = Update(2, tuple(files(Status.READY, changed)), ("gone",) * removed, (), ())
    assert exceeds(update, 5) is is_much
