"""Files that the agent removed itself are neither gone nor new to the tracker."""

from agent.actors.stability_tracker.removed_files import RemovedFiles
from agent.actors.stability_tracker.tracked_file import TrackerDecisions
from agent.actors.stability_tracker.tracker import StabilityTracker
from agent.messages.dispatcher import SourceState
from agent.messages.stability_tracker import FilesRemoved, ScanChunk, ScanResult
from tests.samples import CLOSED, ROUTE, a_file, a_look, a_scan, a_state, an_entry

REMOVED = FilesRemoved((a_file(),), removed_s=20.0)


def reported() -> StabilityTracker:
    """A tracker that has reported `a.mxf` as ready."""
    tracker = StabilityTracker(ROUTE)
    tracker.scanned(a_scan(an_entry()))
    assert tracker.scanned(a_look(an_entry(evidence=CLOSED), began_s=10.0)).messages
    return tracker


def is_silent(decisions: TrackerDecisions) -> bool:
    return not decisions.messages and all(isinstance(each, SourceState) for each in decisions.events)


def paths(decisions: TrackerDecisions) -> list[str]:
    """Of the files whose status changes."""
    return [each.file.path for event in decisions.events for each in getattr(event, "changes", ())]


def an_examination(began_s: float) -> ScanResult:
    """Of `a.mxf`, which is not there."""
    return a_scan(began_s=began_s, looked=("a.mxf",))


def test_a_file_that_we_removed_is_not_gone_for_the_scans_that_follow() -> None:
    tracker = reported()
    tracker.remove(REMOVED)
    assert is_silent(tracker.scanned(an_examination(began_s=20.5)))
    assert is_silent(tracker.scanned(a_scan(began_s=21.0)))


def test_what_began_before_the_removal_and_still_lists_the_file_does_not_make_it_new() -> None:
    tracker = reported()
    tracker.remove(REMOVED)
    assert is_silent(tracker.scanned(ScanChunk((an_entry(),), 19.0, 20.5, 1020.5)))
    assert is_silent(tracker.scanned(a_scan(began_s=19.0, took_s=2.0)))
    assert is_silent(tracker.scanned(a_look(an_entry(evidence=CLOSED), began_s=20.0)))


def test_a_scan_that_saw_the_file_before_the_removal_is_reported_changes_nothing() -> None:
    tracker = reported()
    tracker.scanned(ScanChunk((an_entry(),), 19.0, 20.5, 1020.5))
    tracker.remove(REMOVED)
    assert is_silent(tracker.scanned(a_scan(began_s=19.0, took_s=2.0)))
    assert is_silent(tracker.scanned(a_scan(began_s=21.0)))


def test_another_file_of_that_name_is_new_even_to_a_scan_that_began_before_the_removal() -> None:
    tracker = reported()
    tracker.remove(REMOVED)
    assert paths(tracker.scanned(a_look(an_entry(version=2), began_s=19.0))) == ["a.mxf"]


def test_another_file_that_was_seen_before_the_removal_is_reported_stays_tracked() -> None:
    tracker = reported()
    tracker.scanned(a_look(an_entry(version=2), began_s=19.0))
    tracker.remove(REMOVED)
    ready = tracker.scanned(a_look(an_entry(version=2, evidence=CLOSED), began_s=19.0 + ROUTE.stable_s))
    assert [each.file.signature for each in ready.messages] == [a_state(version=2)]


def test_a_file_that_a_later_scan_lists_is_there_again_whatever_its_signature() -> None:
    tracker = reported()
    tracker.remove(REMOVED)
    assert paths(tracker.scanned(a_scan(an_entry(), began_s=20.5))) == ["a.mxf"]


def test_a_file_that_was_not_reported_is_left_to_the_scans() -> None:
    tracker = StabilityTracker(ROUTE)
    tracker.scanned(a_scan(an_entry()))
    tracker.remove(REMOVED)
    assert not is_silent(tracker.scanned(a_scan(began_s=21.0)))


def test_removals_are_remembered_only_until_a_scan_has_begun_later() -> None:
    removed = RemovedFiles()
    for number in range(10):
        removed.add(f"{number}", a_state(), removed_s=float(number))
    removed.add("0", a_state(version=2), removed_s=10.0)
    removed.forget_before(8.0)
    assert [path for path in map(str, range(10)) if removed.is_removed(path, a_state())] == ["8", "9"]
    assert removed.is_removed("0", a_state(version=2))
    removed.forget_before(11.0)
    assert len(removed) == 0
