from collections import Counter as Tally
from functools import partial

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from agent.actors.broadcaster.metrics import Metrics
from agent.actors.broadcaster.status_model import StatusModel
from agent.config.sections import Uploads
from agent.config.uploads import upload_route
from agent.messages.broadcaster import (
    ActorCrashed,
    CounterIncremented,
    GenerationStarted,
    RouteAdded,
    StatusChanged,
    StatusEvent,
    Untracked,
)
from agent.model.errors import OutageReason
from agent.model.source_file import FileVersion
from agent.model.transfer import Delivery, Status
from agent.model.upload import UploadJob, UploadState
from tests.samples import ROUTE, a_delivery, a_file, kept_before, unusable, usable

MOV = evolve(ROUTE, name="mov", destination="/tape")
STARTED = GenerationStarted((ROUTE, MOV), 0.0)
FILE = a_file()
NOW_AT = 2000.0

# CONTRACT section 6, with the unit and the names that the text format adds.
CONTRACT = {
    "files_total": {"route", "result"},
    "bytes_total": {"route"},
    "transfer_duration_seconds_bucket": {"route", "le"},
    "queue_files": {"route", "status"},
    "queue_bytes": {"route"},
    "oldest_pending_seconds": {"route"},
    "destination_up": {"route"},
    "destination_outage": {"route", "reason"},
    "destination_free_bytes": {"route"},
    "verify_failures_total": {"route"},
    "retries_total": {"route", "kind"},
    "last_arrival_timestamp_seconds": {"route"},
    "watch_overflows_total": {"route"},
    "actor_restarts_total": {"actor"},
    "websocket_clients": set[str](),
    "build_info": {"version"},
}


class Bench:
    """The model and the metrics; both get the same events in the broadcaster's order."""

    def __init__(self) -> None:
        self.view = StatusModel()
        self.metrics = Metrics(self.view, "1.2.3")
        self.tell(STARTED)

    def tell(self, *events: StatusEvent | CounterIncremented) -> None:
        for event in events:
            self.metrics.count(event)
            if not isinstance(event, CounterIncremented):
                self.view.apply(event)

    def samples(self) -> list[Sample]:
        text = self.metrics.render(NOW_AT).decode()
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def figure(self, name: str, **labels: str) -> float | None:
        return figure_in(self.samples(), name, **labels)


def figure_in(samples: list[Sample], name: str, **labels: str) -> float | None:
    for sample in samples:
        if sample.name == f"transfer_agent_{name}" and sample.labels == labels:
            return sample.value
    return None


def a_move(
    status: Status, at: float = 1.0, file: FileVersion = FILE, delivery: Delivery | None = None
) -> StatusChanged:
    return StatusChanged(file.id, status, at, file, delivery=delivery)


def test_the_exposition_holds_every_name_and_label_of_the_contract() -> None:
    bench = Bench()
    bench.tell(usable(free_bytes=5), usable("/tape", free_bytes=6), ActorCrashed("watcher", "bug", 1.0, 1.0))
    bench.tell(a_move(Status.COPYING), a_move(Status.COMPLETED, delivery=a_delivery()))
    found = {sample.name: set(sample.labels) for sample in bench.samples()}
    for name, labels in CONTRACT.items():
        assert found[f"transfer_agent_{name}"] == labels
    assert found["process_cpu_seconds_total"] == set()
    assert {"process_resident_memory_bytes", "process_open_fds"} <= found.keys()


def test_no_label_names_a_file() -> None:
    bench = Bench()
    bench.tell(a_move(Status.COPYING), a_move(Status.FAILED))
    text = bench.metrics.render(NOW_AT).decode()
    assert FILE.path not in text
    assert FILE.id not in text


def test_counters_begin_at_zero_for_every_route() -> None:
    bench = Bench()
    for route in ("mxf", "mov"):
        for result in ("delivered", "kept", "failed"):
            assert bench.figure("files_total", route=route, result=result) == 0
        for kind in ("local", "outage"):
            assert bench.figure("retries_total", route=route, kind=kind) == 0
        for name in ("bytes_total", "verify_failures_total", "watch_overflows_total"):
            assert bench.figure(name, route=route) == 0


