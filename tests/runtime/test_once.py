from typing import Any

import pytest
from attrs import evolve

from agent.model.errors import OutageReason
from agent.model.transfer import Status
from agent.model.views import FileView, Outage, RouteView, Snapshot
from agent.runtime.once import LATE_S, exit_code
from tests.samples import a_file, a_route_view, a_view, shown_as

ROUTE = a_route_view()
OUTAGE = Outage(OutageReason.FULL, 1.0, "no space")
PATIENCE_S = 2 * (10.0 + 4.0)
SEEN_AT = 1000.0
IN_TIME, TOO_LATE = SEEN_AT + PATIENCE_S - 0.1, SEEN_AT + PATIENCE_S


def row(status: Status, size_bytes: int = 100, route: str = "mxf") -> FileView:
    file = a_file(status.value, size_bytes, route=route, discovered_at=SEEN_AT)
    return a_view(file, status)


def judged(*files: FileView, routes: tuple[RouteView, ...] = (ROUTE,), at: float = IN_TIME) -> int | None:
    return exit_code(Snapshot(1, files, routes, ()), at)


@pytest.mark.parametrize(
    ("statuses", "exit_code"),
    [
        ([], 0),
        ([Status.COMPLETED], 0),
        ([Status.COMPLETED, Status.HELD], 0),
        ([Status.FAILED], 1),
        ([Status.FAILED, Status.READY], None),
        ([Status.COMPLETED, Status.IN_QUEUE], None),
        ([Status.COPYING], None),
        ([Status.VERIFYING], None),
        ([Status.DISCOVERED], None),
        ([Status.GROWING], None),
    ],
)
def test_the_exit_code_tells_how_it_ended(statuses: list[Status], exit_code: int | None) -> None:
    assert judged(*map(row, statuses)) == exit_code


def test_what_waits_for_room_to_write_our_journal_can_be_resumed() -> None:
    snapshot = Snapshot(1, (row(Status.IN_QUEUE),), (ROUTE,), (), "disk is full")
    assert exit_code(snapshot, IN_TIME) == 3


@pytest.mark.parametrize("status", [Status.DISCOVERED, Status.GROWING])
def test_a_file_that_is_still_being_written_is_left_for_the_next_run(status: Status) -> None:
    assert judged(row(status), at=TOO_LATE) == 0
    assert judged(row(Status.READY), at=TOO_LATE) is None


@pytest.mark.parametrize("status", [Status.DISCOVERED, Status.GROWING])
def test_a_file_that_is_about_to_be_judged_is_waited_for_however_late_that_is(status: Status) -> None:
    due_at = TOO_LATE - 1
    assert judged(shown_as(row(status), until_at=due_at), at=TOO_LATE) is None
    assert judged(shown_as(row(status), until_at=due_at), at=due_at + LATE_S) == 0
    assert judged(shown_as(row(status), until_at=TOO_LATE + 1), at=TOO_LATE) == 0


def test_an_empty_file_is_not_waited_for() -> None:
    assert judged(row(Status.DISCOVERED, size_bytes=0)) == 0


def test_a_route_counts_once_both_its_ends_are_known() -> None:
    unscanned, unchecked = evolve(ROUTE, scanned=False), evolve(ROUTE, checked=False)
    assert judged(routes=(ROUTE, unscanned)) is None
    assert judged(routes=(unchecked,)) is None
    assert judged(routes=(evolve(ROUTE, recovered=False),)) is None


def test_what_is_half_published_in_an_outage_is_left_for_the_next_run() -> None:
    assert judged(routes=(evolve(ROUTE, recovered=False, outage=OUTAGE),)) == 0


def test_nothing_is_known_before_the_house_has_been_set_up() -> None:
    assert judged(routes=()) is None


def test_a_source_that_cannot_be_read_leaves_something_for_the_next_run() -> None:
    unread = evolve(ROUTE, scanned=False, source_error="permission denied")
    assert judged(routes=(ROUTE, unread)) == 3
    assert judged(row(Status.FAILED), routes=(ROUTE, unread)) == 1


@pytest.mark.parametrize("why", [{"paused": True}, {"outage": OUTAGE}])
def test_what_an_outage_or_the_operator_holds_is_left_for_the_next_run(why: dict[str, Any]) -> None:
    held = evolve(ROUTE, **why)
    assert judged(row(Status.COMPLETED), row(Status.PAUSED), routes=(held,)) == 3
    assert judged(row(Status.FAILED), row(Status.PAUSED), routes=(held,)) == 1


def test_a_file_that_nothing_holds_any_more_is_about_to_move() -> None:
    assert judged(row(Status.COMPLETED), row(Status.PAUSED)) is None


def test_a_file_of_a_route_that_is_no_more_is_not_waited_for() -> None:
    assert judged(row(Status.READY, route="gone")) == 0
