"""The status of one route, as clients see it."""

from collections import Counter, deque

from attrs import asdict, define, field

from agent.config.sections import Route
from agent.messages.dispatcher import DestinationState, SourceState
from agent.model.transfer import Status
from agent.model.views import FileView, HeldFiles, Outage, RouteView

WINDOW_S = 5.0
MAX_HELD_REASONS = 3


@define
class Rate:
    _amounts: deque[tuple[float, int]] = field(factory=deque, init=False)
    _total_bytes: int = field(default=0, init=False)

    def add(self, amount_bytes: int, at: float) -> None:
        self._amounts.append((at, amount_bytes))
        self._total_bytes += amount_bytes

    def bytes_s(self, at: float) -> float:
        """The mean over the window that ends at `at`."""
        while self._amounts and self._amounts[0][0] <= at - WINDOW_S:
            self._total_bytes -= self._amounts.popleft()[1]
        return self._total_bytes / WINDOW_S


SHOWN_RULES = (
    "include",
    "exclude",
    "after",
    "archive",
    "stable_s",
    "stable_closed_s",
    "scan_s",
    "growing",
    "unfinished",
    "unseen_writers",
    "conflict",
    "verify",
    "workers",
    "max_attempts",
    "retry_delay_s",
    "source_marker",
    "remove_empty_folders",
    "marker",
    "mounted",
    "priority",
)


PENDING = frozenset(
    {
        Status.DISCOVERED,
        Status.GROWING,
        Status.READY,
        Status.IN_QUEUE,
        Status.COPYING,
        Status.VERIFYING,
        Status.PAUSED,
        Status.HELD,
    }
)


@define
class RouteStatus:
    """Counts, rate and storage of one route; `rate_shown` is the rate that clients got last."""

    route: Route
    paused: bool = False
    storage: DestinationState | None = None
    source: SourceState | None = None
    scanned: bool = False
    recovered: bool = False
    counts: Counter[Status] = field(factory=Counter)
    held: Counter[str] = field(factory=Counter)  # by reason
    queue_bytes: int = 0
    rate: Rate = field(factory=Rate)
    rate_shown: float = 0.0
    last_arrival_at: float | None = None

    def add(self, file: FileView) -> None:
        self.counts[file.current.status] += 1
        if file.current.status is Status.HELD:
            self.held[file.current.why] += 1
        if file.current.status in PENDING:
            self.queue_bytes += file.size_bytes

    def remove(self, file: FileView) -> None:
        self.counts[file.current.status] -= 1
        if file.current.status is Status.HELD:
            why = file.current.why
            self.held[why] -= 1
            if not self.held[why]:
                del self.held[why]
        if file.current.status in PENDING:
            self.queue_bytes -= file.size_bytes

    def source_changed(self, source: SourceState) -> None:
        self.source = source
        self.scanned = self.scanned or source.error is None

    def rate_changed(self, at: float) -> bool:
        """True if clients have another rate than the one at `at`."""
        return self.rate.bytes_s(at) != self.rate_shown

    def view(self, at: float) -> RouteView:
        self.rate_shown = self.rate.bytes_s(at)
        storage, source = self.storage, self.source
        rules = asdict(self.route)
        return RouteView(
            name=self.route.name,
            source=self.route.source,
            destination=self.route.destination,
            rules={name: rules[name] for name in SHOWN_RULES},
            paused=self.paused,
            counts={status.value: count for status, count in self.counts.items() if count},
            queue_bytes=self.queue_bytes,
            rate_bytes_s=self.rate_shown,
            outage=_outage(storage),
            checked=storage is not None,
            scanned=self.scanned,
            recovered=self.recovered,
            source_error=source.error if source else None,
            source_free_bytes=source.free_bytes if source else None,
            destination_free_bytes=storage.free_bytes if storage else None,
            destination_total_bytes=storage.total_bytes if storage else None,
            low_space_bytes=self.route.low_space_bytes,
            unreadable_folders=source.unreadable if source else (),
            held=tuple(HeldFiles(why, files) for why, files in self.held.most_common(MAX_HELD_REASONS)),
            upload_id=self.route.upload_id,
        )


def _outage(storage: DestinationState | None) -> Outage | None:
    if storage is None or storage.reason is None:
        return None
    return Outage(storage.reason, storage.since_at, storage.detail)
