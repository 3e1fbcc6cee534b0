"""A snapshot and the updates after it, applied by a client, always equal the model's state."""

from collections import Counter as Tally
from unittest import mock

from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from agent.actors.broadcaster import status_model as view_module
from agent.actors.broadcaster.route_status import PENDING
from agent.actors.broadcaster.status_model import RECENT_EVENTS, StatusModel
from agent.messages.broadcaster import (
    ActorCrashed,
    ConfigRejected,
    GenerationStarted,
    JournalState,
    RouteState,
    StatusChanged,
    StatusesChanged,
    StatusEvent,
    Untracked,
)
from agent.messages.dispatcher import SourceState, TransferProgress
from agent.model.source_file import FileVersion
from agent.model.transfer import Status
from agent.model.views import Event, FileView, RouteView, Snapshot, Update
from tests.samples import ROUTE, a_delivery, a_file, unusable, usable

MXF, MOV = ROUTE, evolve(ROUTE, name="mov", destination="/tape")
FEW_FILES = 3  # in place of RECENT_FILES, so that deliveries make way for each other

FILES = st.builds(
    a_file,
    path=st.sampled_from(["a", "b", "c"]),
    route=st.sampled_from(["mxf", "mov"]),
    size_bytes=st.sampled_from([0, 100, 200]),
)
STATUSES = st.one_of(st.sampled_from(Status), st.just(Status.COMPLETED))
PARTS_S = st.sampled_from([0.0, 0.25, 1.0, 4.9, 5.0])
MOVES = st.tuples(FILES, STATUSES, st.booleans(), PARTS_S)
STEPS = st.one_of(
    MOVES,
    MOVES,
    st.lists(MOVES, max_size=3),
    FILES.map(lambda file: Untracked((file.id,))),
    st.builds(
        lambda file, copied: TransferProgress(file.id, copied, copied, 0.0), FILES, st.integers(0, 100)
    ),
    st.sampled_from(
        [
            usable(free_bytes=5),
            unusable(),
            unusable("/tape"),
            SourceState("mxf", None, 0.0, 0.0, 5),
            SourceState("mov", "permission denied", 0.0, 0.0),
            RouteState("mxf", paused=True),
            RouteState("mov", paused=False),
            ActorCrashed("watcher", "bug", 0.0, 1.0),
            ConfigRejected(("bad",), 0.0),
            JournalState("full", 0.0),
            JournalState(None, 0.0),
            GenerationStarted((MXF, MOV), 0.0),
            GenerationStarted((MXF,), 0.0),
        ]
    ),
    PARTS_S,
    st.just("flush"),
    st.just("subscribe"),
)
Move = tuple[FileVersion, Status, bool, float]
Step = Move | list[Move] | StatusEvent | float | str


@define
class Visitor:
    """A page that got a snapshot and applies updates."""

    seq: int
    files: dict[str, FileView]
    routes: dict[str, RouteView]
    events: list[Event]

    @classmethod
    def sent(cls, snapshot: Snapshot) -> "Visitor":
        files = {file.id: file for file in snapshot.files}
        assert len(files) == len(snapshot.files)
        return cls(snapshot.seq, files, {route.name: route for route in snapshot.routes}, [*snapshot.events])

    def hear(self, update: Update) -> None:
        assert update.seq == self.seq + 1
        assert not {file.id for file in update.changed} & set(update.removed)
        self.seq = update.seq
        self.files |= {file.id: file for file in update.changed}
        for file_id in update.removed:
            self.files.pop(file_id, None)
        self.routes |= {route.name: route for route in update.routes}
        self.events += update.events


@define
class Bench:
    """The model, its clients, and the clock; clients that connect between two updates share a `snapshot`."""

    view: StatusModel = field(factory=StatusModel)
    snapshot: Snapshot | None = None
    clients: list[Visitor] = field(factory=list)
    now_at: float = 1000.0

    def step(self, step: Step) -> None:
        match step:
            case "flush":
                self.flush()
            case "subscribe":
                self.snapshot = self.snapshot or self.view.snapshot(self.now_at)
                self.clients.append(Visitor.sent(self.snapshot))
                self.now_at += 0.25
            case float():
                self.now_at += step
            case tuple():
                self.apply(self.moved(step))
            case list():
                self.apply(
                    StatusesChanged(tuple(moved for moved in map(self.moved, step) if self.concerns(moved)))
                )
            case TransferProgress():
                self.apply(evolve(step, at=self.now_at))
            case str():
                raise AssertionError(step)
            case _:
                self.apply(step)

    def moved(self, move: Move) -> StatusChanged:
        file, status, with_file, earlier_s = move
        delivery = a_delivery() if status is Status.COMPLETED and with_file else None
        return StatusChanged(
            file.id, status, self.now_at - earlier_s, file if with_file else None, delivery=delivery
        )

    def concerns(self, event: StatusEvent) -> bool:
        """Only routes of this generation are talked about."""
        match event:
            case (
                StatusChanged(file=FileVersion(route=route))
                | SourceState(route=route)
                | RouteState(route=route)
            ):
                return route in self.view.routes
        return True

    def apply(self, event: StatusEvent) -> None:
        if self.concerns(event):
            self.view.apply(event)

    def flush(self) -> None:
        update = self.view.flush(self.now_at)
        self.snapshot = None
        if update is not None:
            for client in self.clients:
                client.hear(update)
        self.check_visitors()
        self.check_figures()

    def check_visitors(self) -> None:
        files = self.view.files | self.view._recent
        routes = {name: status.view(self.now_at) for name, status in self.view.routes.items()}
        for client in self.clients:
            assert client.seq == self.view._seq
            assert client.files == files
            # An update cannot say that a route is no more.
            assert {name: client.routes[name] for name in routes} == routes
            assert client.events[-RECENT_EVENTS:] == list(self.view._events)

    def check_figures(self) -> None:
        assert len(self.view._recent) <= FEW_FILES
        for name, status in self.view.routes.items():
            rows = [row for row in self.view.snapshot(self.now_at).files if row.current.route == name]
            assert status.view(self.now_at).counts == Tally(row.current.status.value for row in rows)
            assert status.queue_bytes == sum(row.size_bytes for row in rows if row.current.status in PENDING)


@given(st.one_of(st.lists(STEPS), st.lists(STEPS, min_size=30, max_size=80)))
def test_the_state_of_a_client_always_equals_a_fresh_snapshot(steps: list[Step]) -> None:
    with mock.patch.object(view_module, "RECENT_FILES", FEW_FILES):
        bench = Bench()
        bench.step(GenerationStarted((MXF, MOV), 0.0))
        for step in ("subscribe", *steps, "flush"):
            bench.step(step)
