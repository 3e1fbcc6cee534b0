"""When is a file finished? By our own observation, never by its times against the clock (promise S4)."""

import enum
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from attrs import define, evolve, field, frozen

from agent.actors.stability_tracker.growth import GrowthDetector
from agent.actors.stability_tracker.recheck_queue import RecheckQueue
from agent.actors.stability_tracker.removed_files import RemovedFiles
from agent.config.sections import Route
from agent.messages.broadcaster import StatusChanged, StatusesChanged, Untracked
from agent.messages.dispatcher import Gone, Growing, Ready, SourceState
from agent.messages.stability_tracker import FilesRemoved, ScanChunk, ScanResult
from agent.model.names import file_id
from agent.model.source_file import (
    ContainerState,
    FileVersion,
    FinishEvidence,
    ScannedFile,
    Signature,
    UnreadableFolder,
    WriterState,
    signature_from_bytes,
)
from agent.model.text import size_text
from agent.model.transfer import Status

MAX_UNREADABLE = 20


def first_unreadable(unseen: Sequence[UnreadableFolder]) -> tuple[UnreadableFolder, ...]:
    """As many as visitors are shown, in alphabetical order."""
    return tuple(sorted(unseen, key=lambda each: each.folder)[:MAX_UNREADABLE])


SPARE_RECHECKS = 100


MAX_EVENT_FILES = 1000


MAX_EXAMINED_FILES = 1000


CACHED_STATES = 1000


NOT_GROWN = GrowthDetector()


class TrackPhase(enum.Enum):
    """How far a file is on its way out of the tracker's hands."""

    WATCHED = "watched"
    HELD = "held"
    REPORTED = "announced"


@frozen(weakref_slot=False)
class TrackState:
    """How a file stands; one object serves all that stand alike, as those do that one scan has found.

    `since_s`, `since_at`: when its present signature was first seen. `recheck_s`: when it is to be looked at
    closely. `status`, `why`, `until_at`: what visitors read; None: nothing about this signature so far.
    """

    discovered_at: float
    since_s: float
    since_at: float
    phase: TrackPhase = TrackPhase.WATCHED
    recheck_s: float = math.inf
    status: Status | None = None
    why: str = ""
    until_at: float | None = None


@lru_cache(CACHED_STATES)
def _evolve_cached(standing: TrackState, **changes: Any) -> TrackState:  # noqa: ANN401  whatever a standing has
    """This one but for these: the same object for all that change alike."""
    return evolve(standing, **changes)


@define(weakref_slot=False)
class TrackedFile:
    """One file and what we have seen of it. `scan`: the number of the last whole scan that saw it.

    `growth`: None until it changes.
    """

    id: str
    path: str
    packed_signature: bytes
    track: TrackState
    scan: int
    growth: GrowthDetector | None = None

    @property
    def signature(self) -> Signature:
        return signature_from_bytes(self.packed_signature)

    @property
    def is_followed(self) -> bool:
        return self.growth is not None and self.growth.followed

    @property
    def is_reported(self) -> bool:
        """Whether the dispatcher knows of it."""
        return self.is_followed or self.track.phase is TrackPhase.REPORTED


@frozen
class TrackerDecisions:
    """What follows from a scan: messages for the dispatcher and facts for the broadcaster, in this order."""

    events: tuple[StatusesChanged | Untracked | SourceState, ...]
    messages: tuple[Ready | Growing | Gone, ...]


