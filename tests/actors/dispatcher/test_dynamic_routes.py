"""Routes and destinations that come and go while the house runs."""

from collections.abc import Iterable

from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from agent.actors.dispatcher.dynamic_routes import STOPPED
from agent.actors.dispatcher.scheduler import Scheduler
from agent.config.sections import Route, Uploads
from agent.config.uploads import upload_route
from agent.messages.broadcaster import RouteRemoved, RouteState, StatusChanged, Untracked
from agent.messages.copier_pool import (
    AbortTransfer,
    CancelCopies,
    Copy,
    Follow,
    RecoverDestination,
)
from agent.messages.dispatcher import (
    Aborted,
    AddDestination,
    AddRoute,
    AttemptFailed,
    Delivered,
    Growing,
    Interrupted,
    PauseRoute,
    Ready,
    RemoveDestination,
    RemoveRoute,
    ResumeRoute,
    SchedulerInput,
)
from agent.model.errors import Fault, FaultKind
from agent.model.source_file import FileVersion
from agent.model.transfer import ResumePoint
from agent.model.upload import UploadJob, UploadState
from tests.actors.dispatcher.schedulers import FILE, ONE, tell
from tests.samples import OUTAGE, SOURCE_FAULT, a_config, a_delivery, a_file, kept_before, usable

JOB = UploadJob("j1", "/media", "archive", None, UploadState.PENDING, 1.0, 1.0)
GUEST = evolve(upload_route(JOB, Uploads(workers=2)), max_attempts=2)
PLACE = GUEST.destination
CONFIG = a_config(ONE)
PLAN = CONFIG.plan([GUEST])
NAMES = ("a", "b", "c", "d", "e", "f")


def guest_file(path: str) -> FileVersion:
    return a_file(path, route=GUEST.name)


def hosting(*files: FileVersion, route: Route = GUEST, interim: Iterable[ResumePoint] = ()) -> Scheduler:
    """A guest route on an open destination of its own, with these files ready."""
    schedule = Scheduler.start(CONFIG, (), interim)
    tell(schedule, AddDestination(PLAN), AddRoute(route), usable(PLACE))
    tell(schedule, *(Ready(file, 1000.0) for file in files))
    return schedule


def is_gone(schedule: Scheduler) -> bool:
    return GUEST.name not in schedule.roster.routes


def test_a_destination_that_comes_is_swept_like_any_other() -> None:
    schedule = Scheduler.start(CONFIG, ())
    tell(schedule, AddDestination(PLAN))
    opened = tell(schedule, AddRoute(GUEST))
    assert opened.events == [RouteState(GUEST.name, paused=False)]
    assert tell(schedule, usable(PLACE)).commands == [(PLACE, RecoverDestination(7))]


def test_files_of_a_guest_are_copied_to_its_destination() -> None:
    file = guest_file("a.mxf")
    schedule = hosting()
    assert tell(schedule, Ready(file, 1.0)).commands == [(PLACE, Copy(file, 1, 7))]


def test_a_guest_knows_what_earlier_runs_delivered_and_began() -> None:
    kept, begun = guest_file("kept.mxf"), guest_file("begun.mxf")
    interim = ResumePoint(GUEST.name, "begun.mxf", begun.signature, PLACE, 60)
    schedule = hosting(interim=[interim])
    assert tell(schedule, Ready(kept, 1.0, kept_before(kept))).commands == []
    assert len(tell(schedule, Ready(begun, 1.0)).commands) == 1
    assert schedule.roster.jobs[begun.id].arrived_bytes == 60


def test_a_guest_with_nothing_under_way_leaves_at_once() -> None:
    schedule = hosting()
    assert tell(schedule, RemoveRoute(GUEST.name)).events == [RouteRemoved(GUEST.name)]
    assert is_gone(schedule)


def test_a_running_copy_is_halted_and_put_away_before_its_route_leaves() -> None:
    file, waiting, third = guest_file("a.mxf"), guest_file("b.mxf"), guest_file("c.mxf")
    schedule = hosting(file, waiting, third)
    closing = tell(schedule, RemoveRoute(GUEST.name))
    assert closing.commands == [(PLACE, CancelCopies((file.id, waiting.id)))]
    assert Untracked((third.id,)) in closing.events
    back = tell(schedule, Interrupted(file, None, 0, 1.0))
    assert back.commands == [(PLACE, AbortTransfer(file, 0, STOPPED, 7))]
    assert [fact.error for fact in back.events if isinstance(fact, StatusChanged)] == [STOPPED]
    tell(schedule, Aborted(file, 1.0))
    assert not is_gone(schedule)
    assert tell(schedule, Delivered(waiting, a_delivery(), 1.0)).events[-1] == RouteRemoved(GUEST.name)
    assert is_gone(schedule)


