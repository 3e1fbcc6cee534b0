"""Counters from the facts, gauges from the view, in Prometheus' words (CONTRACT section 6)."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from agent.actors.broadcaster.route_status import PENDING, RouteStatus
from agent.actors.broadcaster.status_model import StatusModel
from agent.messages.broadcaster import (
    ActorCrashed,
    CounterIncremented,
    GenerationStarted,
    RouteAdded,
    StatusChanged,
    StatusesChanged,
)
from agent.model.errors import OutageReason
from agent.model.transfer import Status

PREFIX = "transfer_agent_"
DURATION_BUCKETS_S = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400)
RESULTS = ("delivered", "kept", "failed")
Sample = tuple[str, str | None, float]  # route, the second label if there is one, figure


class Metrics:
    """Feed it every fact with `count`; `render` is what a scrape gets."""

    def __init__(self, view: StatusModel, version: str) -> None:
        self._view = view
        self._registry = registry = CollectorRegistry()
        self._files = Counter(PREFIX + "files", "Transfers ended.", ["route", "result"], registry=registry)
        self._bytes = Counter(PREFIX + "bytes", "Bytes delivered.", ["route"], registry=registry)
        self._duration = Histogram(
            PREFIX + "transfer_duration_seconds",
            "From the start of the copy to the end of the transfer.",
            ["route"],
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )
        self._verify_failures = Counter(
            PREFIX + "verify_failures", "Blocks that read back altered.", ["route"], registry=registry
        )
        self._retries = Counter(
            PREFIX + "retries", "Copies begun again.", ["route", "kind"], registry=registry
        )
        self._overflows = Counter(
            PREFIX + "watch_overflows", "Event queues that overflowed.", ["route"], registry=registry
        )
        self._restarts = Counter(
            PREFIX + "actor_restarts", "Actors that failed and were restarted.", ["actor"], registry=registry
        )
        self._clients = Gauge(PREFIX + "websocket_clients", "Live feeds.", registry=registry)
        Gauge(PREFIX + "build_info", "Always 1.", ["version"], registry=registry).labels(version).set(1)
        self._gauges = _Gauges(view)
        registry.register(self._gauges)
        ProcessCollector(registry=registry)

    def count(self, fact: object) -> None:  # noqa: C901  one line per fact
        """Take in a fact, before the view does; what does not count is ignored."""
        match fact:
            case StatusChanged(status=Status.COMPLETED, file=file) if (
                file is not None and fact.delivery is not None
            ):
                self._ended(fact, "kept" if fact.delivery.kept else "delivered")
            case StatusesChanged(moved):
                for each in moved:
                    self.count(each)
            case StatusChanged(status=Status.FAILED):
                self._ended(fact, "failed")
            case CounterIncremented("verify_failure", route):
                self._verify_failures.labels(self._label(route)).inc()
            case CounterIncremented("watch_overflow", route):
                self._overflows.labels(self._label(route)).inc()
            case CounterIncremented(what, route):
                self._retries.labels(self._label(route), what.removeprefix("retry_")).inc()
            case ActorCrashed(actor):
                self._restarts.labels(actor).inc()
            case GenerationStarted(routes):
                self._begin_at_zero(route.metrics_label for route in routes)
            case RouteAdded(opened):
                self._begin_at_zero((opened.metrics_label,))

    def clients(self, number: int) -> None:
        self._clients.set(number)

    def render(self, at: float) -> bytes:
        """Prometheus text format 0.0.4, as of the wall time `at`."""
        self._gauges.at = at
        return generate_latest(self._registry)

    def _ended(self, fact: StatusChanged, result: str) -> None:
        file = self._view.files.get(fact.file_id)
        if file is None or file.current.status in (Status.READY, fact.status):
            return  # it ended in an earlier run; the journal has only reminded us
        label = self._label(file.current.route)
        self._files.labels(label, result).inc()
        if fact.delivery is not None:
            self._bytes.labels(label).inc(fact.delivery.size_bytes)
            started_at = (
                fact.delivery.started_at if file.current.started_at is None else file.current.started_at
            )
            if started_at is not None:
                self._duration.labels(label).observe(max(0.0, fact.at - started_at))

    def _label(self, route: str) -> str:
        """All upload jobs have one, so that their number does not matter."""
        board = self._view.routes.get(route)
        return board.route.metrics_label if board else route

    def _begin_at_zero(self, routes: Iterable[str]) -> None:
        """A rate needs the zero before the first event."""
        for route in routes:
            for result in RESULTS:
                self._files.labels(route, result)
            for kind in ("local", "outage"):
                self._retries.labels(route, kind)
            for metric in (self._bytes, self._verify_failures, self._overflows):
                metric.labels(route)


class _Gauges(Collector):
    """What the view knows at the time of the scrape, `at`."""

    def __init__(self, view: StatusModel) -> None:
        self._view = view
        self.at = 0.0

    def collect(self) -> Iterator[GaugeMetricFamily]:
        boards = self._view.routes.values()
        yield _family("queue_files", "Files by status.", "status", _by_status(boards), _sum)
        bytes_each = _each(boards, lambda board: board.queue_bytes)
        yield _family("queue_bytes", "Bytes not delivered yet.", None, bytes_each, _sum)
        yield _family("destination_up", "1 while it can be used.", None, _each(boards, _up), min)
        yield _family("destination_outage", "1 for the reason of an outage.", "reason", _outages(boards), max)
        yield _family("destination_free_bytes", "Free space.", None, _each(boards, _free), min)
        arrivals = _each(boards, lambda board: board.last_arrival_at)
        yield _family("last_arrival_timestamp_seconds", "When a new file was last seen.", None, arrivals, max)
        text = "Age of the oldest file not delivered."
        yield _family("oldest_pending_seconds", text, None, self._oldest(), max)

    def _oldest(self) -> Iterator[Sample]:
        first_at = dict.fromkeys(self._view.routes, self.at)
        for file in self._view.files.values():
            if file.current.status in PENDING:
                first_at[file.current.route] = min(first_at[file.current.route], file.discovered_at)
        boards = self._view.routes
        return ((boards[route].route.metrics_label, None, self.at - at) for route, at in first_at.items())


def _sum(one: float, other: float) -> float:
    return one + other


def _family(
    name: str,
    text: str,
    second: str | None,
    samples: Iterable[Sample],
    merge: Callable[[float, float], float],
) -> GaugeMetricFamily:
    """`merge` makes one figure of those that have one label, as all upload jobs do."""
    figures: dict[tuple[str, ...], float] = {}
    for route, value, figure in samples:
        labels: tuple[str, ...] = (route,) if value is None else (route, value)
        figures[labels] = merge(figures[labels], figure) if labels in figures else figure
    family = GaugeMetricFamily(PREFIX + name, text, labels=["route", second] if second else ["route"])
    for labels, figure in figures.items():
        family.add_metric(labels, figure)
    return family


def _each(boards: Iterable[RouteStatus], figure: Callable[[RouteStatus], float | None]) -> Iterator[Sample]:
    for board in boards:
        value = figure(board)
        if value is not None:
            yield board.route.metrics_label, None, value


def _by_status(boards: Iterable[RouteStatus]) -> Iterator[Sample]:
    return (
        (board.route.metrics_label, status.value, board.counts[status])
        for board in boards
        for status in Status
    )


def _up(board: RouteStatus) -> float:
    return float(board.storage is not None and board.storage.reason is None)


def _free(board: RouteStatus) -> float | None:
    return board.storage.free_bytes if board.storage else None


def _outages(boards: Iterable[RouteStatus]) -> Iterator[Sample]:
    for board in boards:
        now = board.storage.reason if board.storage else None
        for reason in OutageReason:
            yield board.route.metrics_label, reason.value, float(reason is now)
