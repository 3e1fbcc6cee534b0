import math

import pytest
from attrs import evolve

from agent.actors.stability_tracker.hold import UNSEEN_WRITERS, finish_rule
from agent.actors.stability_tracker.tracked_file import HeldFile, TrackerDecisions
from agent.actors.stability_tracker.tracker import (
    MAX_DUE_FILES,
    MAX_EVENT_FILES,
    SPARE_RECHECKS,
    StabilityTracker,
)
from agent.messages.broadcaster import StatusChanged, StatusesChanged, Untracked
from agent.messages.dispatcher import Gone, Ready, SourceState
from agent.messages.stability_tracker import FilesUnfinished, ScanChunk, ScanResult
from agent.model.source_file import ContainerState, FinishEvidence, ScannedFile, UnreadableFolder, WriterState
from agent.model.transfer import SMALL_BYTES, Status
from tests.samples import (
    CLOSED,
    LARGE_BYTES,
    QUIET,
    ROUTE,
    UNFINISHED,
    WRITTEN,
    a_file,
    a_look,
    a_scan,
    a_state,
    an_entry,
    but,
)

QUICK = evolve(ROUTE, stable_closed_s=3.0)
DELIVER = evolve(ROUTE, unfinished="deliver")

CLOSED_FOLDER = UnreadableFolder("day", "Permission denied")


def shown(decisions: TrackerDecisions) -> list[StatusChanged]:
    return [
        change for fact in decisions.events if isinstance(fact, StatusesChanged) for change in fact.changes
    ]


def to_examine(tracker: StabilityTracker, now_s: float) -> tuple[str, ...]:
    """The files that are to be examined then; none is reported without that."""
    due = tracker.due_files(now_s, 1000.0 + now_s)
    assert due.ready == ()
    return due.paths


def reported_unexamined(tracker: StabilityTracker, now_s: float) -> tuple[Ready, ...]:
    due = tracker.due_files(now_s, 1000.0 + now_s)
    assert due.paths == ()
    return due.ready


def seen(tracker: StabilityTracker, entry: ScannedFile, *looks: ScanResult) -> TrackerDecisions:
    """What follows from the last of these, after `entry` was first seen at 0 s."""
    decisions = tracker.scanned(a_scan(entry))
    for look in looks:
        decisions = tracker.scanned(look)
    return decisions


def test_a_new_file_is_watched_until_it_has_been_still() -> None:
    tracker = StabilityTracker(ROUTE)
    decisions = tracker.scanned(a_scan(an_entry(size_bytes=LARGE_BYTES), began_s=1.0, took_s=2.0))
    file = a_file(size_bytes=LARGE_BYTES, discovered_at=1003.0)
    why = "must stay unchanged for 10 s"
    assert shown(decisions) == [StatusChanged(file.id, Status.DISCOVERED, 1003.0, file, why, until_at=1013.0)]
    assert decisions.messages == ()
    assert tracker.due_s() == 13.0  # counted from the receipt of the scan
    assert to_examine(tracker, 12.9) == ()
    assert to_examine(tracker, 13.0) == ("a.mxf",)
    assert tracker.due_s() == 17.0  # asked again after `scan`


def test_a_file_that_stood_still_is_ready() -> None:
    decisions = seen(StabilityTracker(ROUTE), an_entry(), a_look(an_entry(evidence=QUIET), began_s=10.0))
    file = a_file(discovered_at=1000.0)
    assert decisions.messages == (Ready(file, 1010.0),)
    assert shown(decisions) == []  # the dispatcher shows it


def test_a_look_that_began_too_early_proves_nothing_whenever_it_arrives() -> None:
    tracker = StabilityTracker(ROUTE)
    decisions = seen(tracker, an_entry(), a_look(an_entry(evidence=QUIET), began_s=9.9, took_s=60.0))
    assert decisions.messages == ()
    assert tracker.due_s() == 10.0


