"""Prometheus metrics (CONTRACT section 6): counters from the events, gauges from the read model."""

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
    """`count` takes every event; `render` is the answer to a scrape."""

    def __init__(self, model: StatusModel, version: str) -> None:
        self._model = model
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
        self._gauges = _Gauges(model)
        registry.register(self._gauges)
        ProcessCollector(registry=registry)

    def count(self, event: object) -> None:  # noqa: C901  one case per event
        """Count an event, before it is applied to the model; events that no counter needs are ignored."""
        match event:
            case StatusChanged(status=Status.COMPLETED, file=file) if (
                file is not None and event.delivery is not None
            ):
                self._ended(event, "kept" if event.delivery.kept else "delivered")
            case StatusesChanged(changes):
                for each in changes:
                    self.count(each)
            case StatusChanged(status=Status.FAILED):
                self._ended(event, "failed")
            case CounterIncremented("verify_failure", route):
                self._verify_failures.labels(self._label(route)).inc()
            case CounterIncremented("watch_overflow", route):
                self._overflows.labels(self._label(route)).inc()
            case CounterIncremented(what, route):
                self._retries.labels(self._label(route), what.removeprefix("retry_")).inc()
            case ActorCrashed(actor):
                self._restarts.labels(actor).inc()
            case GenerationStarted(routes):
                self._start_at_zero(route.metrics_label for route in routes)
            case RouteAdded(opened):
                self._start_at_zero((opened.metrics_label,))

    def clients(self, number: int) -> None:
        self._clients.set(number)

    def render(self, at: float) -> bytes:
        """Prometheus text format 0.0.4, as of the wall time `at`."""
        self._gauges.at = at
        return generate_latest(self._registry)

    def _ended(self, event: StatusChanged, result: str) -> None:
        file = self._model.files.get(event.file_id)
        if file is None or file.current.status in (Status.READY, event.status):
            return  # it ended in an earlier run, and this is the journal's record of it
        label = self._label(file.current.route)
        self._files.labels(label, result).inc()
        if event.delivery is not None:
            self._bytes.labels(label).inc(event.delivery.size_bytes)
            started_at = (
                event.delivery.started_at if file.current.started_at is None else file.current.started_at
            )
            if started_at is not None:
                self._duration.labels(label).observe(max(0.0, event.at - started_at))

    def _label(self, route: str) -> str:
        """All upload jobs share one label, so that their number does not matter."""
        route_status = self._model.routes.get(route)
        return route_status.route.metrics_label if route_status else route

    def _start_at_zero(self, routes: Iterable[str]) -> None:
        """Prometheus computes a rate only from a counter that had a zero before."""
        for route in routes:
            for result in RESULTS:
                self._files.labels(route, result)
            for kind in ("local", "outage"):
                self._retries.labels(route, kind)
            for metric in (self._bytes, self._verify_failures, self._overflows):
                metric.labels(route)


class _Gauges(Collector):
    """Values of the model at the time of the scrape, `at`."""

    def __init__(self, model: StatusModel) -> None:
        self._model = model
        self.at = 0.0

    def collect(self) -> Iterator[GaugeMetricFamily]:
        routes = self._model.routes.values()
        yield _family("queue_files", "Files by status.", "status", _by_status(routes), _sum)
        bytes_each = _each(routes, lambda route: route.queue_bytes)
        yield _family("queue_bytes", "Bytes not delivered yet.", None, bytes_each, _sum)
        yield _family("destination_up", "1 while it can be used.", None, _each(routes, _up), min)
        yield _family("destination_outage", "1 for the reason of an outage.", "reason", _outages(routes), max)
        yield _family("destination_free_bytes", "Free space.", None, _each(routes, _free), min)
        arrivals = _each(routes, lambda route: route.last_arrival_at)
        yield _family("last_arrival_timestamp_seconds", "When a new file was last seen.", None, arrivals, max)
        text = "Age of the oldest file not delivered."
        yield _family("oldest_pending_seconds", text, None, self._oldest(), max)

    def _oldest(self) -> Iterator[Sample]:
        first_at = dict.fromkeys(self._model.routes, self.at)
        for file in self._model.files.values():
            if file.current.status in PENDING:
                first_at[file.current.route] = min(first_at[file.current.route], file.discovered_at)
        routes = self._model.routes
        return ((routes[name].route.metrics_label, None, self.at - at) for name, at in first_at.items())


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


def _each(routes: Iterable[RouteStatus], figure: Callable[[RouteStatus], float | None]) -> Iterator[Sample]:
    for route in routes:
        value = figure(route)
        if value is not None:
            yield route.route.metrics_label, None, value


def _by_status(routes: Iterable[RouteStatus]) -> Iterator[Sample]:
    return (
        (route.route.metrics_label, status.value, route.counts[status])
        for route in routes
        for status in Status
    )


def _up(route: RouteStatus) -> float:
    return float(route.storage is not None and route.storage.reason is None)


def _free(route: RouteStatus) -> float | None:
    return route.storage.free_bytes if route.storage else None


def _outages(routes: Iterable[RouteStatus]) -> Iterator[Sample]:
    for route in routes:
        now = route.storage.reason if route.storage else None
        for reason in OutageReason:
            yield route.route.metrics_label, reason.value, float(reason is now)