def test_a_delivery_counts_its_file_its_bytes_and_its_time() -> None:
    bench = Bench()
    bench.tell(a_move(Status.COPYING, at=10.0))
    bench.tell(a_move(Status.COMPLETED, at=17.0, delivery=a_delivery(size_bytes=100)))
    assert bench.figure("files_total", route="mxf", result="delivered") == 1
    assert bench.figure("bytes_total", route="mxf") == 100
    assert bench.figure("transfer_duration_seconds_count", route="mxf") == 1
    assert bench.figure("transfer_duration_seconds_sum", route="mxf") == 7.0
    assert bench.figure("transfer_duration_seconds_bucket", route="mxf", le="15.0") == 1


def test_a_clock_that_was_set_back_gives_no_negative_duration() -> None:
    bench = Bench()
    bench.tell(a_move(Status.COPYING, at=10.0), a_move(Status.COMPLETED, at=5.0, delivery=a_delivery()))
    assert bench.figure("transfer_duration_seconds_sum", route="mxf") == 0.0


def test_a_delivery_that_left_its_source_is_kept() -> None:
    bench = Bench()
    bench.tell(a_move(Status.COPYING), a_move(Status.COMPLETED, delivery=a_delivery(kept=True)))
    assert bench.figure("files_total", route="mxf", result="kept") == 1
    assert bench.figure("files_total", route="mxf", result="delivered") == 0


def test_a_delivery_that_was_never_copied_has_no_duration() -> None:
    bench = Bench()
    bench.tell(a_move(Status.IN_QUEUE), a_move(Status.COMPLETED, delivery=a_delivery()))
    assert bench.figure("files_total", route="mxf", result="delivered") == 1
    assert bench.figure("transfer_duration_seconds_count", route="mxf") is None


def test_what_the_journal_reminds_us_of_is_no_new_outcome() -> None:
    bench = Bench()
    remembered = kept_before(FILE)
    bench.tell(a_move(Status.READY), a_move(Status.FAILED), a_move(Status.FAILED))
    bench.tell(
        a_move(Status.READY), a_move(Status.COMPLETED, remembered.ended_at, delivery=a_delivery(kept=True))
    )
    bench.tell(a_move(Status.COMPLETED, delivery=a_delivery()))  # unknown to the view
    assert not any(sample.value for sample in bench.samples() if sample.name == "transfer_agent_files_total")


def test_what_is_counted_alone_reaches_its_counter() -> None:
    bench = Bench()
    bench.tell(CounterIncremented("verify_failure", "mxf"), CounterIncremented("watch_overflow", "mov"))
    bench.tell(
        CounterIncremented("retry_local", "mxf"),
        CounterIncremented("retry_outage", "mxf"),
        CounterIncremented("retry_outage", "mxf"),
    )
    bench.tell(ActorCrashed("copier", "bug", 1.0, 2.0))
    assert bench.figure("verify_failures_total", route="mxf") == 1
    assert bench.figure("watch_overflows_total", route="mov") == 1
    assert bench.figure("retries_total", route="mxf", kind="local") == 1
    assert bench.figure("retries_total", route="mxf", kind="outage") == 2
    assert bench.figure("actor_restarts_total", actor="copier") == 1


def test_live_feeds_and_the_version_are_shown() -> None:
    bench = Bench()
    bench.metrics.clients(3)
    assert bench.figure("websocket_clients") == 3
    assert bench.figure("build_info", version="1.2.3") == 1


def test_an_outage_is_shown_by_its_reason() -> None:
    bench = Bench()
    assert bench.figure("destination_up", route="mxf") == 0  # not reached yet
    assert bench.figure("destination_free_bytes", route="mxf") is None
    bench.tell(unusable(reason=OutageReason.FULL))
    assert bench.figure("destination_up", route="mxf") == 0
    assert bench.figure("destination_outage", route="mxf", reason="full") == 1
    assert bench.figure("destination_outage", route="mxf", reason="hung") == 0
    bench.tell(usable(free_bytes=5))
    assert bench.figure("destination_up", route="mxf") == 1
    assert bench.figure("destination_outage", route="mxf", reason="full") == 0
    assert bench.figure("destination_free_bytes", route="mxf") == 5