def test_a_closed_container_without_a_writer_needs_the_shorter_wait_only() -> None:
    tracker = StabilityTracker(QUICK)
    assert seen(tracker, an_entry(), a_look(an_entry(evidence=QUIET), began_s=3.0)).messages == ()
    assert tracker.due_s() == 10.0
    written = FinishEvidence(WriterState.UNKNOWN, ContainerState.CLOSED)
    assert tracker.scanned(a_look(an_entry(evidence=written), began_s=4.0)).messages == ()
    assert len(tracker.scanned(a_look(an_entry(evidence=CLOSED), began_s=5.0)).messages) == 1


def test_the_shorter_wait_is_never_the_longer_one() -> None:
    tracker = StabilityTracker(evolve(ROUTE, stable_closed_s=99.0))
    assert len(seen(tracker, an_entry(), a_look(an_entry(evidence=CLOSED), began_s=10.0)).messages) == 1


def test_a_file_held_open_for_writing_is_looked_at_again() -> None:
    tracker = StabilityTracker(ROUTE)
    decisions = seen(tracker, an_entry(), a_look(an_entry(evidence=WRITTEN), began_s=10.0))
    assert decisions.messages == ()
    assert [change.why for change in shown(decisions)] == ["a process holds it open for writing"]
    assert tracker.due_s() == 14.0


def test_an_unfinished_container_is_held_until_the_file_changes() -> None:
    tracker = StabilityTracker(ROUTE)
    decisions = seen(tracker, an_entry(), a_look(an_entry(evidence=UNFINISHED), began_s=10.0))
    assert decisions.messages == ()
    assert [(change.status, change.why, change.until_at) for change in shown(decisions)] == [
        (
            Status.HELD,
            "unfinished recording, no writer left: the header partition is open",
            None,
        )
    ]
    assert tracker.due_s() == math.inf
    assert shown(tracker.scanned(a_scan(an_entry(), began_s=20.0))) == []  # still held
    grown = an_entry(size_bytes=200, version=2)
    assert [change.status for change in shown(tracker.scanned(a_scan(grown, began_s=30.0)))] == [
        Status.GROWING
    ]
    assert tracker.due_s() == 40.0


def test_a_container_that_was_cut_off_is_held_as_well() -> None:
    truncated = FinishEvidence(WriterState.NONE, ContainerState.TRUNCATED)
    decisions = seen(StabilityTracker(ROUTE), an_entry(), a_look(an_entry(evidence=truncated), began_s=10.0))
    assert [change.status for change in shown(decisions)] == [Status.HELD]


def test_a_writer_who_comes_back_ends_the_hold() -> None:
    tracker = StabilityTracker(ROUTE)
    seen(tracker, an_entry(), a_look(an_entry(evidence=UNFINISHED), began_s=10.0))
    decisions = tracker.scanned(a_look(an_entry(evidence=WRITTEN), began_s=11.0))
    assert [change.status for change in shown(decisions)] == [Status.DISCOVERED]
    assert tracker.due_s() == 15.0


def test_an_unfinished_container_is_delivered_where_the_route_says_so() -> None:
    decisions = seen(
        StabilityTracker(DELIVER), an_entry(), a_look(an_entry(evidence=UNFINISHED), began_s=10.0)
    )
    assert len(decisions.messages) == 1


def test_an_empty_file_is_never_ready_and_never_looked_at() -> None:
    tracker = StabilityTracker(ROUTE)
    decisions = tracker.scanned(a_scan(an_entry(size_bytes=0)))
    assert [(change.why, change.until_at) for change in shown(decisions)] == [
        ("empty: a file of 0 bytes is never ready", None)
    ]
    assert tracker.due_s() == math.inf
    assert tracker.scanned(a_look(an_entry(size_bytes=0, evidence=CLOSED), began_s=99.0)).messages == ()