@define
class StabilityTracker:
    """Follows the files of one route from first sight until they are ready."""

    route: Route
    _tracked: dict[str, TrackedFile] = field(factory=dict, init=False)
    _rechecks: RecheckQueue = field(factory=RecheckQueue, init=False)
    _removed: RemovedFiles = field(factory=RemovedFiles, init=False)
    _scan: int = field(default=0, init=False)  # the number of the whole scan that began last
    _scan_began_s: float | None = field(default=None, init=False)  # None: it has ended

    def scanned(self, scan: ScanChunk | ScanResult) -> TrackerDecisions:
        """Take in what stands in the source now."""
        moved: list[StatusChanged] = []
        orders: list[Ready | Growing | Gone] = []
        is_whole = isinstance(scan, ScanChunk) or scan.examined is None
        if is_whole and self._scan_began_s != scan.began_s:
            self._scan_began_s = scan.began_s
            self._scan += 1
        self._removed.forget_before(scan.began_s)
        for entry in scan.entries:
            if self._removed and self._removed.is_removed(entry.path, entry.packed_signature):
                continue
            item = self._seen(entry, scan, moved, orders)
            item.scan = self._scan if is_whole else item.scan
        facts: list[StatusesChanged | Untracked | SourceState] = [
            StatusesChanged(some) for some in _batched(moved)
        ]
        if isinstance(scan, ScanResult):
            facts += self._ended(scan, orders)
        return TrackerDecisions(tuple(facts), tuple(orders))

    def remove(self, removed: FilesRemoved) -> None:
        """Drop files whose source was removed after delivery; one with another signature is a new file."""
        for file in removed.files:
            item = self._tracked.get(file.path)
            if item is not None and item.is_reported and item.packed_signature == file.packed_signature:
                del self._tracked[file.path]
                self._removed.add(file.path, file.packed_signature, removed.removed_s)

    def _ended(
        self, scan: ScanResult, orders: list[Ready | Growing | Gone]
    ) -> Iterator[Untracked | SourceState]:
        """What was to be seen has been seen."""
        gone = self._vanished(scan)
        orders += [Gone(self._file(item), scan.at, changed=False) for item in gone if item.is_reported]
        unknown = tuple(item.id for item in gone if not item.is_reported)
        if unknown:
            yield Untracked(unknown)
        if scan.examined is None:
            self._scan_began_s = None
            unreadable = first_unreadable(scan.unreadable)
            yield SourceState(self.route.name, None, scan.began_s, scan.at, scan.free_bytes, unreadable)

    def due_s(self) -> float:
        """When the next close look is wanted, on the monotonic clock; infinity: none is."""
        return self._rechecks.due_s(self._is_wanted)

    def due_paths(self, now_s: float) -> tuple[str, ...]:
        """The files to examine now, or the first of many; empty: no more.

        Each is asked for again after `scan` if no answer comes.
        """
        due: list[str] = []
        while len(due) < MAX_EXAMINED_FILES and self.due_s() <= now_s:
            path = self._rechecks.pop()
            self._recheck_at(self._tracked[path], now_s + self.route.scan_s)
            due.append(path)
        return tuple(due)

    def _recheck_at(self, item: TrackedFile, at_s: float) -> None:
        item.track = _evolve_cached(item.track, recheck_s=at_s)
        if not math.isfinite(at_s):
            return
        self._rechecks.add(at_s, item.path)
        if len(self._rechecks) > 2 * len(self._tracked) + SPARE_RECHECKS:
            asks = ((each.track.recheck_s, path) for path, each in self._tracked.items())
            self._rechecks.rebuild(ask for ask in asks if math.isfinite(ask[0]))

    def _is_wanted(self, at_s: float, path: str) -> bool:
        item = self._tracked.get(path)
        return item is not None and item.track.recheck_s == at_s

    def _file(self, item: TrackedFile) -> FileVersion:
        discovered_at = item.track.discovered_at
        return FileVersion(item.id, self.route.name, item.path, item.packed_signature, discovered_at)

    def _seen(
        self,
        entry: ScannedFile,
        scan: ScanChunk | ScanResult,
        moved: list[StatusChanged],
        orders: list[Ready | Growing | Gone],
    ) -> TrackedFile:
        item = self._tracked.get(entry.path)
        if item is None:
            item = self._first_seen(entry, scan)
        elif item.packed_signature != entry.packed_signature:
            orders += self._changed(item, entry, scan)
        elif item.track.phase is TrackPhase.REPORTED:
            return item
        elif entry.evidence is not None:
            self._examined(item, entry.evidence, scan, orders)
        fact = self._shown_as(item, entry.evidence, scan)
        if fact is not None:
            moved.append(fact)
        return item

    def _first_seen(self, entry: ScannedFile, scan: ScanChunk | ScanResult) -> TrackedFile:
        standing = TrackState(scan.at, scan.ended_s, scan.at)
        each_id = file_id(self.route.name, entry.path)
        item = TrackedFile(each_id, entry.path, entry.packed_signature, standing, self._scan)
        self._tracked[entry.path] = item
        self._schedule_look(item)
        return item

    def _changed(
        self, item: TrackedFile, entry: ScannedFile, scan: ScanChunk | ScanResult
    ) -> Iterator[Growing | Gone]:
        before = item.track
        growth = item.growth = item.growth or GrowthDetector()
        goes_on = growth.seen(item.signature, entry.signature, scan.ended_s - before.since_s)
        if before.phase is TrackPhase.REPORTED or (growth.followed and not goes_on):
            yield Gone(self._file(item), scan.at, changed=True)
            growth.followed = False
        item.packed_signature = entry.packed_signature
        item.track = TrackState(before.discovered_at, scan.ended_s, scan.at)
        self._schedule_look(item)
        if growth.has_grown and growth.may_be_followed(item.signature, self.route):
            growth.followed = True
            yield Growing(self._file(item), scan.at)

    def _schedule_look(self, item: TrackedFile) -> None:
        empty = item.signature.size_bytes == 0
        self._recheck_at(item, math.inf if empty else item.track.since_s + self._shortest_s())

    def _shortest_s(self) -> float:
        return min(self.route.stable_s, self.route.stable_closed_s or math.inf)

    def _required_s(self, evidence: FinishEvidence) -> float:
        closed = evidence.writer is WriterState.NONE and evidence.container is ContainerState.CLOSED
        return self._shortest_s() if closed else self.route.stable_s

    def _examined(
        self,
        item: TrackedFile,
        evidence: FinishEvidence,
        scan: ScanChunk | ScanResult,
        orders: list[Ready | Growing | Gone],
    ) -> None:
        """Decide on a file that stood still up to a look; the look began at `scan.began_s`."""
        since_s = item.track.since_s
        if item.signature.size_bytes == 0:
            return
        if scan.began_s - since_s < self._required_s(evidence):
            self._recheck_at(item, since_s + self._required_s(evidence))
        elif evidence.writer is WriterState.OPEN:
            self._put(item, TrackPhase.WATCHED, scan.began_s + self.route.scan_s)
        elif _unfinished(evidence) and self.route.unfinished == "hold":
            self._put(item, TrackPhase.HELD)
        else:
            self._put(item, TrackPhase.REPORTED)
            if item.growth is not None:
                item.growth.followed = False
            orders.append(Ready(self._file(item), scan.at))

    def _put(self, item: TrackedFile, phase: TrackPhase, ask_s: float = math.inf) -> None:
        item.track = _evolve_cached(item.track, phase=phase)
        self._recheck_at(item, ask_s)

    def _shown_as(
        self, item: TrackedFile, evidence: FinishEvidence | None, scan: ScanChunk | ScanResult
    ) -> StatusChanged | None:
        """What visitors read, if it differs from what they read already."""
        before = item.track
        if evidence is None and before.status is not None:
            return None
        status, why = _status_and_reason(item, evidence, self.route)
        until_at = None
        if math.isfinite(before.recheck_s) and status in (Status.DISCOVERED, Status.GROWING):
            until_at = before.since_at + (before.recheck_s - before.since_s)
        standing = _evolve_cached(before, status=status, why=why, until_at=until_at)
        if standing == before:
            return None
        item.track = standing
        return StatusChanged(item.id, status, scan.at, self._file(item), standing.why, standing.until_at)

    def _vanished(self, scan: ScanResult) -> list[TrackedFile]:
        unseen = {each.folder for each in scan.unreadable}
        hidden = tuple(folder + "/" for folder in unseen)
        gone = [
            item
            for item in self._missing(scan)
            if item.path not in unseen and not item.path.startswith(hidden)
        ]
        for item in gone:
            del self._tracked[item.path]
        return gone

    def _missing(self, scan: ScanResult) -> Iterator[TrackedFile]:
        if scan.examined is None:
            return (item for item in self._tracked.values() if item.scan != self._scan)
        there = {entry.path for entry in scan.entries}
        return (self._tracked[path] for path in scan.examined if path in self._tracked and path not in there)