def test_what_waits_is_shown_by_status_bytes_and_age() -> None:
    bench = Bench()
    young, old = a_file("young", discovered_at=1990.0), a_file("old", discovered_at=1940.0)
    failed = a_file("failed", discovered_at=1.0)
    bench.tell(a_move(Status.DISCOVERED, at=1990.0, file=young), a_move(Status.PAUSED, at=1995.0, file=old))
    bench.tell(a_move(Status.FAILED, at=1960.0, file=failed))
    assert bench.figure("queue_files", route="mxf", status="Paused") == 1
    assert bench.figure("queue_files", route="mxf", status="Copying") == 0
    assert bench.figure("queue_bytes", route="mxf") == 200
    assert bench.figure("oldest_pending_seconds", route="mxf") == 60.0
    assert bench.figure("oldest_pending_seconds", route="mov") == 0.0
    assert bench.figure("last_arrival_timestamp_seconds", route="mxf") == 1960.0
    assert bench.figure("last_arrival_timestamp_seconds", route="mov") is None


FILES = st.builds(a_file, st.sampled_from(["a", "b"]), route=st.sampled_from(["mxf", "mov"]))
ENDS = st.sampled_from(["delivered", "kept", "failed", "remembered", "forgotten"])


def facts_of(file: FileVersion, end: str, retries: int) -> list[StatusEvent]:
    """The events of one transfer, from ready to its end."""
    moves = [a_move(Status.READY, file=file)]
    if end != "remembered":
        moves += [a_move(status, file=file) for status in (Status.IN_QUEUE, Status.COPYING)] * (retries + 1)
    delivery = None if end in ("failed", "remembered") else a_delivery(kept=end == "kept")
    last = Status.FAILED if delivery is None else Status.COMPLETED
    if end == "forgotten":
        return [*moves, Untracked((file.id,)), StatusChanged(file.id, Status.VERIFYING, 1.0)]
    return [*moves, a_move(last, file=file, delivery=delivery)]


@given(st.lists(st.tuples(FILES, ENDS, st.integers(0, 2)), max_size=20))
def test_every_outcome_is_counted_once(transfers: list[tuple[FileVersion, str, int]]) -> None:
    bench = Bench()
    for file, end, retries in transfers:
        bench.tell(*facts_of(file, end, retries))
    ends = Tally((file.route, end) for file, end, _ in transfers)
    figure = partial(figure_in, bench.samples())
    for route in ("mxf", "mov"):
        for result in ("delivered", "kept", "failed"):
            assert figure("files_total", route=route, result=result) == ends[route, result]
        arrived = ends[route, "delivered"] + ends[route, "kept"]
        assert figure("bytes_total", route=route) == 100 * arrived
        assert (figure("transfer_duration_seconds_count", route=route) or 0) == arrived


def test_all_upload_jobs_together_are_one_route() -> None:
    bench = Bench()
    jobs = [UploadJob(name, "/media", "archive", None, UploadState.PENDING, 1.0, 1.0) for name in "ab"]
    routes = [upload_route(job, Uploads()) for job in jobs]
    for at, route in enumerate(routes):
        bench.tell(RouteAdded(route))
        file = a_file("a.mxf", route=route.name)
        bench.tell(
            StatusChanged(file.id, Status.DISCOVERED, 5.0 + at, file),
            CounterIncremented("retry_local", route.name),
        )
    assert bench.figure("files_total", route="uploads", result="kept") == 0
    assert bench.figure("queue_files", route="uploads", status="Discovered") == 2
    assert bench.figure("queue_bytes", route="uploads") == 200
    assert bench.figure("retries_total", route="uploads", kind="local") == 2
    assert bench.figure("last_arrival_timestamp_seconds", route="uploads") == 6.0
    assert bench.figure("destination_up", route="uploads") == 0
    bench.tell(usable(routes[0].destination))
    assert bench.figure("destination_up", route="uploads") == 1
    bench.tell(unusable(routes[0].destination))
    assert bench.figure("destination_outage", route="uploads", reason="hung") == 1
    assert not [sample for sample in bench.samples() if sample.labels.get("route", "").startswith("upload:")]