def test_a_change_after_the_announcement_takes_it_back_and_starts_afresh() -> None:
    tracker = StabilityTracker(ROUTE)
    seen(tracker, an_entry(), a_look(an_entry(evidence=QUIET), began_s=10.0))
    smaller = an_entry(size_bytes=50, version=2)
    decisions = tracker.scanned(a_scan(smaller, began_s=20.0))
    assert decisions.messages == (Gone(a_file(discovered_at=1000.0), 1020.0, changed=True),)
    assert [change.status for change in shown(decisions)] == [Status.DISCOVERED]  # it did not grow
    assert tracker.due_s() == 30.0


def test_a_changed_file_has_to_be_still_from_the_receipt_of_the_scan_that_saw_the_change() -> None:
    tracker = StabilityTracker(ROUTE)
    changed = an_entry(size_bytes=200, version=2)
    tracker.scanned(a_scan(an_entry()))
    tracker.scanned(a_scan(changed, began_s=20.0, took_s=3.0))
    assert tracker.due_s() == 33.0
    look = evolve(changed, evidence=QUIET)
    assert tracker.scanned(a_look(look, began_s=32.9)).messages == ()
    assert len(tracker.scanned(a_look(look, began_s=33.0)).messages) == 1


def test_what_is_ready_is_announced_and_shown_once() -> None:
    tracker = StabilityTracker(ROUTE)
    seen(tracker, an_entry(), a_look(an_entry(evidence=QUIET), began_s=10.0))
    again = tracker.scanned(a_look(an_entry(evidence=QUIET), began_s=20.0))
    assert (again.events, again.messages) == ((), ())


def test_nothing_is_shown_twice() -> None:
    tracker = StabilityTracker(ROUTE)
    look = a_look(an_entry(evidence=WRITTEN), began_s=2.0)
    assert len(shown(seen(tracker, an_entry(), look))) == 1
    assert shown(tracker.scanned(evolve(look, at=1050.0))) == []


def test_a_file_that_vanished_is_forgotten_by_whoever_knows_of_it() -> None:
    tracker = StabilityTracker(ROUTE)
    young, announced = an_entry("young.mxf"), an_entry(evidence=QUIET)
    tracker.scanned(a_scan(young, announced))
    tracker.scanned(a_look(announced, began_s=10.0))
    decisions = tracker.scanned(a_scan(began_s=20.0))
    assert decisions.messages == (Gone(a_file(discovered_at=1000.0), 1020.0, changed=False),)
    assert Untracked((a_file("young.mxf").id,)) in decisions.events


def test_only_what_was_looked_at_can_have_vanished() -> None:
    tracker = StabilityTracker(ROUTE)
    tracker.scanned(a_scan(an_entry("a.mxf"), an_entry("b.mxf")))
    decisions = tracker.scanned(a_scan(began_s=1.0, looked=("a.mxf", "unknown.mxf")))
    assert decisions.events == (Untracked((a_file("a.mxf").id,)),)


def test_what_lies_in_an_unseen_folder_has_not_vanished() -> None:
    tracker = StabilityTracker(ROUTE)
    tracker.scanned(a_scan(an_entry("day/1/a.mxf"), an_entry("day1.mxf")))
    decisions = tracker.scanned(a_scan(began_s=1.0, unseen=(CLOSED_FOLDER,)))
    assert Untracked((a_file("day1.mxf").id,)) in decisions.events
    assert tracker.due_s() == 10.0


def test_a_file_that_could_not_be_asked_for_has_not_vanished_either() -> None:
    tracker = StabilityTracker(ROUTE)
    tracker.scanned(a_scan(an_entry("day/a.mxf"), an_entry("b.mxf")))
    unseen = (UnreadableFolder("day/a.mxf", "Permission denied"),)
    decisions = tracker.scanned(a_scan(began_s=1.0, looked=("day/a.mxf", "b.mxf"), unseen=unseen))
    assert decisions.events == (Untracked((a_file("b.mxf").id,)),)


def test_folders_that_cannot_be_listed_are_shown() -> None:
    tracker = StabilityTracker(ROUTE)
    state = SourceState("mxf", None, 1.0, 1001.0, 5, (CLOSED_FOLDER,))
    assert tracker.scanned(a_scan(began_s=1.0, unseen=(CLOSED_FOLDER,))).events == (state,)


