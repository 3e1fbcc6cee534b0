"""Routes and destinations that are added and removed while the agent runs."""

from collections.abc import Iterable

from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from agent.actors.dispatcher.job import STOPPED
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
from tests.actors.dispatcher.schedulers import FILE, ONE, decide
from tests.samples import SOURCE_FAULT, STALL, a_config, a_delivery, a_file, kept_before, usable

JOB = UploadJob("j1", "/media", "archive", None, UploadState.PENDING, 1.0, 1.0)
UPLOAD = evolve(upload_route(JOB, Uploads(workers=2)), max_attempts=2)
BUCKET = UPLOAD.destination
CONFIG = a_config(ONE)
PLAN = CONFIG.plan([UPLOAD])
NAMES = ("a", "b", "c", "d", "e", "f")


def upload_file(path: str) -> FileVersion:
    return a_file(path, route=UPLOAD.name)


def with_upload_route(
    *files: FileVersion, route: Route = UPLOAD, resume_points: Iterable[ResumePoint] = ()
) -> Scheduler:
    """The route of an upload job on an open destination of its own, with these files ready."""
    scheduler = Scheduler.start(CONFIG, (), resume_points)
    decide(scheduler, AddDestination(PLAN), AddRoute(route), usable(BUCKET))
    decide(scheduler, *(Ready(file, 1000.0) for file in files))
    return scheduler


def is_gone(scheduler: Scheduler) -> bool:
    return UPLOAD.name not in scheduler.routes


def test_a_destination_that_is_added_is_recovered_like_any_other() -> None:
    scheduler = Scheduler.start(CONFIG, ())
    decide(scheduler, AddDestination(PLAN))
    opened = decide(scheduler, AddRoute(UPLOAD))
    assert opened.events == [RouteState(UPLOAD.name, paused=False)]
    assert decide(scheduler, usable(BUCKET)).commands == [(BUCKET, RecoverDestination(7))]


def test_files_of_an_added_route_are_copied_to_its_destination() -> None:
    file = upload_file("a.mxf")
    scheduler = with_upload_route()
    assert decide(scheduler, Ready(file, 1.0)).commands == [(BUCKET, Copy(file, 1, 7))]


def test_an_added_route_knows_what_earlier_runs_delivered_and_began() -> None:
    kept, begun = upload_file("kept.mxf"), upload_file("begun.mxf")
    resume_points = ResumePoint(UPLOAD.name, "begun.mxf", begun.signature, BUCKET, 60)
    scheduler = with_upload_route(resume_points=[resume_points])
    assert decide(scheduler, Ready(kept, 1.0, kept_before(kept))).commands == []
    assert len(decide(scheduler, Ready(begun, 1.0)).commands) == 1
    assert scheduler.jobs[begun.id].arrived_bytes == 60


def test_a_route_without_jobs_is_removed_at_once() -> None:
    scheduler = with_upload_route()
    assert decide(scheduler, RemoveRoute(UPLOAD.name)).events == [RouteRemoved(UPLOAD.name)]
    assert is_gone(scheduler)


def test_a_running_copy_is_stopped_and_aborted_before_its_route_is_removed() -> None:
    file, waiting, third = upload_file("a.mxf"), upload_file("b.mxf"), upload_file("c.mxf")
    scheduler = with_upload_route(file, waiting, third)
    closing = decide(scheduler, RemoveRoute(UPLOAD.name))
    assert closing.commands == [(BUCKET, CancelCopies((file.id, waiting.id)))]
    assert Untracked((third.id,)) in closing.events
    back = decide(scheduler, Interrupted(file, None, 0, 1.0))
    assert back.commands == [(BUCKET, AbortTransfer(file, 0, STOPPED, 7))]
    assert [event.error for event in back.events if isinstance(event, StatusChanged)] == [STOPPED]
    decide(scheduler, Aborted(file, 1.0))
    assert not is_gone(scheduler)
    assert decide(scheduler, Delivered(waiting, a_delivery(), 1.0)).events[-1] == RouteRemoved(UPLOAD.name)
    assert is_gone(scheduler)


def test_what_grows_is_aborted_too() -> None:
    file = upload_file("a.mxf")
    scheduler = with_upload_route(route=evolve(UPLOAD, growing=True))
    assert decide(scheduler, Growing(file, 1.0)).commands == [(BUCKET, Follow(file, 7))]
    assert decide(scheduler, RemoveRoute(UPLOAD.name)).commands == [(BUCKET, CancelCopies((file.id,)))]
    assert decide(scheduler, Interrupted(file, None, 0, 1.0)).commands == [
        (BUCKET, AbortTransfer(file, 0, STOPPED, 7))
    ]
    decide(scheduler, Aborted(file, 1.0))
    assert is_gone(scheduler)


