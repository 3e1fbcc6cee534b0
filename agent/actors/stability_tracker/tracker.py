"""When a file is finished: by our own observation, never by its times against the clock (promise S4)."""

import math
from collections.abc import Iterator, Sequence

from attrs import define, evolve, field

from agent.actors.stability_tracker.emptied_folders import EmptiedFolders
from agent.actors.stability_tracker.growth import GrowthDetector
from agent.actors.stability_tracker.hold import finish_rule, hold_reason, unseen_writers
from agent.actors.stability_tracker.hung_files import HungFiles
from agent.actors.stability_tracker.recheck_queue import RecheckQueue
from agent.actors.stability_tracker.removed_files import RemovedFiles
from agent.actors.stability_tracker.tracked_file import (
    DueFiles,
    HeldFile,
    TrackedFile,
    TrackerDecisions,
    TrackState,
    UnreadPaths,
    evolve_cached,
    status_and_reason,
)
from agent.config.sections import Route
from agent.messages.broadcaster import StatusChanged, StatusesChanged, Untracked
from agent.messages.dispatcher import Gone, Growing, Ready, SourceState
from agent.messages.stability_tracker import (
    FilesRemoved,
    FilesUnfinished,
    FoldersTried,
    ScanChunk,
    ScanResult,
)
from agent.model.names import file_id
from agent.model.source_file import (
    ContainerState,
    FileVersion,
    FinishEvidence,
    ScannedFile,
    UnreadableFolder,
    WriterState,
)
from agent.model.transfer import SMALL_BYTES, Status

MAX_UNREADABLE = 20
SPARE_RECHECKS = 100
MAX_EVENT_FILES = 1000
MAX_DUE_FILES = 1000