def test_a_whole_scan_says_that_the_source_can_be_read() -> None:
    tracker = StabilityTracker(ROUTE)
    assert tracker.scanned(a_scan(began_s=1.0)).events == (SourceState("mxf", None, 1.0, 1001.0, 5),)
    assert tracker.scanned(a_scan(began_s=1.0, looked=())).events == ()
    assert tracker.due_s() == math.inf


def test_a_small_file_that_stood_still_is_ready_and_its_copy_examines_it() -> None:
    tracker = StabilityTracker(ROUTE)
    tracker.scanned(a_scan(an_entry()))
    assert reported_unexamined(tracker, 9.9) == ()
    [ready] = reported_unexamined(tracker, 10.0)
    assert ready == Ready(a_file(discovered_at=1000.0), 1010.0)
    assert ready.file.finish_rule == finish_rule(ROUTE, was_closed=False, must_be_closed=False)
    assert tracker.due_s() == math.inf
    assert tracker.scanned(a_scan(began_s=20.0)).messages == (Gone(ready.file, 1020.0, changed=False),)


@pytest.mark.parametrize(("size_bytes", "is_small"), [(SMALL_BYTES, True), (SMALL_BYTES + 1, False)])
def test_only_a_file_that_is_read_whole_is_examined_by_its_copy(size_bytes: int, *, is_small: bool) -> None:
    tracker = StabilityTracker(ROUTE)
    tracker.scanned(a_scan(an_entry(size_bytes=size_bytes)))
    due = tracker.due_files(10.0, 1010.0)
    assert (len(due.ready), len(due.paths)) == (int(is_small), int(not is_small))


def test_before_the_longer_wait_only_a_closed_file_without_a_writer_may_pass() -> None:
    tracker = StabilityTracker(QUICK)
    tracker.scanned(a_scan(an_entry()))
    [ready] = reported_unexamined(tracker, 3.0)
    assert ready.file.finish_rule is not None
    assert ready.file.finish_rule.allows(CLOSED)
    assert not ready.file.finish_rule.allows(QUIET)
    refused = tracker.unfinished(FilesUnfinished(((ready.file, QUIET),), 4.0, 1004.0))
    assert [(change.status, change.until_at) for change in shown(refused)] == [(Status.DISCOVERED, 1010.0)]
    assert refused.messages == ()
    assert to_examine(tracker, 10.0) == ("a.mxf",)  # from now on it is examined before it is reported


def test_a_copy_that_was_late_may_have_seen_it_stand_still_long_enough() -> None:
    tracker = StabilityTracker(QUICK)
    tracker.scanned(a_scan(an_entry()))
    [ready] = reported_unexamined(tracker, 3.0)
    decisions = tracker.unfinished(FilesUnfinished(((ready.file, QUIET),), 10.0, 1010.0))
    assert [message.file.finish_rule for message in decisions.messages] == [None]


def test_a_small_file_that_changed_after_it_was_reported_is_examined_at_once() -> None:
    tracker = StabilityTracker(ROUTE)
    tracker.scanned(a_scan(an_entry()))
    [ready] = reported_unexamined(tracker, 10.0)
    tracker.unfinished(FilesUnfinished(((ready.file, None),), 12.0, 1012.0))
    assert tracker.due_s() == 12.0
    assert to_examine(tracker, 12.0) == ("a.mxf",)


def test_a_small_file_whose_writers_its_copy_cannot_see_is_held_with_the_reason() -> None:
    tracker = StabilityTracker(ROUTE)
    tracker.scanned(a_scan(an_entry()))
    [ready] = reported_unexamined(tracker, 10.0)
    decisions = tracker.unfinished(FilesUnfinished(((ready.file, HIDDEN),), 10.5, 1010.5))
    why = UNSEEN_WRITERS[WriterState.NOT_PERMITTED]
    assert [(change.status, change.why) for change in shown(decisions)] == [(Status.HELD, why)]
    assert decisions.first_unseen == (HeldFile("a.mxf", why),)
    assert reported_unexamined(tracker, 1000.0) == ()