def test_a_guest_that_waits_for_an_outage_to_end_stays_until_it_is_aborted() -> None:
    file = upload_file("a.mxf")
    scheduler = with_upload_route(file)
    decide(scheduler, Interrupted(file, STALL, 0, 1.0))
    decide(scheduler, RemoveRoute(UPLOAD.name), now_s=1.0)
    assert not is_gone(scheduler)
    back = decide(scheduler, usable(BUCKET, began_s=2.0), now_s=3.0)
    assert (BUCKET, AbortTransfer(file, 0, STOPPED, 7)) in back.commands
    decide(scheduler, Aborted(file, 1.0), now_s=3.0)
    assert is_gone(scheduler)


def test_a_destination_without_routes_goes_and_a_late_probe_of_it_is_ignored() -> None:
    scheduler = with_upload_route()
    decide(scheduler, RemoveRoute(UPLOAD.name), RemoveDestination(BUCKET))
    late = decide(scheduler, usable(BUCKET))
    assert (late.events, late.commands) == ([], [])
    assert BUCKET not in scheduler.destinations


def test_the_operator_may_pause_an_added_route_but_not_a_removed_one() -> None:
    file = upload_file("a.mxf")
    scheduler = with_upload_route()
    assert decide(scheduler, PauseRoute(UPLOAD.name)).events == [RouteState(UPLOAD.name, paused=True)]
    assert decide(scheduler, Ready(file, 1.0)).commands == []
    decide(scheduler, RemoveRoute(UPLOAD.name))
    for command in (PauseRoute(UPLOAD.name), ResumeRoute(UPLOAD.name)):
        assert decide(scheduler, command).events == []
    assert scheduler.routes.paused == set()


def test_configured_routes_go_on_beside_an_added_one() -> None:
    scheduler = with_upload_route(upload_file("a.mxf"))
    decide(scheduler, usable())
    assert decide(scheduler, Ready(FILE, 1.0)).commands == [(ONE.destination, Copy(FILE, 1, 7))]
    closing = decide(scheduler, RemoveRoute(UPLOAD.name))
    assert [where for where, _ in closing.commands] == [BUCKET]


@define
class Simulation:
    """A scheduler with one added route; `out`: commands that run, `begun`: files not yet cleaned up."""

    scheduler: Scheduler = field(factory=with_upload_route)
    now_s: float = 0.0
    out: dict[str, Copy | AbortTransfer] = field(factory=dict)
    published: list[object] = field(factory=list)
    begun: set[str] = field(factory=set)

    def send(self, message: SchedulerInput | None) -> None:
        self.now_s += 10.0
        decisions = decide(self.scheduler, message, now_s=self.now_s)
        self.published += decisions.events
        for where, command in decisions.commands:
            assert where == BUCKET
            if isinstance(command, Copy | AbortTransfer):
                assert command.file.id not in self.out
                self.out[command.file.id] = command
            if isinstance(command, Copy):
                self.begun.add(command.file.id)

    def answer(self, how: str) -> None:
        """The copy that was started first returns."""
        if not self.out:
            self.send(None)
            return
        command = self.out.pop(next(iter(self.out)))
        file = command.file
        if how == "journal":
            self.send(Interrupted(file, Fault(FaultKind.JOURNAL, "disk full"), 0, 1.0))
        elif isinstance(command, AbortTransfer) or how == "done":
            self.begun.discard(file.id)
            is_aborted = isinstance(command, AbortTransfer)
            self.send(Aborted(file, 1.0) if is_aborted else Delivered(file, a_delivery(), 1.0))
        elif how == "fail":
            self.send(AttemptFailed(file, SOURCE_FAULT, 0, 1.0))
        else:
            self.send(Interrupted(file, None, 0, 1.0))


ANSWERS = st.lists(st.sampled_from(["fail", "interrupt", "journal", "done"]), max_size=12)


@given(ANSWERS, ANSWERS)
def test_whatever_its_files_are_at_a_route_is_removed_once_and_leaves_nothing(
    before: list[str], after: list[str]
) -> None:
    simulation = Simulation()
    for name in NAMES:
        simulation.send(Ready(upload_file(name), 1.0))
    for how in before:
        simulation.answer(how)
    simulation.send(RemoveRoute(UPLOAD.name))
    for how in [*after, *["interrupt"] * 40]:
        simulation.answer(how)
    assert simulation.published.count(RouteRemoved(UPLOAD.name)) == 1
    assert simulation.published[-1] == RouteRemoved(UPLOAD.name)
    assert simulation.scheduler.jobs == {}
    assert simulation.scheduler.destinations[BUCKET].space.running == {}
    assert simulation.begun == set()