def _batched(moved: list[StatusChanged]) -> Iterator[tuple[StatusChanged, ...]]:
    """So many at once that whoever shows them can do something else in between."""
    for start in range(0, len(moved), MAX_EVENT_FILES):
        yield tuple(moved[start : start + MAX_EVENT_FILES])


def _unfinished(evidence: FinishEvidence) -> bool:
    return evidence.container in (ContainerState.OPEN, ContainerState.TRUNCATED)


def _status_and_reason(
    item: TrackedFile, evidence: FinishEvidence | None, route: Route
) -> tuple[Status, str]:
    growth = item.growth or NOT_GROWN
    status = Status.GROWING if growth.has_grown or growth.followed else Status.DISCOVERED
    if item.track.phase is TrackPhase.REPORTED:
        return Status.READY, "finished: waits for its turn"
    if item.track.phase is TrackPhase.HELD and evidence is not None:
        return Status.HELD, f"unfinished recording, no writer left: {evidence.container_detail}"
    if item.signature.size_bytes == 0:
        return status, "empty: a file of 0 bytes is never ready"
    meanwhile = f"copied while it grows, at {size_text(growth.rate_bytes_s)}/s; " if growth.followed else ""
    if evidence is not None and evidence.writer is WriterState.OPEN:
        return status, meanwhile + "a process holds it open for writing"
    return status, meanwhile + f"must stay unchanged for {route.stable_s:g} s"