def test_what_a_copy_found_of_an_earlier_state_of_a_file_changes_nothing() -> None:
    tracker = StabilityTracker(ROUTE)
    tracker.scanned(a_scan(an_entry()))
    [ready] = reported_unexamined(tracker, 10.0)
    tracker.scanned(a_scan(an_entry(version=2), began_s=11.0))
    assert tracker.unfinished(FilesUnfinished(((ready.file, WRITTEN),), 10.0, 1012.0)).events == ()
    assert tracker.due_s() == 21.0


def test_looks_are_asked_for_in_the_order_in_which_they_fall_due() -> None:
    tracker = StabilityTracker(ROUTE)
    for at_s, path in ((2.0, "c"), (1.0, "a"), (3.0, "b")):  # observed out of order, as hints may be
        tracker.scanned(a_look(an_entry(path, LARGE_BYTES), began_s=at_s))
    assert tracker.due_s() == 11.0
    assert sorted(to_examine(tracker, 12.0)) == ["a", "c"]
    assert tracker.due_s() == 13.0
    assert to_examine(tracker, 13.0) == ("b",)


def test_a_file_that_changes_for_ever_leaves_one_wish_and_no_trail_of_them() -> None:
    tracker = StabilityTracker(ROUTE)
    for size_bytes in range(1, 5000):
        tracker.scanned(a_look(an_entry(size_bytes=LARGE_BYTES + size_bytes), began_s=float(size_bytes)))
        tracker.scanned(a_look(an_entry("new", LARGE_BYTES), began_s=float(size_bytes)))
    assert len(tracker._rechecks) <= 2 * len(tracker._tracked) + SPARE_RECHECKS
    assert to_examine(tracker, 10_000.0) == ("new", "a.mxf")
    assert to_examine(tracker, 10_000.0) == ()


def test_many_files_are_asked_for_some_at_a_time_and_none_is_left_out() -> None:
    tracker = StabilityTracker(ROUTE)
    names = [str(number) for number in range(2 * MAX_DUE_FILES + 1)]
    tracker.scanned(a_scan(*(an_entry(name, LARGE_BYTES) for name in names)))
    looks = [to_examine(tracker, 10.0) for _ in range(4)]
    assert [len(look) for look in looks] == [MAX_DUE_FILES, MAX_DUE_FILES, 1, 0]
    assert sorted(path for look in looks for path in look) == sorted(names)


def test_a_file_that_has_gone_is_not_asked_for_any_more() -> None:
    tracker = StabilityTracker(ROUTE)
    tracker.scanned(a_scan(an_entry(size_bytes=LARGE_BYTES), an_entry("b", LARGE_BYTES)))
    tracker.scanned(a_scan(an_entry("b", LARGE_BYTES)))
    assert to_examine(tracker, 1000.0) == ("b",)


def test_many_files_are_told_of_some_at_a_time_and_none_is_left_out() -> None:
    tracker = StabilityTracker(ROUTE)
    count = 2 * MAX_EVENT_FILES + 1
    decisions = tracker.scanned(a_scan(*(an_entry(path=str(number)) for number in range(count))))
    told = [len(fact.changes) for fact in decisions.events if isinstance(fact, StatusesChanged)]
    assert told == [MAX_EVENT_FILES, MAX_EVENT_FILES, 1]
    assert [change.file.path for change in shown(decisions) if change.file] == [str(n) for n in range(count)]


def a_part(*entries: ScannedFile, began_s: float = 0.0) -> ScanChunk:
    return ScanChunk(entries, began_s, began_s, 1000.0 + began_s)


