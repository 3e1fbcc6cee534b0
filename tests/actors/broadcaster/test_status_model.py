from attrs import evolve

from agent.actors.broadcaster.status_model import RECENT_EVENTS, RECENT_FILES, StatusModel
from agent.messages.broadcaster import (
    ActorCrashed,
    ConfigRejected,
    GenerationStarted,
    JournalReplaced,
    JournalState,
    Recovered,
    RouteAdded,
    RouteRemoved,
    RouteState,
    StatusChanged,
    StatusesChanged,
    Untracked,
)
from agent.messages.dispatcher import SourceState, TransferProgress
from agent.model.source_file import FileVersion
from agent.model.transfer import Status
from agent.model.views import Event, FileStatus, FileView
from tests.samples import HASH, NAS, ROUTE, a_delivery, a_file, usable

MOV = evolve(ROUTE, name="mov", source="/movies", destination="/tape")
FILE = a_file()


def started_model() -> StatusModel:
    view = StatusModel()
    view.apply(GenerationStarted((ROUTE, MOV), 0.0))
    view.flush(0.0)
    return view


def move(view: StatusModel, status: Status, at: float = 1.0, file: FileVersion = FILE) -> FileView:
    delivery = a_delivery() if status is Status.COMPLETED else None
    view.apply(StatusChanged(file.id, status, at, file, delivery=delivery))
    row = view._find(file.id)
    assert row is not None
    return row


def test_a_file_is_shown_from_first_sight() -> None:
    view = started_model()
    view.apply(StatusChanged(FILE.id, Status.DISCOVERED, 5.0, FILE, "must stay unchanged", until_at=15.0))
    assert view.files[FILE.id] == FileView(
        id=FILE.id,
        path="a.mxf",
        signature=FILE.signature,
        discovered_at=1.0,
        current=FileStatus("mxf", "/src", Status.DISCOVERED, "must stay unchanged", until_at=15.0),
    )
    row = view.files[FILE.id]
    assert (row.file_path, row.size_bytes, row.mtime_at) == ("/src/a.mxf", 100, 1.0)
    assert view.routes["mxf"].last_arrival_at == 5.0


def test_what_an_event_does_not_set_stays_as_it_was_except_the_deadline() -> None:
    view = started_model()
    view.apply(
        StatusChanged(FILE.id, Status.IN_QUEUE, 5.0, FILE, "waits", 9.0, attempts=1, error="unreadable")
    )
    view.apply(StatusChanged(FILE.id, Status.VERIFYING, 6.0))
    row = view.files[FILE.id]
    assert (row.current.status, row.current.why, row.current.until_at) == (Status.VERIFYING, "waits", None)
    assert (row.current.attempts, row.current.error) == (1, "unreadable")


def test_an_error_is_shown_until_the_attempts_begin_afresh() -> None:
    view = started_model()
    view.apply(StatusChanged(FILE.id, Status.FAILED, 5.0, FILE, attempts=3, error="unreadable"))
    assert (view.files[FILE.id].current.error, view.files[FILE.id].current.completed_at) == (
        "unreadable",
        5.0,
    )
    view.apply(StatusChanged(FILE.id, Status.IN_QUEUE, 6.0, FILE, attempts=0))
    assert view.files[FILE.id].current.error is None


def test_another_state_of_a_file_begins_afresh() -> None:
    view = started_model()
    move(view, Status.COPYING, at=4.0)
    view.apply(TransferProgress(FILE.id, 50, 20, 4.5))
    view.apply(StatusChanged(FILE.id, Status.FAILED, 5.0, FILE, attempts=3, error="unreadable"))
    row = move(view, Status.GROWING, at=6.0, file=a_file(size_bytes=200, version=2))
    assert (row.size_bytes, row.mtime_at, row.discovered_at) == (200, 2.0, 1.0)
    assert (
        row.current.copied_bytes,
        row.current.verified_bytes,
        row.current.attempts,
        row.current.error,
    ) == (0, 0, 0, None)
    assert (row.current.started_at, row.current.completed_at) == (None, None)


def test_what_was_copied_of_a_growing_file_stays_so_while_it_grows() -> None:
    view = started_model()
    move(view, Status.GROWING)
    view.apply(TransferProgress(FILE.id, 50, 20, 4.5))
    row = move(view, Status.GROWING, at=6.0, file=a_file(size_bytes=200, version=2))
    assert (row.size_bytes, row.current.copied_bytes, row.current.verified_bytes) == (200, 50, 20)
    row = move(view, Status.GROWING, at=7.0, file=a_file(size_bytes=49, version=3))
    assert (row.size_bytes, row.current.copied_bytes) == (49, 0)