def test_what_grows_is_put_away_too() -> None:
    file = guest_file("a.mxf")
    schedule = hosting(route=evolve(GUEST, growing=True))
    assert tell(schedule, Growing(file, 1.0)).commands == [(PLACE, Follow(file, 7))]
    assert tell(schedule, RemoveRoute(GUEST.name)).commands == [(PLACE, CancelCopies((file.id,)))]
    assert tell(schedule, Interrupted(file, None, 0, 1.0)).commands == [
        (PLACE, AbortTransfer(file, 0, STOPPED, 7))
    ]
    tell(schedule, Aborted(file, 1.0))
    assert is_gone(schedule)


def test_a_guest_that_waits_for_an_outage_to_end_stays_until_it_is_put_away() -> None:
    file = guest_file("a.mxf")
    schedule = hosting(file)
    tell(schedule, Interrupted(file, OUTAGE, 0, 1.0))
    tell(schedule, RemoveRoute(GUEST.name), now_s=1.0)
    assert not is_gone(schedule)
    back = tell(schedule, usable(PLACE, began_s=2.0), now_s=3.0)
    assert (PLACE, AbortTransfer(file, 0, STOPPED, 7)) in back.commands
    tell(schedule, Aborted(file, 1.0), now_s=3.0)
    assert is_gone(schedule)


def test_a_destination_without_routes_goes_and_a_late_probe_of_it_is_ignored() -> None:
    schedule = hosting()
    tell(schedule, RemoveRoute(GUEST.name), RemoveDestination(PLACE))
    late = tell(schedule, usable(PLACE))
    assert (late.events, late.commands) == ([], [])
    assert PLACE not in schedule.roster.lanes


def test_the_operator_may_pause_a_guest_but_not_one_that_has_left() -> None:
    file = guest_file("a.mxf")
    schedule = hosting()
    assert tell(schedule, PauseRoute(GUEST.name)).events == [RouteState(GUEST.name, paused=True)]
    assert tell(schedule, Ready(file, 1.0)).commands == []
    tell(schedule, RemoveRoute(GUEST.name))
    for order in (PauseRoute(GUEST.name), ResumeRoute(GUEST.name)):
        assert tell(schedule, order).events == []
    assert schedule.roster.paused == set()


def test_configured_routes_go_on_beside_a_guest() -> None:
    schedule = hosting(guest_file("a.mxf"))
    tell(schedule, usable())
    assert tell(schedule, Ready(FILE, 1.0)).commands == [(ONE.destination, Copy(FILE, 1, 7))]
    closing = tell(schedule, RemoveRoute(GUEST.name))
    assert [where for where, _ in closing.commands] == [PLACE]


@define
class Guesthouse:
    """A schedule with one guest, and what it has ordered and told so far; `begun`: not yet put away."""

    schedule: Scheduler = field(factory=hosting)
    now_s: float = 0.0
    out: dict[str, Copy | AbortTransfer] = field(factory=dict)
    told: list[object] = field(factory=list)
    begun: set[str] = field(factory=set)

    def hear(self, message: SchedulerInput | None) -> None:
        self.now_s += 10.0
        effects = tell(self.schedule, message, now_s=self.now_s)
        self.told += effects.events
        for where, order in effects.commands:
            assert where == PLACE
            if isinstance(order, Copy | AbortTransfer):
                assert order.file.id not in self.out
                self.out[order.file.id] = order
            if isinstance(order, Copy):
                self.begun.add(order.file.id)

    def answer(self, how: str) -> None:
        """The copy that was ordered first comes back."""
        if not self.out:
            self.hear(None)
            return
        order = self.out.pop(next(iter(self.out)))
        file = order.file
        if how == "journal":
            self.hear(Interrupted(file, Fault(FaultKind.JOURNAL, "disk full"), 0, 1.0))
        elif isinstance(order, AbortTransfer) or how == "done":
            self.begun.discard(file.id)
            is_put_away = isinstance(order, AbortTransfer)
            self.hear(Aborted(file, 1.0) if is_put_away else Delivered(file, a_delivery(), 1.0))
        elif how == "fail":
            self.hear(AttemptFailed(file, SOURCE_FAULT, 1.0))
        else:
            self.hear(Interrupted(file, None, 0, 1.0))


ANSWERS = st.lists(st.sampled_from(["fail", "interrupt", "journal", "done"]), max_size=12)


@given(ANSWERS, ANSWERS)
def test_whatever_its_files_are_at_a_guest_leaves_once_and_leaves_nothing(
    before: list[str], after: list[str]
) -> None:
    house = Guesthouse()
    for name in NAMES:
        house.hear(Ready(guest_file(name), 1.0))
    for how in before:
        house.answer(how)
    house.hear(RemoveRoute(GUEST.name))
    for how in [*after, *["interrupt"] * 40]:
        house.answer(how)
    assert house.told.count(RouteRemoved(GUEST.name)) == 1
    assert house.told[-1] == RouteRemoved(GUEST.name)
    assert house.schedule.roster.jobs == {}
    assert house.schedule.roster.lanes[PLACE].running == {}
    assert house.begun == set()