def test_a_scan_that_comes_in_parts_is_one_scan() -> None:
    tracker = StabilityTracker(ROUTE)
    first = tracker.scanned(a_part(an_entry(path="a"), an_entry(path="b")))
    assert [(change.file.path, change.status) for change in shown(first) if change.file] == [
        ("a", Status.DISCOVERED),
        ("b", Status.DISCOVERED),
    ]
    last = tracker.scanned(a_scan(an_entry(path="c")))
    assert [type(fact) for fact in (*first.events, *last.events)] == [
        StatusesChanged,
        StatusesChanged,
        SourceState,
    ]
    assert tracker.scanned(a_part(an_entry(path="a"), began_s=4.0)).events == ()
    forgotten = tracker.scanned(a_scan(an_entry(path="b"), began_s=4.0)).events[0]
    assert forgotten == Untracked((a_file("c").id,))


def test_what_only_a_scan_that_failed_has_seen_is_gone_if_the_next_one_does_not_see_it() -> None:
    tracker = StabilityTracker(ROUTE)
    tracker.scanned(a_scan(an_entry(path="a"), an_entry(path="b")))
    tracker.scanned(a_part(an_entry(path="a"), began_s=4.0))  # and then the source could not be read any more
    decisions = tracker.scanned(a_scan(an_entry(path="b"), began_s=8.0))
    assert decisions.events[0] == Untracked((a_file("a").id,))


def test_what_a_look_has_seen_between_two_scans_is_gone_if_the_next_one_does_not_see_it() -> None:
    tracker = StabilityTracker(ROUTE)
    tracker.scanned(a_scan(an_entry(path="a")))
    tracker.scanned(a_look(an_entry(path="a"), an_entry(path="b"), began_s=4.0))
    gone = tracker.scanned(a_scan(began_s=8.0)).events[0]
    assert gone == Untracked((a_file("a").id, a_file("b").id))


def test_files_that_stand_alike_share_what_is_known_of_them() -> None:
    tracker = StabilityTracker(ROUTE)
    names = [str(number) for number in range(100)]
    decisions = tracker.scanned(a_scan(*(an_entry(path=name) for name in names)))
    assert len({id(item.track) for item in tracker._tracked.values()}) == 1
    assert len({id(change.until_at) for change in shown(decisions)}) == 1
    tracker.scanned(a_look(*(an_entry(path=name, evidence=CLOSED) for name in names), began_s=10.0))
    assert len({id(item.track) for item in tracker._tracked.values()}) == 1


# Writers that cannot be seen, and those that were seen to close a file

HIDDEN = FinishEvidence(WriterState.NOT_PERMITTED, ContainerState.UNKNOWN)


def closed(tracker: StabilityTracker, *files: ScannedFile) -> None:
    """They were closed before an examination of other files began."""
    tracker.scanned(evolve(a_scan(looked=()), closed=files))


def test_a_file_whose_writers_cannot_be_seen_is_held_and_reported_once() -> None:
    tracker = StabilityTracker(ROUTE)
    tracker.scanned(a_scan(an_entry(), an_entry("b.mxf")))
    decisions = tracker.scanned(a_look(an_entry(evidence=HIDDEN), began_s=10.0))
    assert decisions.messages == ()
    why = UNSEEN_WRITERS[WriterState.NOT_PERMITTED]
    assert [(change.status, change.why) for change in shown(decisions)] == [(Status.HELD, why)]
    assert decisions.first_unseen == (HeldFile("a.mxf", why),)
    again = tracker.scanned(a_look(an_entry("b.mxf", evidence=HIDDEN), began_s=20.0))
    assert ([change.status for change in shown(again)], again.first_unseen) == ([Status.HELD], ())


def test_where_the_route_says_so_it_is_ready() -> None:
    tracker = StabilityTracker(evolve(ROUTE, unseen_writers="deliver"))
    decisions = seen(tracker, an_entry(), a_look(an_entry(evidence=HIDDEN), began_s=10.0))
    assert (len(decisions.messages), decisions.first_unseen) == (1, ())


