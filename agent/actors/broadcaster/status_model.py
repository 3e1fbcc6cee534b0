"""The single picture of the house: facts come in, snapshots and updates go out."""

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
    TransferProgress,
    Untracked,
)
from agent.messages.dispatcher import DestinationState, SourceState
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
    """Tracked files, the last completed ones, routes and events. `flush` numbers what changed."""

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

    def apply(self, fact: StatusEvent) -> None:  # noqa: C901, PLR0912  one line per fact
        match fact:
            case StatusChanged():
                self._change_status(fact)
                self._trim_recent()
            case StatusesChanged(moved):
                for each in moved:
                    self._change_status(each)
                self._trim_recent()
            case Untracked(file_ids):
                for file_id in file_ids:
                    self._forget(file_id)
            case TransferProgress():
                self._progress(fact)
            case DestinationState(destination=destination):
                for board in self._routes_of(destination):
                    board.storage = fact
            case Recovered(destination):
                for board in self._routes_of(destination):
                    board.recovered = True
            case SourceState(route=route):
                self.routes[route].source_changed(fact)
                self._stale_routes.add(route)
            case RouteState(route, paused):
                self.routes[route].paused = paused
                self._stale_routes.add(route)
            case RouteAdded(opened):
                self._add_route(opened)
            case RouteRemoved(route):
                self._remove_route(route)
            case GenerationStarted():
                self._start_generation(fact)
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
        boards = self.routes.values()
        return tuple({board.storage.destination: board.storage for board in boards if board.storage}.values())

    def snapshot(self, at: float) -> Snapshot:
        """All that is known as of the last flush and the facts since; the next update follows on it.

        Events are those of the last flush, since an update that tells of one twice shows it twice.
        """
        files = (*self.files.values(), *self._recent.values())
        self._mark_changed_rates(at)  # the others have to hear of the rates that this one is told
        routes = tuple(board.view(at) for board in self.routes.values())
        events = tuple(self._events)[: max(0, len(self._events) - len(self._new_events))]
        return Snapshot(self._seq, files, routes, events, self.journal_error)

    def flush(self, at: float) -> Update | None:
        """What changed since the last flush, None if nothing did."""
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
        for board in self.routes.values():
            if board.route.destination == destination:
                self._stale_routes.add(board.route.name)
                yield board

    def _mark_changed_rates(self, at: float) -> None:
        self._stale_routes.update(name for name, board in self.routes.items() if board.rate_changed(at))

    def _find(self, file_id: str) -> FileView | None:
        return self.files.get(file_id) or self._recent.get(file_id)

    def _start_generation(self, fact: GenerationStarted) -> None:
        self._removed.update(self.files)
        self.files.clear()
        self.routes = {route.name: RouteStatus(route) for route in fact.routes}
        for file in self._recent.values():
            if file.current.route in self.routes:
                self.routes[file.current.route].add(file)
        self._stale_routes = set(self.routes)

    def _add_route(self, route: Route) -> None:
        """What is known of its destination holds for it too."""
        board = RouteStatus(route)
        for peer in self.routes.values():
            if peer.route.destination == route.destination:
                board.storage, board.recovered = peer.storage, peer.recovered
        self.routes[route.name] = board
        self._stale_routes.add(route.name)

    def _remove_route(self, route: str) -> None:
        """Those of its files that have ended stay among the recent ones."""
        self._removed.update(file.id for file in self.files.values() if file.current.route == route)
        self.files = {file.id: file for file in self.files.values() if file.current.route != route}
        del self.routes[route]
        self._stale_routes.discard(route)

    def _add_event(self, event: Event) -> None:
        self._events.append(event)
        self._new_events.append(event)

    def _change_status(self, fact: StatusChanged) -> None:
        before = self.files.get(fact.file_id)
        if before is None and fact.file is None:
            return  # forgotten in the meantime
        if before is None and fact.status is not Status.COMPLETED:
            self._rename_previous(fact.file_id)
        board = self.routes[before.current.route if before else fact.file.route]  # type: ignore[union-attr]
        if before is not None:
            board.remove(before)
        else:
            board.last_arrival_at = fact.at
        after = _moved(before or _first_seen(fact.file, board), fact)  # type: ignore[arg-type]
        board.add(after)
        self._mark_changed(after.id, board)
        if after.current.status is Status.COMPLETED:
            self.files.pop(after.id, None)
            self._complete(after)
        else:
            self.files[after.id] = after

    def _mark_changed(self, file_id: str, board: RouteStatus) -> None:
        self._changed.add(file_id)
        self._removed.discard(file_id)
        self._stale_routes.add(board.route.name)

    def _rename_previous(self, file_id: str) -> None:
        """The same path arrives again: the row of its last delivery stays, under another id."""
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
        """The last completed ones are enough."""
        surplus = len(self._recent) - RECENT_FILES
        if surplus <= 0:
            return
        for old in nsmallest(surplus, self._recent.values(), key=lambda file: file.current.completed_at or 0):
            del self._recent[old.id]
            self._removed.add(old.id)
            if old.current.route in self.routes:
                self.routes[old.current.route].remove(old)
                self._stale_routes.add(old.current.route)

    def _forget(self, file_id: str) -> None:
        file = self.files.pop(file_id, None)
        if file is not None:
            self.routes[file.current.route].remove(file)
            self._removed.add(file_id)
            self._stale_routes.add(file.current.route)

    def _progress(self, fact: TransferProgress) -> None:
        file = self.files.get(fact.file_id)
        if file is None:
            return
        board = self.routes[file.current.route]
        board.rate.add(max(0, fact.copied_bytes - file.current.copied_bytes), fact.at)
        copied, verified = fact.copied_bytes, fact.verified_bytes
        course = evolve(file.current, copied_bytes=copied, verified_bytes=verified)
        self.files[file.id] = evolve(file, current=course)
        self._mark_changed(file.id, board)


