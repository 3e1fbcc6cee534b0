from attrs import evolve

from agent.actors.broadcaster.route_status import PENDING, SHOWN_RULES, RouteStatus
from agent.messages.dispatcher import SourceState
from agent.model.errors import OutageReason
from agent.model.source_file import UnreadableFolder
from agent.model.transfer import Status
from agent.model.views import FileView, HeldFiles, Outage
from tests.samples import NAS, ROUTE, a_file, a_view, shown_as, unusable, usable


def row(status: Status, size_bytes: int = 100) -> FileView:
    file = a_file(status.value, size_bytes)
    return a_view(file, status)


def test_a_new_route_status_knows_its_route_and_nothing_else() -> None:
    view = RouteStatus(ROUTE).view(at=1.0)
    assert (view.name, view.source, view.destination) == ("mxf", "/src", NAS)
    assert view.rules.keys() == set(SHOWN_RULES)
    assert view.rules["stable_s"] == 10.0
    assert (view.counts, view.queue_bytes, view.rate_bytes_s) == ({}, 0, 0.0)
    assert (view.checked, view.scanned, view.paused, view.outage) == (False, False, False, None)
    assert (view.source_error, view.source_free_bytes, view.unreadable_folders) == (None, None, ())
    assert (view.destination_free_bytes, view.destination_total_bytes) == (None, None)


def test_files_are_counted_by_status_and_their_bytes_while_they_are_pending() -> None:
    route_status = RouteStatus(ROUTE)
    for status in Status:
        route_status.add(row(status, size_bytes=10))
    assert route_status.view(1.0).counts == {status.value: 1 for status in Status}
    assert route_status.queue_bytes == 10 * len(PENDING)
    for status in Status:
        route_status.remove(row(status, size_bytes=10))
    assert (route_status.view(1.0).counts, route_status.queue_bytes) == ({}, 0)


def test_a_delivered_or_failed_file_is_not_pending() -> None:
    assert set(Status) - PENDING == {Status.COMPLETED, Status.FAILED}


def test_the_storage_is_shown_with_its_outage() -> None:
    route_status = RouteStatus(ROUTE, storage=usable(free_bytes=5))
    assert (route_status.view(1.0).checked, route_status.view(1.0).outage) == (True, None)
    assert (
        route_status.view(1.0).destination_free_bytes,
        route_status.view(1.0).destination_total_bytes,
    ) == (5, 5)
    route_status.storage = unusable()
    assert route_status.view(1.0).outage == Outage(OutageReason.HUNG, 2.0, "no answer")


def test_a_source_counts_as_scanned_once_it_could_be_read() -> None:
    route_status = RouteStatus(ROUTE)
    well = SourceState("mxf", None, 0.0, 1.0, 5)
    route_status.source_changed(evolve(well, error="permission denied", free_bytes=None))
    assert (route_status.scanned, route_status.view(1.0).source_error) == (False, "permission denied")
    route_status.source_changed(well)
    assert (
        route_status.scanned,
        route_status.view(1.0).source_error,
        route_status.view(1.0).source_free_bytes,
    ) == (True, None, 5)
    route_status.source_changed(evolve(well, error="permission denied", free_bytes=None))
    assert route_status.scanned


def test_folders_that_cannot_be_read_are_shown_until_the_next_scan_can() -> None:
    route_status = RouteStatus(ROUTE)
    closed = (UnreadableFolder("day", "Permission denied"),)
    route_status.source_changed(SourceState("mxf", None, 0.0, 1.0, 5, closed))
    assert route_status.view(1.0).unreadable_folders == closed
    route_status.source_changed(SourceState("mxf", None, 1.0, 2.0, 5))
    assert route_status.view(2.0).unreadable_folders == ()


def test_the_most_frequent_reasons_of_held_files_are_shown_as_long_as_a_file_has_them() -> None:
    route_status = RouteStatus(ROUTE)
    held = [shown_as(row(Status.HELD), why=str(number)) for number in range(5)]
    for number, file in enumerate(held):
        for _ in range(number + 1):
            route_status.add(file)
    assert route_status.view(1.0).held == (HeldFiles("4", 5), HeldFiles("3", 4), HeldFiles("2", 3))
    for _ in range(5):
        route_status.remove(held[4])
    assert route_status.view(1.0).held[0] == HeldFiles("3", 4)
    assert "4" not in route_status.held


def test_a_rate_counts_as_changed_until_it_was_shown() -> None:
    route_status = RouteStatus(ROUTE)
    route_status.rate.add(500, at=1.0)
    assert route_status.rate_changed(at=2.0)
    assert route_status.view(at=2.0).rate_bytes_s == 100.0
    assert not route_status.rate_changed(at=3.0)
    assert route_status.rate_changed(at=6.0)
    assert route_status.view(at=6.0).rate_bytes_s == 0.0
