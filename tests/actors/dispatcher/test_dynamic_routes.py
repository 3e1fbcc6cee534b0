"""Routes and destinations that come and go while the house runs."""

from collections.abc import Iterable

from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from agent.actors.dispatcher.scheduler import STOPPED, Scheduler
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
    scheduler = Scheduler.start(CONFIG, (), interim)
    tell(scheduler, AddDestination(PLAN), AddRoute(route), usable(PLACE))
    tell(scheduler, *(Ready(file, 1000.0) for file in files))
    return scheduler


def is_gone(scheduler: Scheduler) -> bool:
    return GUEST.name not in scheduler.routes


def test_a_destination_that_comes_is_swept_like_any_other() -> None:
    scheduler = Scheduler.start(CONFIG, ())
    tell(scheduler, AddDestination(PLAN))
    opened = tell(scheduler, AddRoute(GUEST))
    assert opened.events == [RouteState(GUEST.name, paused=False)]
    assert tell(scheduler, usable(PLACE)).commands == [(PLACE, RecoverDestination(7))]


def test_files_of_a_guest_are_copied_to_its_destination() -> None:
    file = guest_file("a.mxf")
    scheduler = hosting()
    assert tell(scheduler, Ready(file, 1.0)).commands == [(PLACE, Copy(file, 1, 7))]


def test_a_guest_knows_what_earlier_runs_delivered_and_began() -> None:
    kept, begun = guest_file("kept.mxf"), guest_file("begun.mxf")
    interim = ResumePoint(GUEST.name, "begun.mxf", begun.signature, PLACE, 60)
    scheduler = hosting(interim=[interim])
    assert tell(scheduler, Ready(kept, 1.0, kept_before(kept))).commands == []
    assert len(tell(scheduler, Ready(begun, 1.0)).commands) == 1
    assert scheduler.jobs[begun.id].arrived_bytes == 60


def test_a_guest_with_nothing_under_way_leaves_at_once() -> None:
    scheduler = hosting()
    assert tell(scheduler, RemoveRoute(GUEST.name)).events == [RouteRemoved(GUEST.name)]
    assert is_gone(scheduler)


def test_a_running_copy_is_halted_and_put_away_before_its_route_leaves() -> None:
    file, waiting, third = guest_file("a.mxf"), guest_file("b.mxf"), guest_file("c.mxf")
    scheduler = hosting(file, waiting, third)
    closing = tell(scheduler, RemoveRoute(GUEST.name))
    assert closing.commands == [(PLACE, CancelCopies((file.id, waiting.id)))]
    assert Untracked((third.id,)) in closing.events
    back = tell(scheduler, Interrupted(file, None, 0, 1.0))
    assert back.commands == [(PLACE, AbortTransfer(file, 0, STOPPED, 7))]
    assert [fact.error for fact in back.events if isinstance(fact, StatusChanged)] == [STOPPED]
    tell(scheduler, Aborted(file, 1.0))
    assert not is_gone(scheduler)
    assert tell(scheduler, Delivered(waiting, a_delivery(), 1.0)).events[-1] == RouteRemoved(GUEST.name)
    assert is_gone(scheduler)


def test_what_grows_is_put_away_too() -> None:
    file = guest_file("a.mxf")
    scheduler = hosting(route=evolve(GUEST, growing=True))
    assert tell(scheduler, Growing(file, 1.0)).commands == [(PLACE, Follow(file, 7))]
    assert tell(scheduler, RemoveRoute(GUEST.name)).commands == [(PLACE, CancelCopies((file.id,)))]
    assert tell(scheduler, Interrupted(file, None, 0, 1.0)).commands == [
        (PLACE, AbortTransfer(file, 0, STOPPED, 7))
    ]
    tell(scheduler, Aborted(file, 1.0))
    assert is_gone(scheduler)


def test_a_guest_that_waits_for_an_outage_to_end_stays_until_it_is_put_away() -> None:
    file = guest_file("a.mxf")
    scheduler = hosting(file)
    tell(scheduler, Interrupted(file, OUTAGE, 0, 1.0))
    tell(scheduler, RemoveRoute(GUEST.name), now_s=1.0)
    assert not is_gone(scheduler)
    back = tell(scheduler, usable(PLACE, began_s=2.0), now_s=3.0)
    assert (PLACE, AbortTransfer(file, 0, STOPPED, 7)) in back.commands
    tell(scheduler, Aborted(file, 1.0), now_s=3.0)
    assert is_gone(scheduler)


def test_a_destination_without_routes_goes_and_a_late_probe_of_it_is_ignored() -> None:
    scheduler = hosting()
    tell(scheduler, RemoveRoute(GUEST.name), RemoveDestination(PLACE))
    late = tell(scheduler, usable(PLACE))
    assert (late.events, late.commands) == ([], [])
    assert PLACE not in scheduler.destinations


def test_the_operator_may_pause_a_guest_but_not_one_that_has_left() -> None:
    file = guest_file("a.mxf")
    scheduler = hosting()
    assert tell(scheduler, PauseRoute(GUEST.name)).events == [RouteState(GUEST.name, paused=True)]
    assert tell(scheduler, Ready(file, 1.0)).commands == []
    tell(scheduler, RemoveRoute(GUEST.name))
    for order in (PauseRoute(GUEST.name), ResumeRoute(GUEST.name)):
        assert tell(scheduler, order).events == []
    assert scheduler.routes.paused == set()


def test_configured_routes_go_on_beside_a_guest() -> None:
    scheduler = hosting(guest_file("a.mxf"))
    tell(scheduler, usable())
    assert tell(scheduler, Ready(FILE, 1.0)).commands == [(ONE.destination, Copy(FILE, 1, 7))]
    closing = tell(scheduler, RemoveRoute(GUEST.name))
    assert [where for where, _ in closing.commands] == [PLACE]


@define
class Guesthouse:
    """A scheduler with one guest, and what it has ordered and told so far; `begun`: not yet put away."""

    scheduler: Scheduler = field(factory=hosting)
    now_s: float = 0.0
    out: dict[str, Copy | AbortTransfer] = field(factory=dict)
    told: list[object] = field(factory=list)
    begun: set[str] = field(factory=set)

    def hear(self, message: SchedulerInput | None) -> None:
        self.now_s += 10.0
        effects = tell(self.scheduler, message, now_s=self.now_s)
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
    assert house.scheduler.jobs == {}
    assert house.scheduler.destinations[PLACE].space.running == {}
    assert house.begun == set()