@pytest.mark.parametrize("is_known", [True, False])
def test_a_close_makes_it_ready_whether_the_file_was_scanned_before_or_after(is_known: bool) -> None:
    tracker = StabilityTracker(ROUTE)
    if is_known:
        tracker.scanned(a_scan(an_entry()))
    closed(tracker, an_entry())
    tracker.scanned(a_scan(an_entry()))
    assert len(tracker.scanned(a_look(an_entry(evidence=HIDDEN), began_s=10.0)).messages) == 1


def test_a_close_that_the_examination_itself_comes_after_counts() -> None:
    tracker = StabilityTracker(ROUTE)
    tracker.scanned(a_scan(an_entry()))
    closed(tracker, an_entry())
    assert len(tracker.scanned(a_look(an_entry(evidence=HIDDEN), began_s=10.0)).messages) == 1


def test_a_close_before_the_last_change_proves_nothing() -> None:
    tracker = StabilityTracker(ROUTE)
    closed(tracker, an_entry())
    tracker.scanned(a_scan(an_entry()))
    tracker.scanned(a_scan(an_entry(version=2), began_s=5.0))
    decisions = tracker.scanned(a_look(an_entry(version=2, evidence=HIDDEN), began_s=15.0))
    assert [change.status for change in shown(decisions)] == [Status.HELD]


def test_what_changes_between_a_close_and_the_scan_after_it_was_written_later() -> None:
    tracker = StabilityTracker(ROUTE)
    closed(tracker, an_entry())
    tracker.scanned(a_scan(an_entry(version=2)))
    assert tracker.scanned(a_look(an_entry(version=2, evidence=HIDDEN), began_s=10.0)).messages == ()


def test_new_access_rights_or_a_rename_take_nothing_from_a_close() -> None:
    tracker = StabilityTracker(ROUTE)
    closed(tracker, an_entry())
    tracker.scanned(a_scan(an_entry()))
    renamed = but(a_state(), ctime_ns=7)
    tracker.scanned(a_scan(ScannedFile("a.mxf", renamed), began_s=5.0))
    assert len(tracker.scanned(a_look(ScannedFile("a.mxf", renamed, HIDDEN), began_s=15.0)).messages) == 1


def test_a_held_file_is_examined_again_as_soon_as_its_close_is_seen() -> None:
    tracker = StabilityTracker(ROUTE)
    seen(tracker, an_entry(), a_look(an_entry(evidence=HIDDEN), began_s=10.0))
    assert tracker.due_s() == math.inf
    closed(tracker, an_entry())
    assert shown(tracker.scanned(a_look(an_entry(), began_s=50.0))) == []  # held until that has ended
    assert to_examine(tracker, 50.0) == ("a.mxf",)
    assert len(tracker.scanned(a_look(an_entry(evidence=HIDDEN), began_s=50.0)).messages) == 1


def test_a_close_tells_nothing_about_a_writer_that_is_seen() -> None:
    tracker = StabilityTracker(ROUTE)
    closed(tracker, an_entry())
    tracker.scanned(a_scan(an_entry()))
    assert tracker.scanned(a_look(an_entry(evidence=WRITTEN), began_s=10.0)).messages == ()


def test_closes_of_files_that_the_route_does_not_list_are_forgotten() -> None:
    tracker = StabilityTracker(ROUTE)
    closed(tracker, *(an_entry(path) for path in ("a.tmp", "b.tmp", "day/c.mxf")))
    tracker.scanned(a_scan(looked=("a.tmp",)))
    assert sorted(tracker._closed) == ["b.tmp", "day/c.mxf"]
    tracker.scanned(a_scan(unseen=(CLOSED_FOLDER,)))
    assert sorted(tracker._closed) == ["day/c.mxf"]  # it may be there
    tracker.scanned(a_scan())
    assert tracker._closed == {}


def test_a_network_files_writers_are_not_waited_for() -> None:
    remote = FinishEvidence(WriterState.UNKNOWN, ContainerState.UNKNOWN)
    decisions = seen(StabilityTracker(ROUTE), an_entry(), a_look(an_entry(evidence=remote), began_s=10.0))
    assert len(decisions.messages) == 1