def test_a_delivery_is_shown_whole() -> None:
    view = started_model()
    move(view, Status.COPYING, at=4.0)
    row = move(view, Status.COMPLETED, at=5.0)
    assert (row.current.started_at, row.current.completed_at) == (4.0, 5.0)
    assert (row.current.copied_bytes, row.current.verified_bytes, row.current.error) == (100, 100, None)
    assert (row.current.destination_path, row.current.verified_level, row.current.hash) == (
        f"{NAS}/a.mxf",
        "read_back",
        HASH,
    )
    assert FILE.id not in view.files
    assert view.routes["mxf"].counts[Status.COMPLETED] == 1


def test_a_delivery_of_which_nothing_is_known_any_more_is_shown_without() -> None:
    view = started_model()
    view.apply(StatusChanged(FILE.id, Status.COMPLETED, 5.0, FILE))
    assert view.snapshot(5.0).files[0].current.destination_path is None


def test_a_copy_that_begins_again_has_not_ended() -> None:
    view = started_model()
    move(view, Status.FAILED, at=4.0)
    row = move(view, Status.COPYING, at=5.0)
    assert (row.current.started_at, row.current.completed_at) == (5.0, None)


def test_progress_moves_the_figures_and_the_rate() -> None:
    view = started_model()
    move(view, Status.COPYING)
    view.apply(TransferProgress(FILE.id, 50, 20, 2.0))
    view.apply(TransferProgress(FILE.id, 40, 20, 2.5))  # begun again from the last verified block
    view.apply(TransferProgress("unknown", 40, 20, 2.5))
    assert (view.files[FILE.id].current.copied_bytes, view.files[FILE.id].current.verified_bytes) == (40, 20)
    assert view.routes["mxf"].rate.bytes_s(3.0) == 10.0


def test_many_files_move_at_once() -> None:
    view = started_model()
    other = a_file("b.mxf")
    view.apply(
        StatusesChanged(
            (
                StatusChanged(FILE.id, Status.PAUSED, 1.0, FILE),
                StatusChanged(other.id, Status.PAUSED, 1.0, other),
            )
        )
    )
    assert view.routes["mxf"].counts[Status.PAUSED] == 2


def test_an_untracked_file_leaves_the_list_and_later_events_of_it_are_ignored() -> None:
    view = started_model()
    move(view, Status.DISCOVERED)
    view.apply(Untracked((FILE.id, "unknown")))
    view.apply(StatusChanged(FILE.id, Status.VERIFYING, 2.0))
    update = view.flush(2.0)
    assert update is not None
    assert (update.changed, update.removed) == ((), (FILE.id,))
    assert view.routes["mxf"].queue_bytes == 0


def test_the_row_of_a_delivery_stays_when_the_same_path_arrives_again() -> None:
    view = started_model()
    move(view, Status.COMPLETED, at=2.0)
    move(view, Status.DISCOVERED, at=3.0)
    move(view, Status.COMPLETED, at=4.0)
    rows = view.snapshot(5.0).files
    assert [(row.id, row.current.completed_at) for row in rows] == [(f"{FILE.id}.1", 2.0), (FILE.id, 4.0)]


def test_the_row_of_a_kept_file_stays_when_its_source_changes() -> None:
    view = started_model()
    kept = evolve(a_delivery(kept=True), kept_because="read-only")
    view.apply(StatusChanged(FILE.id, Status.COMPLETED, 2.0, FILE, delivery=kept))
    move(view, Status.DISCOVERED, at=3.0, file=a_file(version=2))
    rows = {row.id: row.current for row in view.snapshot(4.0).files}
    assert rows[f"{FILE.id}.1"].kept_because == "read-only"
    assert rows[FILE.id].status is Status.DISCOVERED
    assert rows[FILE.id].kept_because is None
    assert len(rows) == 2


def test_the_last_hundred_deliveries_are_shown() -> None:
    view = started_model()
    for number in range(RECENT_FILES + 1):
        move(view, Status.COMPLETED, at=float(number), file=a_file(f"{number}.mxf"))
    first = a_file("0.mxf")
    assert len(view.snapshot(0.0).files) == RECENT_FILES == 100
    assert view._find(first.id) is None
    update = view.flush(0.0)
    assert update is not None
    assert update.removed == (first.id,)
    assert len(update.changed) == RECENT_FILES


