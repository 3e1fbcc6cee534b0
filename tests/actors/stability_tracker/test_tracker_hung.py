"""A file that does not answer when it is examined: the others go first, then it is held."""

from attrs import evolve

from agent.actors.stability_tracker.hung_files import RECHECK_S
from agent.actors.stability_tracker.tracker import StabilityTracker
from agent.messages.stability_tracker import ScanResult
from agent.model.transfer import Status
from tests.actors.stability_tracker.test_tracker import seen, shown
from tests.samples import QUIET, ROUTE, WRITTEN, a_look, a_scan, an_entry


def a_hung_look(at_s: float, *paths: str) -> ScanResult:
    return evolve(a_look(began_s=at_s), hung=paths or ("a.mxf",))


def test_a_file_that_hangs_when_it_is_examined_lets_the_others_go_first_longer_and_longer() -> None:
    tracker = StabilityTracker(evolve(ROUTE, max_attempts=3, retry_delay_s=20.0))
    tracker.scanned(a_scan(an_entry()))
    [change] = shown(tracker.scanned(a_hung_look(10.0)))
    assert (change.status, change.why) == (
        Status.DISCOVERED,
        f"it does not answer: no sign of life for {ROUTE.stall_timeout_s:g} s, 1 times",
    )
    waits_s = [tracker.due_s() - 10.0]
    [change] = shown(tracker.scanned(a_hung_look(100.0)))
    waits_s.append(tracker.due_s() - 100.0)
    [change] = shown(tracker.scanned(a_hung_look(200.0)))
    waits_s.append(tracker.due_s() - 200.0)
    assert waits_s == [20.0, 40.0, RECHECK_S]
    assert change.status is Status.HELD
    assert shown(tracker.scanned(a_scan(an_entry(), began_s=300.0))) == []  # still there, still held


def test_a_file_that_answers_again_is_judged_like_any_other() -> None:
    tracker = StabilityTracker(evolve(ROUTE, max_attempts=1))
    tracker.scanned(a_scan(an_entry()))
    assert [change.status for change in shown(tracker.scanned(a_hung_look(10.0)))] == [Status.HELD]
    written = tracker.scanned(a_look(an_entry(evidence=WRITTEN), began_s=700.0))
    assert [change.status for change in shown(written)] == [Status.DISCOVERED]
    assert len(tracker.scanned(a_look(an_entry(evidence=QUIET), began_s=710.0)).messages) == 1


def test_a_file_that_changed_or_left_begins_anew() -> None:
    tracker = StabilityTracker(evolve(ROUTE, max_attempts=2))
    tracker.scanned(a_scan(an_entry()))
    tracker.scanned(a_hung_look(10.0))
    tracker.scanned(a_scan(an_entry(version=2), began_s=20.0))
    assert [change.status for change in shown(tracker.scanned(a_hung_look(40.0)))] == [Status.DISCOVERED]
    tracker.scanned(a_scan(began_s=50.0))
    assert shown(tracker.scanned(a_hung_look(60.0))) == []
    tracker.scanned(a_scan(an_entry(version=2), began_s=70.0))
    assert [change.status for change in shown(tracker.scanned(a_hung_look(80.0)))] == [Status.DISCOVERED]


def test_a_file_that_is_ready_is_no_longer_examined() -> None:
    tracker = StabilityTracker(ROUTE)
    seen(tracker, an_entry(), a_look(an_entry(evidence=QUIET), began_s=10.0))
    assert shown(tracker.scanned(a_hung_look(20.0))) == []
