"""Growing files are followed beside the finished ones, and copied to their end when that has come."""

from agent.actors.dispatcher.scheduler import Scheduler
from agent.actors.dispatcher.transitions import JobState
from agent.messages.broadcaster import StatusChanged
from agent.messages.copier_pool import AbortTransfer, CancelCopies, CopierPoolInbox, Copy, Follow
from agent.messages.dispatcher import Aborted, Gone, Growing, PauseRoute, ResumeRoute, TailIdle
from agent.model.source_file import FileVersion
from agent.model.transfer import Status
from tests.actors.dispatcher.schedulers import (
    FILE,
    OTHER,
    changes_of,
    commands,
    copied,
    decide,
    done,
    failed,
    interrupted,
    opened,
)
from tests.samples import SOURCE_FAULT, STALL, a_file, ready, usable

NOW = a_file("live.mxf", 100, version=1)
LATER = a_file("live.mxf", 200, version=2)
ENDED = a_file("live.mxf", 300, version=3)
MORE = a_file("more.mxf", 100)


def growing(file: FileVersion = NOW) -> Growing:
    return Growing(file, 1000.0)


def caught_up(file: FileVersion = NOW) -> TailIdle:
    return TailIdle(file, 1000.0)


def followed(commands: list[CopierPoolInbox]) -> list[FileVersion]:
    return [command.file for command in commands if isinstance(command, Follow)]


def following() -> Scheduler:
    scheduler = opened(FILE)
    assert commands(decide(scheduler, growing())) == [Follow(NOW, 7)]
    return scheduler


def test_a_growing_file_takes_no_slot_from_finished_ones_and_is_still_shown_as_growing() -> None:
    scheduler = opened(FILE, OTHER)
    decisions = decide(scheduler, growing())
    assert commands(decisions) == [Follow(NOW, 7)]
    assert changes_of(decisions, NOW) == []
    assert copied(decide(scheduler, done())) == [OTHER]


def test_only_so_many_are_followed_at_a_time_and_the_next_one_when_one_rests() -> None:
    scheduler = following()
    assert commands(decide(scheduler, growing(MORE))) == []
    assert followed(commands(decide(scheduler, caught_up()))) == [MORE]
    assert commands(decide(scheduler, growing(LATER))) == []
    assert followed(commands(decide(scheduler, caught_up(MORE)))) == [LATER]


def test_a_file_that_has_ended_is_copied_to_its_end_once_its_follower_has_stopped() -> None:
    scheduler = following()
    decide(scheduler, done())
    assert commands(decide(scheduler, ready(ENDED))) == [CancelCopies((NOW.id,))]
    decisions = decide(scheduler, interrupted(None, NOW))
    assert commands(decisions) == [Copy(ENDED, 1, 7)]
    assert [event.status for event in changes_of(decisions, ENDED)] == [Status.IN_QUEUE, Status.COPYING]


def test_a_follower_that_rests_when_the_end_comes_is_in_nobodys_way() -> None:
    scheduler = following()
    decide(scheduler, done(), caught_up())
    assert commands(decide(scheduler, ready(ENDED))) == [Copy(ENDED, 1, 7)]


def test_an_end_that_comes_while_the_follower_reports_is_not_lost() -> None:
    scheduler = following()
    decide(scheduler, done(), ready(ENDED))
    assert commands(decide(scheduler, caught_up())) == [Copy(ENDED, 1, 7)]


def test_an_outage_stops_a_follower_without_an_attempt_and_its_next_growth_goes_on() -> None:
    scheduler = following()
    decide(scheduler, interrupted(STALL, NOW), interrupted(None, FILE), now_s=1.0)
    decide(scheduler, growing(LATER), now_s=2.0)
    decisions = decide(scheduler, usable(began_s=3.0), now_s=3.0)
    assert followed(commands(decisions)) == [LATER]
    assert scheduler.jobs[NOW.id].attempts == 0


def test_a_file_that_cannot_be_followed_waits_for_its_end_and_then_has_all_its_attempts() -> None:
    scheduler = following()
    decide(scheduler, done(), failed(SOURCE_FAULT, NOW))
    assert commands(decide(scheduler, growing(LATER))) == []
    assert commands(decide(scheduler, ready(ENDED))) == [Copy(ENDED, 1, 7)]
    assert changes_of(decide(scheduler, failed(SOURCE_FAULT, ENDED)), ENDED)[-1].attempts == 1


def test_a_followed_file_that_vanished_leaves_nothing_behind() -> None:
    scheduler = following()
    decide(scheduler, done(), caught_up())
    [command] = commands(decide(scheduler, Gone(LATER, 1000.0, changed=False)))
    assert command == AbortTransfer(NOW, 0, None, 7)
    decide(scheduler, Aborted(NOW, 1000.0))
    assert scheduler.jobs == {}


def test_a_followed_file_that_was_replaced_is_aborted_and_followed_afresh() -> None:
    scheduler = following()
    decide(scheduler, done())
    gone = Gone(NOW, 1000.0, changed=True)
    assert commands(decide(scheduler, gone)) == [CancelCopies((NOW.id,))]
    assert commands(decide(scheduler, growing(LATER))) == []
    assert commands(decide(scheduler, interrupted(None, NOW))) == [AbortTransfer(NOW, 0, None, 7)]
    decide(scheduler, Aborted(NOW, 1000.0))
    assert commands(decide(scheduler, growing(LATER))) == [Follow(LATER, 7)]


def test_a_paused_route_follows_nothing() -> None:
    scheduler = following()
    decisions = decide(scheduler, PauseRoute("mxf"))
    assert [
        set(command.file_ids or ()) for command in commands(decisions) if isinstance(command, CancelCopies)
    ] == [{FILE.id, NOW.id}]
    decide(scheduler, interrupted(None, NOW), growing(LATER))
    assert scheduler.jobs[NOW.id].state is JobState.GROWING_QUEUED
    assert followed(commands(decide(scheduler, ResumeRoute("mxf")))) == [LATER]


def test_a_growing_file_that_does_not_fit_is_not_followed_until_it_does() -> None:
    scheduler = opened(free_bytes=50)
    assert commands(decide(scheduler, growing())) == []
    assert followed(commands(decide(scheduler, usable(free_bytes=500, began_s=1.0), now_s=1.0))) == [NOW]


def test_nothing_is_published_of_a_growing_file_while_it_waits() -> None:
    scheduler = opened(free_bytes=50)
    decisions = decide(scheduler, growing())
    assert [event for event in decisions.events if isinstance(event, StatusChanged)] == []