def test_a_delivery_that_leaves_the_list_leaves_the_counts_of_its_route() -> None:
    view = started_model()
    move(view, Status.COMPLETED, at=0.0, file=a_file(route="mov"))
    for number in range(1, RECENT_FILES):
        move(view, Status.COMPLETED, at=float(number), file=a_file(f"{number}.mxf"))
    view.flush(0.0)
    move(view, Status.COMPLETED, at=1000.0)
    update = view.flush(0.0)
    assert update is not None
    assert {route.name: route.counts for route in update.routes} == {"mxf": {"Completed": 100}, "mov": {}}


def test_a_delivery_of_a_route_that_is_no_more_leaves_the_list_as_well() -> None:
    view = started_model()
    gone = a_file("a.mov", route="mov")
    move(view, Status.COMPLETED, at=0.0, file=gone)
    view.apply(GenerationStarted((ROUTE,), 1.0))
    for number in range(RECENT_FILES):
        move(view, Status.COMPLETED, at=2.0, file=a_file(f"{number}.mxf"))
    assert view._find(gone.id) is None
    assert view.routes["mxf"].counts[Status.COMPLETED] == RECENT_FILES


def test_a_delivery_older_than_the_last_hundred_leaves_the_list() -> None:
    view = started_model()
    for number in range(RECENT_FILES):
        move(view, Status.COMPLETED, at=100.0 + number, file=a_file(f"{number}.mxf"))
    move(view, Status.READY)
    view.flush(0.0)
    view.apply(StatusChanged(FILE.id, Status.COMPLETED, 50.0, FILE, "delivered before and kept"))
    update = view.flush(0.0)
    assert update is not None
    assert update.removed == (FILE.id,)


def test_a_state_of_storage_concerns_every_route_to_it() -> None:
    view = started_model()
    view.apply(GenerationStarted((ROUTE, evolve(ROUTE, name="too"), MOV), 0.0))
    view.apply(usable(free_bytes=5))
    assert [status.storage for status in view.routes.values()] == [usable(free_bytes=5)] * 2 + [None]


def test_a_sweep_concerns_every_route_to_its_destination() -> None:
    view = started_model()
    view.apply(GenerationStarted((ROUTE, evolve(ROUTE, name="too"), MOV), 0.0))
    view.flush(0.0)
    view.apply(Recovered(NAS))
    update = view.flush(0.0)
    assert update is not None
    assert {route.name: route.recovered for route in update.routes} == {"mxf": True, "too": True}
    assert not view.routes["mov"].recovered


def test_routes_tell_of_their_source_and_of_pauses() -> None:
    view = started_model()
    view.apply(SourceState("mxf", "permission denied", 0.0, 1.0))
    view.apply(RouteState("mxf", paused=True))
    update = view.flush(1.0)
    assert update is not None
    assert [(route.name, route.source_error, route.paused) for route in update.routes] == [
        ("mxf", "permission denied", True)
    ]


def test_a_new_generation_sees_all_but_the_deliveries_afresh() -> None:
    view = started_model()
    done, gone = a_file("b.mxf"), a_file("a.mov", route="mov")
    move(view, Status.DISCOVERED)
    move(view, Status.COMPLETED, file=done)
    move(view, Status.COMPLETED, file=gone)
    view.flush(1.0)
    view.apply(GenerationStarted((ROUTE,), 2.0))
    update = view.flush(2.0)
    assert update is not None
    assert update.removed == (FILE.id,)
    assert [(route.name, route.counts) for route in update.routes] == [("mxf", {"Completed": 1})]


def test_crashes_and_refused_configurations_become_events() -> None:
    view = started_model()
    view.apply(ActorCrashed("watcher[mxf]", "KeyError: 'x'", 5.0, 2.0))
    view.apply(ConfigRejected(("route.mxf.stable: must be a duration", "no such key"), 6.0))
    sent = (
        Event(5.0, "error", "watcher[mxf] failed and was restarted after 2 s: KeyError: 'x'"),
        Event(
            6.0,
            "warning",
            "new configuration rejected: route.mxf.stable: must be a duration; no such key",
        ),
    )
    assert view.snapshot(7.0).events == ()  # the next update brings them
    update = view.flush(7.0)
    assert update is not None
    assert update.events == view.snapshot(7.0).events == sent
    assert view.flush(7.0) is None