@define
class StabilityTracker:
    """Follows the files of one route from first sight until they are ready."""

    route: Route
    _tracked: dict[str, TrackedFile] = field(factory=dict, init=False)
    _rechecks: RecheckQueue = field(factory=RecheckQueue, init=False)
    _hung: HungFiles = field(init=False)
    _removed: RemovedFiles = field(factory=RemovedFiles, init=False)
    _emptied: EmptiedFolders = field(init=False)
    _closed: dict[str, ScannedFile] = field(factory=dict, init=False)  # not scanned since they were closed
    _first_unseen: dict[str, HeldFile] = field(factory=dict, init=False)  # by cause
    _scan: int = field(default=0, init=False)  # the number of the whole scan that began last
    _scan_began_s: float | None = field(default=None, init=False)  # None: it has ended

    def __attrs_post_init__(self) -> None:
        self._hung = HungFiles(max(self.route.retry_delay_s, self.route.scan_s), self.route.max_attempts)
        self._emptied = EmptiedFolders(self.route.stable_s)

    def scanned(self, scan: ScanChunk | ScanResult) -> TrackerDecisions:
        """Take in a scan of the source, a part of one, or an examination."""
        changes: list[StatusChanged] = []
        messages: list[Ready | Growing | Gone] = []
        unseen_before = len(self._first_unseen)
        is_whole = isinstance(scan, ScanChunk) or scan.examined is None
        if is_whole and self._scan_began_s != scan.began_s:
            self._scan_began_s = scan.began_s
            self._scan += 1
        self._removed.forget_before(scan.began_s)
        self._closed.update((file.path, file) for file in scan.closed)
        for entry in scan.entries:
            if self._removed and self._removed.is_removed(entry.path, entry.packed_signature):
                continue
            item = self._seen(entry, scan, changes, messages)
            item.scan = self._scan if is_whole else item.scan
        if isinstance(scan, ScanResult):
            changes += filter(None, (self._set_aside(path, scan) for path in scan.hung))
        events: list[StatusesChanged | Untracked | SourceState] = [
            StatusesChanged(some) for some in _in_parts(changes)
        ]
        if isinstance(scan, ScanResult):
            events += self._ended(scan, messages)
        first_unseen = tuple(self._first_unseen.values())[unseen_before:]
        return TrackerDecisions(tuple(events), tuple(messages), first_unseen, self._empty_folders(scan))

    def unfinished(self, found: FilesUnfinished) -> TrackerDecisions:
        """Take back files that were reported unexamined: their copies found that they are not finished."""
        changes: list[StatusChanged] = []
        messages: list[Ready | Growing | Gone] = []
        unseen_before = len(self._first_unseen)
        for file, evidence in found.files:
            item = self._tracked.get(file.path)
            if item is None or not item.is_ready or item.packed_signature != file.packed_signature:
                continue
            item.track = evolve_cached(item.track, status=Status.DISCOVERED, why="", was_unfinished=True)
            if evidence is None:
                self._recheck_at(item, found.began_s)
            else:
                self._examined(item, evidence, found, messages)
            changes += filter(None, (self._status_changed(item, evidence, found),))
        events = tuple(StatusesChanged(some) for some in _in_parts(changes))
        return TrackerDecisions(events, tuple(messages), tuple(self._first_unseen.values())[unseen_before:])

    def remove(self, removed: FilesRemoved) -> None:
        """Drop files whose source was removed after delivery; one with another signature is a new file."""
        for file in removed.files:
            if self.route.remove_empty_folders:
                self._emptied.add(file.path, removed.removed_s)
            item = self._tracked.get(file.path)
            if item is not None and item.is_reported and item.packed_signature == file.packed_signature:
                del self._tracked[file.path]
                self._removed.add(file.path, file.packed_signature, removed.removed_s)

    def tried(self, result: FoldersTried) -> None:
        """Empty folders were removed, or were not empty any more."""
        self._emptied.tried(result)

    def _empty_folders(self, scan: ScanChunk | ScanResult) -> tuple[str, ...]:
        """Only after a whole scan, which shows that the source is there, and which files it has."""
        if isinstance(scan, ScanChunk) or scan.examined is not None:
            return ()
        return self._emptied.due(scan.began_s, self._tracked)

    def _ended(
        self, scan: ScanResult, messages: list[Ready | Growing | Gone]
    ) -> Iterator[Untracked | SourceState]:
        """The scan or examination has ended: what it should have listed and did not is gone."""
        unread = UnreadPaths(scan.unreadable)
        self._forget_closed(scan, unread)
        gone = self._vanished(scan, unread)
        messages += [Gone(self._file(item), scan.at, changed=False) for item in gone if item.is_reported]
        unknown = tuple(item.id for item in gone if not item.is_reported)
        if unknown:
            yield Untracked(unknown)
        if scan.examined is None:
            self._scan_began_s = None
            unreadable = first_unreadable(scan.unreadable)
            yield SourceState(self.route.name, None, scan.began_s, scan.at, scan.free_bytes, unreadable)

    def due_s(self) -> float:
        """When the next examination is due, on the monotonic clock; infinity: none is."""
        return self._rechecks.due_s(self._is_wanted)

    def due_files(self, now_s: float, at: float) -> DueFiles:
        """The files that have their turn now, or the first of many; empty: no more.

        Those to be examined are due again after `scan` if no result comes.
        """
        paths: list[str] = []
        ready: list[Ready] = []
        while len(paths) + len(ready) < MAX_DUE_FILES and self.due_s() <= now_s:
            item = self._tracked[self._rechecks.pop()]
            if self._is_examined_by_its_copy(item):
                ready.append(self._report_unexamined(item, now_s, at))
            else:
                self._recheck_at(item, now_s + self.route.scan_s)
                paths.append(item.path)
        return DueFiles(tuple(paths), tuple(ready))

    def _is_examined_by_its_copy(self, item: TrackedFile) -> bool:
        """A small file that has never changed: whoever reads it whole can tell whether it is finished."""
        is_untouched = item.growth is None and item.track.status is Status.DISCOVERED
        return is_untouched and not item.track.was_unfinished and item.signature.size_bytes <= SMALL_BYTES

    def _report_unexamined(self, item: TrackedFile, now_s: float, at: float) -> Ready:
        track = item.track
        must_be_closed = now_s - track.since_s < self.route.stable_s
        rule = finish_rule(self.route, was_closed=track.was_closed, must_be_closed=must_be_closed)
        item.track = evolve_cached(track, status=Status.READY)
        self._recheck_at(item, math.inf)
        return Ready(evolve(self._file(item), finish_rule=rule), at)

    def _recheck_at(self, item: TrackedFile, at_s: float) -> None:
        item.track = evolve_cached(item.track, recheck_s=at_s)
        if not math.isfinite(at_s):
            return
        self._rechecks.add(at_s, item.path)
        if len(self._rechecks) > 2 * len(self._tracked) + SPARE_RECHECKS:
            due = ((each.track.recheck_s, path) for path, each in self._tracked.items())
            self._rechecks.rebuild(each for each in due if math.isfinite(each[0]))

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
        changes: list[StatusChanged],
        messages: list[Ready | Growing | Gone],
    ) -> TrackedFile:
        item = self._tracked.get(entry.path)
        is_known = item is not None and item.packed_signature == entry.packed_signature
        if item is None:
            item = self._first_seen(entry, scan)
        elif not is_known:
            messages += self._changed(item, entry, scan)
        if self._closed:
            self._note_close(item, scan)
        if item.is_ready:
            return item
        if is_known and entry.evidence is not None:
            self._answered(item)
            self._examined(item, entry.evidence, scan, messages)
        event = self._status_changed(item, entry.evidence, scan)
        if event is not None:
            changes.append(event)
        return item

    def _set_aside(self, path: str, scan: ScanResult) -> StatusChanged | None:
        """The file did not answer when it was examined; after `max_attempts` times it is held."""
        item = self._tracked.get(path)
        if item is None or item.is_ready:
            return None
        times = self._hung.add(path)
        wait_s = self._hung.wait_s(times)
        self._recheck_at(item, scan.ended_s + wait_s)
        why = f"it does not answer: no sign of life for {self.route.stall_timeout_s:g} s, {times} times"
        status = Status.HELD if self._hung.is_held(times) else item.track.status
        item.track = evolve_cached(item.track, status=status, why=why, until_at=scan.at + wait_s)
        return StatusChanged(item.id, status, scan.at, self._file(item), why, item.track.until_at)

    def _answered(self, item: TrackedFile) -> None:
        if self._hung.discard(item.path) and item.track.status is Status.HELD:
            item.track = evolve_cached(item.track, status=Status.DISCOVERED)

    def _first_seen(self, entry: ScannedFile, scan: ScanChunk | ScanResult) -> TrackedFile:
        state = TrackState(scan.at, scan.ended_s, scan.at)
        each_id = file_id(self.route.name, entry.path)
        item = TrackedFile(each_id, entry.path, entry.packed_signature, state, self._scan)
        self._tracked[entry.path] = item
        self._schedule_examination(item)
        return item

    def _changed(
        self, item: TrackedFile, entry: ScannedFile, scan: ScanChunk | ScanResult
    ) -> Iterator[Growing | Gone]:
        before = item.track
        self._hung.discard(item.path)
        growth = item.growth = item.growth or GrowthDetector()
        is_longer = growth.seen(item.signature, entry.signature, scan.ended_s - before.since_s)
        if before.status is Status.READY or (growth.followed and not is_longer):
            yield Gone(self._file(item), scan.at, changed=True)
            growth.followed = False
        was_closed = before.was_closed and item.signature.has_content_of(entry.signature)
        item.packed_signature = entry.packed_signature
        item.track = TrackState(before.discovered_at, scan.ended_s, scan.at, was_closed=was_closed)
        self._schedule_examination(item)
        if growth.has_grown and growth.may_be_followed(item.signature, self.route):
            growth.followed = True
            yield Growing(self._file(item), scan.at)

    def _note_close(self, item: TrackedFile, scan: ScanChunk | ScanResult) -> None:
        """A close that came before this scan is evidence if the file has not been written to since then."""
        closed = self._closed.pop(item.path, None)
        if closed is None or not item.signature.has_content_of(closed.signature):
            return
        item.track = evolve_cached(item.track, was_closed=True)
        if item.track.status is Status.HELD:
            self._recheck_at(item, scan.ended_s)

    def _forget_closed(self, scan: ScanResult, unread: UnreadPaths) -> None:
        """What a scan should have listed and did not is gone, or no file of this route."""
        for path in tuple(self._closed) if scan.examined is None else scan.examined:
            if path not in unread:
                self._closed.pop(path, None)

    def _schedule_examination(self, item: TrackedFile) -> None:
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
        scan: ScanChunk | ScanResult | FilesUnfinished,
        messages: list[Ready | Growing | Gone],
    ) -> None:
        """Decide on a file that has not changed up to an examination, which began at `scan.began_s`."""
        since_s = item.track.since_s
        if item.signature.size_bytes == 0:
            return
        if scan.began_s - since_s < self._required_s(evidence):
            self._recheck_at(item, since_s + self._required_s(evidence))
        elif evidence.writer is WriterState.OPEN:
            if item.track.status is Status.HELD:
                item.track = evolve_cached(item.track, status=Status.DISCOVERED)
            self._recheck_at(item, scan.began_s + self.route.scan_s)
        else:
            is_held = self._is_held(item, evidence)
            item.track = evolve_cached(item.track, status=Status.HELD if is_held else Status.READY)
            self._recheck_at(item, math.inf)
            if not is_held:
                if item.growth is not None:
                    item.growth.followed = False
                messages.append(Ready(self._file(item), scan.at))

    def _is_held(self, item: TrackedFile, evidence: FinishEvidence) -> bool:
        was_closed = item.track.was_closed
        unseen = unseen_writers(evidence, self.route, was_closed=was_closed)
        if unseen:
            self._first_unseen.setdefault(unseen, HeldFile(item.path, unseen))
        return bool(hold_reason(evidence, self.route, was_closed=was_closed))

    def _status_changed(
        self,
        item: TrackedFile,
        evidence: FinishEvidence | None,
        scan: ScanChunk | ScanResult | FilesUnfinished,
    ) -> StatusChanged | None:
        """What the page shows, if that has changed; files that are ready are shown by the dispatcher."""
        before = item.track
        if before.status is Status.READY or (evidence is None and before.why):
            return None
        status, why = status_and_reason(item, evidence, self.route)
        until_at = None
        if math.isfinite(before.recheck_s) and status in (Status.DISCOVERED, Status.GROWING):
            until_at = before.since_at + (before.recheck_s - before.since_s)
        after = evolve_cached(before, status=status, why=why, until_at=until_at)
        if after == before:
            return None
        item.track = after
        return StatusChanged(item.id, status, scan.at, self._file(item), after.why, after.until_at)

    def _vanished(self, scan: ScanResult, unread: UnreadPaths) -> list[TrackedFile]:
        gone = [item for item in self._missing(scan) if item.path not in unread]
        for item in gone:
            del self._tracked[item.path]
            self._hung.discard(item.path)
        return gone

    def _missing(self, scan: ScanResult) -> Iterator[TrackedFile]:
        if scan.examined is None:
            return (item for item in self._tracked.values() if item.scan != self._scan)
        there = {entry.path for entry in scan.entries}
        return (self._tracked[path] for path in scan.examined if path in self._tracked and path not in there)


def first_unreadable(folders: Sequence[UnreadableFolder]) -> tuple[UnreadableFolder, ...]:
    """As many as the page shows, in alphabetical order."""
    return tuple(sorted(folders, key=lambda each: each.folder)[:MAX_UNREADABLE])


def _in_parts(changes: list[StatusChanged]) -> Iterator[tuple[StatusChanged, ...]]:
    """So few at once that the broadcaster handles other messages in between."""
    for start in range(0, len(changes), MAX_EVENT_FILES):
        yield tuple(changes[start : start + MAX_EVENT_FILES])
