"""Which growing files are announced before they have ended, and what becomes of the announcement."""

import pytest
from attrs import evolve

from agent.actors.stability_tracker.tracked_file import TrackerDecisions
from agent.actors.stability_tracker.tracker import StabilityTracker
from agent.messages.broadcaster import StatusesChanged
from agent.messages.dispatcher import Gone, Growing, Ready
from agent.model.source_file import FinishEvidence, ScannedFile
from agent.model.transfer import Status
from tests.samples import CLOSED, ROUTE, UNFINISHED, WRITTEN, a_look, a_scan, a_state, an_entry, but

GROWING = evolve(ROUTE, growing=True, growing_min_size_bytes=100, stable_s=10.0, scan_s=4.0)


def seen(tracker: StabilityTracker, *sizes: int, began_s: float = 0.0) -> TrackerDecisions:
    """Scans every 4 s, in each of which the file has another size; what follows from the last one."""
    decisions = TrackerDecisions((), ())
    for number, size_bytes in enumerate(sizes):
        decisions = tracker.scanned(
            a_scan(an_entry(size_bytes=size_bytes, version=size_bytes), began_s=began_s + 4.0 * number)
        )
    return decisions


def looked(
    tracker: StabilityTracker, size_bytes: int, began_s: float, evidence: FinishEvidence
) -> TrackerDecisions:
    return tracker.scanned(
        a_look(an_entry(size_bytes=size_bytes, version=size_bytes, evidence=evidence), began_s=began_s)
    )


def test_a_growing_file_is_announced_with_its_second_rise_and_at_each_further_one() -> None:
    tracker = StabilityTracker(GROWING)
    assert seen(tracker, 100, 200).messages == ()
    decisions = seen(tracker, 300, began_s=8.0)
    [growing] = decisions.messages
    assert isinstance(growing, Growing)
    assert growing.file.signature == a_state(300, version=300)
    [again] = seen(tracker, 400, began_s=12.0).messages
    assert isinstance(again, Growing)
    assert again.file.id == growing.file.id


def test_visitors_read_that_it_is_copied_while_it_grows_and_how_fast() -> None:
    tracker = StabilityTracker(GROWING)
    [message] = [fact for fact in seen(tracker, 100, 200, 300).events if isinstance(fact, StatusesChanged)]
    [change] = message.changes
    assert change.status is Status.GROWING
    assert change.why == "copied while it grows, at 25 B/s; must stay unchanged for 10 s"


def test_a_followed_file_that_has_ended_is_ready_like_any_other() -> None:
    tracker = StabilityTracker(GROWING)
    seen(tracker, 100, 200, 300)
    assert looked(tracker, 300, 15.0, CLOSED).messages == ()
    assert looked(tracker, 300, 18.0, WRITTEN).messages == ()
    [ready] = looked(tracker, 300, 19.0, CLOSED).messages
    assert isinstance(ready, Ready)
    assert ready.file.signature == a_state(300, version=300)


def test_a_followed_recording_that_was_never_closed_is_held() -> None:
    tracker = StabilityTracker(GROWING)
    seen(tracker, 100, 200, 300)
    decisions = looked(tracker, 300, 18.0, UNFINISHED)
    assert decisions.messages == ()
    [message] = [fact for fact in decisions.events if isinstance(fact, StatusesChanged)]
    assert message.changes[0].status is Status.HELD


@pytest.mark.parametrize(
    ("entry", "changed"),
    [
        (None, False),
        (an_entry(size_bytes=299, version=7), True),
        (ScannedFile("a.mxf", but(a_state(400), inode=9)), True),
    ],
)
def test_a_followed_file_that_vanishes_shrinks_or_is_replaced_is_gone(
    entry: ScannedFile | None, changed: bool
) -> None:
    tracker = StabilityTracker(GROWING)
    seen(tracker, 100, 200, 300)
    [gone] = tracker.scanned(a_scan(*([entry] if entry else []), began_s=12.0)).messages
    assert isinstance(gone, Gone)
    assert gone.changed is changed


def test_a_rewritten_head_of_a_followed_file_is_nothing_to_announce() -> None:
    tracker = StabilityTracker(GROWING)
    seen(tracker, 100, 200, 300)
    decisions = tracker.scanned(a_scan(an_entry(size_bytes=300, version=9), began_s=12.0))
    assert decisions.messages == ()
    [message] = [fact for fact in decisions.events if isinstance(fact, StatusesChanged)]
    assert message.changes[0].status is Status.GROWING


def test_where_the_route_does_not_follow_nothing_is_announced_before_its_end() -> None:
    tracker = StabilityTracker(evolve(GROWING, growing=False))
    assert seen(tracker, 100, 200, 300, 400).messages == ()
