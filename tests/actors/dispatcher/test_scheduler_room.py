"""A destination that takes less than its file system says, as under a quota: what waits, what passes."""

from agent.actors.dispatcher.decisions import SchedulerDecisions
from agent.actors.dispatcher.room import FIRST_TRUST_S, LONGEST_TRUST_S, Room
from agent.actors.dispatcher.scheduler import Scheduler
from agent.actors.dispatcher.transitions import JobState
from agent.messages.copier_pool import AbortTransfer, Copy
from agent.messages.dispatcher import Aborted
from agent.model.errors import Fault, OutageReason
from agent.model.source_file import FileVersion
from agent.model.transfer import Status
from tests.actors.dispatcher.schedulers import (
    changes_of,
    commands,
    copied,
    decide,
    done,
    interrupted,
    opened,
    progress,
    published_states,
)
from tests.samples import NAS, a_file, ready, usable

QUOTA = Fault.outage(OutageReason.FULL, "destination: Disk quota exceeded")
LARGE, LARGER = a_file("large.mxf", 100), a_file("larger.mxf", 200)
SMALL = a_file("small.mxf", 20)


def refuse(scheduler: Scheduler, file: FileVersion, at_s: float, written: int, verified: int) -> None:
    """The copy runs out of space, a good probe claims that there is plenty, and the delay of 5 s passes."""
    assert scheduler.jobs[file.id].state is JobState.COPYING
    decide(scheduler, progress(file, written), interrupted(QUOTA, file, verified), now_s=at_s)
    decide(scheduler, usable(began_s=at_s, free_bytes=10_000), now_s=at_s + 0.1)
    decide(scheduler, None, now_s=at_s + 5.1)


def short_of_room() -> Scheduler:
    """Of the large file 40 bytes are verified, and 30 more can be written."""
    scheduler = opened(LARGE, free_bytes=10_000)
    refuse(scheduler, LARGE, 10.0, written=70, verified=40)
    refuse(scheduler, LARGE, 20.0, written=70, verified=40)
    return scheduler


def test_a_file_that_finds_less_room_than_is_claimed_waits_and_what_fits_passes() -> None:
    scheduler = short_of_room()
    job = scheduler.jobs[LARGE.id]
    assert (job.state, job.attempts, job.missing_bytes) == (JobState.QUEUED, 0, 60)
    state = scheduler.destinations[NAS].state_to_publish()
    assert state is None  # it is published already
    decisions = decide(scheduler, ready(SMALL), now_s=30.0)
    assert copied(decisions) == [SMALL]
    [state] = published_states(decide(scheduler, done(SMALL), now_s=31.0))
    assert state.reason is OutageReason.FULL
    assert state.detail == "60 bytes are still to be written, and no more than 10 can be, as under a quota"
    assert scheduler.jobs[LARGE.id].arrived_bytes == 40


def test_the_page_shows_full_and_it_is_tried_again_after_a_while_for_which_no_click_is_needed() -> None:
    scheduler = opened(LARGE, free_bytes=10_000)
    refuse(scheduler, LARGE, 10.0, written=70, verified=40)
    decide(scheduler, interrupted(QUOTA, LARGE, 40), now_s=20.0)
    decide(scheduler, usable(began_s=20.0, free_bytes=10_000), now_s=20.0)
    decisions = decide(scheduler, None, now_s=25.0)
    assert changes_of(decisions, LARGE)[-1].status is Status.PAUSED
    assert [state.reason for state in published_states(decisions)] == [OutageReason.FULL]
    assert copied(decide(scheduler, usable(began_s=79.0, free_bytes=10_000), now_s=79.0)) == []
    decisions = decide(scheduler, usable(began_s=80.0, free_bytes=10_000), now_s=80.0)
    assert copied(decisions) == [LARGE]
    assert [state.reason for state in published_states(decisions)] == [None]