def test_a_journal_that_cannot_be_written_is_shown_until_it_can() -> None:
    view = started_model()
    assert view.snapshot(1.0).journal_error is None
    view.apply(JournalState("disk is full", 2.0))
    assert view.snapshot(2.0).journal_error == "disk is full"
    view.apply(JournalState(None, 3.0))
    view.apply(JournalReplaced("malformed", 4.0))
    view.flush(4.0)
    snapshot = view.snapshot(4.0)
    assert snapshot.journal_error is None
    assert snapshot.events == (
        Event(2.0, "error", "nothing can be written down, copies wait: disk is full"),
        Event(3.0, "warning", "the journal can be written again, copies go on"),
        Event(
            4.0,
            "warning",
            "the journal was damaged and has been set aside, running copies begin again: malformed",
        ),
    )


def test_the_last_events_are_kept() -> None:
    view = started_model()
    for number in range(RECENT_EVENTS + 1):
        view.apply(ConfigRejected((str(number),), float(number)))
    view.flush(0.0)
    assert [event.at for event in view.snapshot(0.0).events] == [float(at) for at in range(1, 21)]


def test_updates_are_numbered_without_a_gap_and_only_when_something_changed() -> None:
    view = started_model()
    seq = view.snapshot(0.0).seq
    assert view.flush(1.0) is None
    for number in (1, 2):
        view.apply(RouteState("mxf", paused=True))
        update = view.flush(1.0)
        assert update is not None
        assert update.seq == seq + number
    assert view.snapshot(1.0).seq == seq + 2


def test_a_rate_falls_even_when_nothing_happens() -> None:
    view = started_model()
    move(view, Status.COPYING)
    view.apply(TransferProgress(FILE.id, 50, 0, 1.0))
    rates = []
    for at in (1.0, 2.0, 6.0):
        update = view.flush(at)
        rates.append(update.routes[0].rate_bytes_s if update else None)
    assert rates == [10.0, None, 0.0]


def test_a_rate_that_only_a_new_client_got_is_in_the_next_update() -> None:
    view = started_model()
    move(view, Status.COPYING)
    view.apply(TransferProgress(FILE.id, 50, 0, 1.0))
    view.flush(1.0)
    assert view.snapshot(6.0).routes[0].rate_bytes_s == 0.0
    update = view.flush(6.0)
    assert update is not None
    assert update.routes[0].rate_bytes_s == 0.0


ADDED = evolve(ROUTE, name="added")


def test_a_route_that_comes_is_shown_with_what_is_known_of_its_destination() -> None:
    view = started_model()
    view.apply(usable())
    view.apply(Recovered(NAS))
    view.flush(1.0)
    view.apply(RouteAdded(ADDED))
    update = view.flush(1.0)
    assert update is not None
    [route] = update.routes
    assert (route.name, route.checked, route.recovered) == ("added", True, True)


def test_a_route_that_goes_takes_its_files_along_but_not_those_that_have_ended() -> None:
    view = started_model()
    view.apply(RouteAdded(ADDED))
    done, waiting = a_file("done.mxf", route="added"), a_file("waiting.mxf", route="added")
    move(view, Status.COMPLETED, file=done)
    move(view, Status.READY, file=waiting)
    move(view, Status.READY)
    view.flush(1.0)
    view.apply(RouteRemoved("added"))
    update = view.flush(1.0)
    assert update is not None
    assert (update.removed, update.routes) == ((waiting.id,), ())
    assert {file.id for file in view.snapshot(1.0).files} == {FILE.id, done.id}
    assert [route.name for route in view.snapshot(1.0).routes] == ["mxf", "mov"]


def test_files_that_wait_alike_share_all_but_their_names_and_states() -> None:
    view = started_model()
    for number in range(100):
        file = a_file(str(number), version=number)
        view.apply(StatusChanged(file.id, Status.DISCOVERED, 1.0, file, "must stay unchanged", until_at=9.0))
        view.apply(StatusChanged(file.id, Status.IN_QUEUE, 2.0, file, f"waits{''}", attempts=0))
        assert view.files[file.id].packed_signature is file.packed_signature
    assert len({id(row.current) for row in view.files.values()}) == 1