def _journal_event(error: str | None, at: float) -> Event:
    if error is None:
        return Event(at, "warning", "the journal can be written again, copies go on")
    return Event(at, "error", f"nothing can be written down, copies wait: {error}")


def _first_seen(file: FileVersion, board: RouteStatus) -> FileView:
    course = FileStatus(board.route.name, board.route.source, Status.DISCOVERED)
    return FileView(file.id, file.path, file.packed_signature, file.discovered_at, course)


def _moved(before: FileView, fact: StatusChanged) -> FileView:
    state = before.packed_signature if fact.file is None else fact.file.packed_signature
    course = _file_status(_in_state(before, state), fact)
    match fact.status:
        case Status.COPYING:
            course = evolve(course, started_at=fact.at, completed_at=None)
        case Status.FAILED:
            course = evolve(course, completed_at=fact.at)
        case Status.COMPLETED:
            course = _completed(course, fact, signature_from_bytes(state).size_bytes)
    return FileView(before.id, before.path, state, before.discovered_at, course)


def _in_state(view: FileView, state: bytes) -> FileStatus:
    """What still holds of its course now that the file is in this state."""
    before, after = signature_from_bytes(view.packed_signature), signature_from_bytes(state)
    if view.packed_signature == state or before.numbers[SHOWN] == after.numbers[SHOWN]:
        return view.current
    if view.current.status is Status.GROWING and after.size_bytes >= view.current.copied_bytes:
        return view.current  # what was copied stays so
    return FileStatus(view.current.route, view.current.source, view.current.status, view.current.why)


def _file_status(before: FileStatus, fact: StatusChanged) -> FileStatus:
    attempts = before.attempts if fact.attempts is None else fact.attempts
    error = before.error if attempts or fact.attempts is None else None
    why = before.why if fact.why is None else fact.why
    return _evolve_cached(
        before,
        status=fact.status,
        why=why,
        until_at=fact.until_at,
        attempts=attempts,
        error=error if fact.error is None else fact.error,
    )


@lru_cache(CACHED_STATUSES)
def _evolve_cached(course: FileStatus, **changes: Any) -> FileStatus:  # noqa: ANN401  whatever a course has
    """This one but for these: the same object for all that change alike."""
    return evolve(course, **changes)


def _completed(course: FileStatus, fact: StatusChanged, size_bytes: int) -> FileStatus:
    done = evolve(
        course, completed_at=fact.at, copied_bytes=size_bytes, verified_bytes=size_bytes, error=None
    )
    if fact.delivery is None:
        return done
    delivery = fact.delivery
    return evolve(
        done,
        destination_path=delivery.destination_path,
        verified_level=delivery.level,
        hash=delivery.hash,
        started_at=delivery.started_at if course.started_at is None else course.started_at,
    )
