"""The read model: events of all actors are applied, snapshots and updates for clients come out."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from functools import lru_cache
from heapq import nsmallest
from typing import Any, assert_never

from attrs import define, evolve, field

from agent.actors.broadcaster.route_status import RouteStatus
from agent.config.sections import Route
from agent.messages.broadcaster import (
    ActorCrashed,
    ConfigRejected,
    GenerationStarted,
    JournalReplaced,
    JournalState,
    Recovered,
    RouteAdded,
    RouteRemoved,
    RouteState,
    StatusChanged,
    StatusesChanged,
    StatusEvent,
    Untracked,
)
from agent.messages.dispatcher import DestinationState, SourceState, TransferProgress
from agent.model.source_file import FileVersion, signature_from_bytes
from agent.model.transfer import Status
from agent.model.views import Event, FileStatus, FileView, Snapshot, Update

RECENT_FILES = 100
RECENT_EVENTS = 20
CACHED_STATUSES = 1000
SHOWN = slice(2, 4)  # of a signature's numbers: size and mtime
JOURNAL_REPLACED = "the journal was damaged and has been set aside, running copies begin again"


@define
class StatusModel:
    """Tracked files, the last completed ones, routes and events for the page. `flush` numbers the updates."""

    routes: dict[str, RouteStatus] = field(factory=dict, init=False)
    files: dict[str, FileView] = field(factory=dict, init=False)
    journal_error: str | None = field(default=None, init=False)
    _recent: OrderedDict[str, FileView] = field(factory=OrderedDict, init=False)
    _events: deque[Event] = field(factory=lambda: deque(maxlen=RECENT_EVENTS), init=False)
    _seq: int = field(default=0, init=False)
    _renamed: int = field(default=0, init=False)
    _changed: set[str] = field(factory=set, init=False)
    _removed: set[str] = field(factory=set, init=False)
    _stale_routes: set[str] = field(factory=set, init=False)
    _new_events: list[Event] = field(factory=list, init=False)

    def apply(self, event: StatusEvent) -> None:  # noqa: C901, PLR0912  one case per event
        match event:
            case StatusChanged():
                self._change_status(event)
                self._trim_recent()
            case StatusesChanged(changes):
                for each in changes:
                    self._change_status(each)
                self._trim_recent()
            case Untracked(file_ids):
                for file_id in file_ids:
                    self._remove(file_id)
            case TransferProgress():
                self._progress(event)
            case DestinationState(destination=destination):
                for route_status in self._routes_of(destination):
                    route_status.storage = event
            case Recovered(destination):
                for route_status in self._routes_of(destination):
                    route_status.recovered = True
            case SourceState(route=route):
                self.routes[route].source_changed(event)
                self._stale_routes.add(route)
            case RouteState(route, paused):
                self.routes[route].paused = paused
                self._stale_routes.add(route)
            case RouteAdded(opened):
                self._add_route(opened)
            case RouteRemoved(route):
                self._remove_route(route)
            case GenerationStarted():
                self._start_generation(event)
            case ActorCrashed(actor, error, at, delay_s):
                self._add_event(
                    Event(at, "error", f"{actor} failed and was restarted after {delay_s:g} s: {error}")
                )
            case ConfigRejected(reasons, at):
                self._add_event(Event(at, "warning", f"new configuration rejected: {'; '.join(reasons)}"))
            case JournalState(error, at):
                self.journal_error = error
                self._add_event(_journal_event(error, at))
            case JournalReplaced(damage, at):
                self._add_event(Event(at, "warning", f"{JOURNAL_REPLACED}: {damage}"))
            case _ as never:
                assert_never(never)

    def destination_states(self) -> tuple[DestinationState, ...]:
        """The present state of every destination that was probed."""
        states = [each.storage for each in self.routes.values() if each.storage]
        return tuple({state.destination: state for state in states}.values())

    def snapshot(self, at: float) -> Snapshot:
        """The state as of now, numbered as the last flush; the next update can be applied to it.

        Page events since the last flush are left out: the next update has them, and they would show twice.
        """
        files = (*self.files.values(), *self._recent.values())
        self._mark_changed_rates(at)  # `view` resets `rate_shown`: the next update must send these rates
        routes = tuple(route_status.view(at) for route_status in self.routes.values())
        events = tuple(self._events)[: max(0, len(self._events) - len(self._new_events))]
        return Snapshot(self._seq, files, routes, events, self.journal_error)

    def flush(self, at: float) -> Update | None:
        """The changes since the last flush; None: there are none."""
        self._mark_changed_rates(at)
        if not (self._changed or self._removed or self._stale_routes or self._new_events):
            return None
        self._seq += 1
        changed = tuple(view for view in map(self._find, self._changed) if view is not None)
        routes = tuple(self.routes[name].view(at) for name in self._stale_routes)
        update = Update(self._seq, changed, tuple(self._removed), routes, tuple(self._new_events))
        self._changed, self._removed, self._stale_routes, self._new_events = set(), set(), set(), []
        return update

    def _routes_of(self, destination: str) -> Iterator[RouteStatus]:
        for route_status in self.routes.values():
            if route_status.route.destination == destination:
                self._stale_routes.add(route_status.route.name)
                yield route_status

    def _mark_changed_rates(self, at: float) -> None:
        self._stale_routes.update(name for name, each in self.routes.items() if each.rate_changed(at))

    def _find(self, file_id: str) -> FileView | None:
        return self.files.get(file_id) or self._recent.get(file_id)

    def _start_generation(self, event: GenerationStarted) -> None:
        self._removed.update(self.files)
        self.files.clear()
        self.routes = {route.name: RouteStatus(route) for route in event.routes}
        for file in self._recent.values():
            if file.current.route in self.routes:
                self.routes[file.current.route].add(file)
        self._stale_routes = set(self.routes)

    def _add_route(self, route: Route) -> None:
        """Takes over the state of its destination from a route with the same one."""
        route_status = RouteStatus(route)
        for peer in self.routes.values():
            if peer.route.destination == route.destination:
                route_status.storage, route_status.recovered = peer.storage, peer.recovered
        self.routes[route.name] = route_status
        self._stale_routes.add(route.name)

    def _remove_route(self, route: str) -> None:
        """Its completed files stay among the recent ones."""
        self._removed.update(file.id for file in self.files.values() if file.current.route == route)
        self.files = {file.id: file for file in self.files.values() if file.current.route != route}
        del self.routes[route]
        self._stale_routes.discard(route)

    def _add_event(self, event: Event) -> None:
        self._events.append(event)
        self._new_events.append(event)

    def _change_status(self, event: StatusChanged) -> None:
        before = self.files.get(event.file_id)
        if before is None and event.file is None:
            return  # no longer tracked
        if before is None and event.status is not Status.COMPLETED:
            self._rename_previous(event.file_id)
        route_status = self.routes[before.current.route if before else event.file.route]  # type: ignore[union-attr]
        if before is not None and event.file is not None and _is_delivered_as_other(before, event.file):
            self._recent[before.id] = before
            self._rename_previous(before.id)
            before = None
        if before is not None:
            route_status.remove(before)
        else:
            route_status.last_arrival_at = event.at
        after = _next_view(before or _first_seen(event.file, route_status), event)  # type: ignore[arg-type]
        route_status.add(after)
        self._mark_changed(after.id, route_status)
        if after.current.status is not Status.COMPLETED or after.current.kept_because is not None:
            self.files[after.id] = after
        else:
            self.files.pop(after.id, None)
            self._complete(after)

    def _mark_changed(self, file_id: str, route_status: RouteStatus) -> None:
        self._changed.add(file_id)
        self._removed.discard(file_id)
        self._stale_routes.add(route_status.route.name)

    def _rename_previous(self, file_id: str) -> None:
        """The same path arrives again: the row of its last delivery stays under another id."""
        old = self._recent.pop(file_id, None)
        if old is not None:
            self._renamed += 1
            row = evolve(old, id=f"{file_id}.{self._renamed}")
            self._recent[row.id] = row
            self._changed.add(row.id)

    def _complete(self, file: FileView) -> None:
        self._rename_previous(file.id)
        self._recent[file.id] = file

    def _trim_recent(self) -> None:
        """Keeps the `RECENT_FILES` that completed last."""
        surplus = len(self._recent) - RECENT_FILES
        if surplus <= 0:
            return
        for old in nsmallest(surplus, self._recent.values(), key=lambda file: file.current.completed_at or 0):
            del self._recent[old.id]
            self._removed.add(old.id)
            if old.current.route in self.routes:
                self.routes[old.current.route].remove(old)
                self._stale_routes.add(old.current.route)

    def _remove(self, file_id: str) -> None:
        file = self.files.pop(file_id, None)
        if file is not None:
            self.routes[file.current.route].remove(file)
            self._removed.add(file_id)
            self._stale_routes.add(file.current.route)

    def _progress(self, event: TransferProgress) -> None:
        file = self.files.get(event.file_id)
        if file is None:
            return
        route_status = self.routes[file.current.route]
        route_status.rate.add(max(0, event.copied_bytes - file.current.copied_bytes), event.at)
        copied, verified = event.copied_bytes, event.verified_bytes
        current = evolve(file.current, copied_bytes=copied, verified_bytes=verified)
        self.files[file.id] = evolve(file, current=current)
        self._mark_changed(file.id, route_status)


def _journal_event(error: str | None, at: float) -> Event:
    if error is None:
        return Event(at, "warning", "the journal can be written again, copies go on")
    return Event(at, "error", f"nothing can be written down, copies wait: {error}")


def _is_delivered_as_other(view: FileView, file: FileVersion) -> bool:
    """Whether the file has changed since it was delivered and could not be removed."""
    is_delivered = view.current.status is Status.COMPLETED
    return is_delivered and view.packed_signature != file.packed_signature


def _first_seen(file: FileVersion, route_status: RouteStatus) -> FileView:
    current = FileStatus(route_status.route.name, route_status.route.source, Status.DISCOVERED)
    return FileView(file.id, file.path, file.packed_signature, file.discovered_at, current)


def _next_view(before: FileView, event: StatusChanged) -> FileView:
    packed_signature = before.packed_signature if event.file is None else event.file.packed_signature
    current = _file_status(_still_valid(before, packed_signature), event)
    match event.status:
        case Status.COPYING:
            current = evolve(current, started_at=event.at, completed_at=None)
        case Status.FAILED:
            current = evolve(current, completed_at=event.at)
        case Status.COMPLETED:
            current = _completed(current, event, signature_from_bytes(packed_signature).size_bytes)
    return FileView(before.id, before.path, packed_signature, before.discovered_at, current)


def _still_valid(view: FileView, packed_signature: bytes) -> FileStatus:
    """The part of the current status that still holds when the file has this signature."""
    before, after = signature_from_bytes(view.packed_signature), signature_from_bytes(packed_signature)
    if view.packed_signature == packed_signature or before.numbers[SHOWN] == after.numbers[SHOWN]:
        return view.current
    if view.current.status is Status.GROWING and after.size_bytes >= view.current.copied_bytes:
        return view.current  # what was copied is still valid
    return FileStatus(view.current.route, view.current.source, view.current.status, view.current.why)


def _file_status(before: FileStatus, event: StatusChanged) -> FileStatus:
    attempts = before.attempts if event.attempts is None else event.attempts
    error = before.error if attempts or event.attempts is None else None
    why = before.why if event.why is None else event.why
    return _evolve_cached(
        before,
        status=event.status,
        why=why,
        until_at=event.until_at,
        kept_because=None,
        attempts=attempts,
        error=error if event.error is None else event.error,
    )


@lru_cache(CACHED_STATUSES)
def _evolve_cached(current: FileStatus, **changes: Any) -> FileStatus:  # noqa: ANN401  fields of FileStatus
    """As `evolve`, but files that change alike share one object."""
    return evolve(current, **changes)


def _completed(current: FileStatus, event: StatusChanged, size_bytes: int) -> FileStatus:
    done = evolve(
        current, completed_at=event.at, copied_bytes=size_bytes, verified_bytes=size_bytes, error=None
    )
    if event.delivery is None:
        return done
    delivery = event.delivery
    return evolve(
        done,
        destination_path=delivery.destination_path,
        verified_level=delivery.level,
        hash=delivery.hash,
        kept_because=delivery.kept_because,
        started_at=delivery.started_at if current.started_at is None else current.started_at,
    )