def test_a_partial_gives_way_when_what_is_smaller_does_not_fit_beside_it() -> None:
    scheduler = short_of_room()
    other = a_file("other.mxf", 50)
    decisions = decide(scheduler, ready(other), now_s=30.0)
    assert commands(decisions) == [AbortTransfer(LARGE, 0, None, 7)]
    decisions = decide(scheduler, Aborted(LARGE, 1.0), now_s=31.0)
    assert commands(decisions) == [Copy(other, 1, 7)]
    assert scheduler.jobs[LARGE.id].missing_bytes == 100
    decide(scheduler, done(other), now_s=32.0)
    decisions = decide(scheduler, usable(began_s=90.0, free_bytes=10_000), now_s=90.0)
    assert commands(decisions) == [Copy(LARGE, 1, 7)]


def both_are_refused(scheduler: Scheduler, at_s: float) -> SchedulerDecisions:
    for file in (LARGE, LARGER):
        decide(scheduler, progress(file, 60), interrupted(QUOTA, file, 60), now_s=at_s)
    decide(scheduler, usable(began_s=at_s, free_bytes=10_000), now_s=at_s + 0.1)
    return decide(scheduler, None, now_s=at_s + 5.1)


def test_of_two_partials_that_block_each_other_the_one_that_lacks_more_gives_way() -> None:
    scheduler = opened(LARGE, LARGER, workers=2, free_bytes=10_000)
    assert copied(both_are_refused(scheduler, 0.0)) == [LARGE, LARGER]  # that may have been bad luck
    decisions = both_are_refused(scheduler, 10.0)
    assert commands(decisions) == [AbortTransfer(LARGER, 0, None, 7)]
    assert copied(decide(scheduler, Aborted(LARGER, 1.0), now_s=26.0)) == [LARGE]
    assert decide(scheduler, done(LARGE), now_s=27.0).commands == []
    assert scheduler.jobs[LARGER.id].state is JobState.NEW


def test_copies_that_run_out_of_space_together_met_one_lack_and_wait_as_long_as_one() -> None:
    files = [a_file(f"{number}.mxf", 50) for number in range(4)]
    scheduler = opened(*files, workers=4, free_bytes=10_000)
    for at_s in (0.0, 10.0):
        refused = [message for file in files for message in (progress(file, 5), interrupted(QUOTA, file, 0))]
        decide(scheduler, *refused, now_s=at_s)
        decide(scheduler, usable(began_s=at_s, free_bytes=10_000), now_s=at_s + 0.1)
        decide(scheduler, None, now_s=at_s + 5.1)
    room = scheduler.destinations[NAS].space.room
    assert room.left_bytes == 4 * 5
    too_early = usable(began_s=10.1 + FIRST_TRUST_S - 0.1, free_bytes=10_000)
    assert copied(decide(scheduler, too_early, now_s=80.0)) == []
    again = usable(began_s=10.1 + FIRST_TRUST_S, free_bytes=10_000)
    assert copied(decide(scheduler, again, now_s=80.0)) == files


def test_where_others_get_more_space_the_fault_is_the_files_own() -> None:
    scheduler = opened(LARGE, workers=2, free_bytes=10_000)
    for number in range(3):
        refuse(scheduler, LARGE, 10.0 * number, written=70, verified=40)
        decide(scheduler, ready(SMALL), done(SMALL), ready(LARGER), done(LARGER), now_s=10.0 * number + 6.0)
    assert scheduler.jobs[LARGE.id].attempts == 2
    assert scheduler.destinations[NAS].space.room.left_bytes is None


def test_the_room_is_trusted_for_longer_as_it_is_met_again_and_forgotten_in_the_end() -> None:
    room, trusted = Room(), []
    room.refused(5, 0.0)
    assert not probed(room, 0.0)
    for _ in range(6):
        room.refused(5, 0.0)
        room.gain(3)
        trusted.append(next(s for s in range(10_000) if not probed(room, float(s))))
    assert trusted == [60, 120, 240, 480, 960, 960]
    assert not probed(room, 2 * LONGEST_TRUST_S)
    assert not room.refused(5, 5000.0)
    assert not probed(room, 5000.0)
    room.refused(5, 5001.0)
    assert probed(room, 5000.9 + FIRST_TRUST_S)


def probed(room: Room, began_s: float) -> bool:
    """Whether it is still trusted after a good probe."""
    room.probed(began_s)
    return room.left_bytes is not None
