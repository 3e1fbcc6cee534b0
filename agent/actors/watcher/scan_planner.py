"""What the watcher does next: events and requests to examine gather here until their time has come."""

import math
from collections.abc import Iterable
from itertools import islice
from typing import assert_never

from attrs import define, field, frozen

from agent.messages.watcher import Examine, PutBack, RemoveFolders, WatcherInbox, WatchEvent, WatchStatus
from agent.model.names import path_before_removal
from agent.model.source_file import ScannedFile

MAX_EXAMINED = 500  # an examination takes a while, and its results are held in memory
MANY_PATHS = 1000  # a whole scan is cheaper than this many single paths
CHEAP_SCAN_FILES = 1000  # a whole scan of these costs nothing worth sparing

# How long to rest after a whole scan, as a multiple of its duration, where events come meanwhile.
REST_FACTOR = 200
MAX_REST_S = 60.0
MIN_REST_FACTOR = 10


@frozen
class ScanTask:
    """`paths` None: scan everything. `closely`: examine these for writers and containers.

    `closed`: files that a writer was seen to close before this task. `private_paths`: first give these files
    their own names back. `is_patient`: a file that hung before, alone. `empty_folders`: scan nothing, but
    remove those of them that are empty.
    """

    paths: tuple[str, ...] | None
    closely: frozenset[str] = frozenset()
    closed: tuple[ScannedFile, ...] = ()
    private_paths: tuple[str, ...] = ()
    is_patient: bool = False
    empty_folders: tuple[str, ...] = ()


@define
class ScanPlanner:
    """A whole scan every `scan_s`; in between, the paths of events and of the stability tracker.

    `rests`: after a scan of many files there is a rest in proportion, if events come from the source.
    """

    scan_s: float
    rests: bool = False
    _watching: bool = field(default=True, init=False)
    _began_s: float = field(default=-math.inf, init=False)
    _scan_due_s: float = field(default=-math.inf, init=False)
    _changed: set[str] = field(factory=set, init=False)
    _to_examine: set[str] = field(factory=set, init=False)
    _closed: dict[str, ScannedFile] = field(factory=dict, init=False)
    _private_paths: set[str] = field(factory=set, init=False)
    _empty_folders: tuple[str, ...] = field(default=(), init=False)
    _examined: bool = field(default=False, init=False)  # the last task was an examination
    _suspects: set[str] = field(factory=set, init=False)  # they hung when they were examined last
    _scan_not_before_s: float = field(default=-math.inf, init=False)  # while files wait to be examined

    def add(self, message: WatcherInbox) -> None:
        match message:
            case WatchEvent(paths, closed):
                self._changed.update(path for path in paths if path not in self._suspects)
                self._closed.update((file.path, file) for file in closed)
                if not paths:
                    self._scan_due_s = -math.inf
            case Examine(paths):
                self._to_examine.update(paths)
            case PutBack(private_paths):
                self._private_paths.update(private_paths)
            case RemoveFolders(folders):
                self._empty_folders = folders  # those asked for before are among them
            case WatchStatus(active):
                self._watching = active
                if not active:
                    self._scan_due_s = min(self._scan_due_s, self._began_s + self.scan_s)
            case _ as never:
                assert_never(never)
        if len(self._changed) > MANY_PATHS:
            self._scan_due_s = -math.inf

    def scanned(self, files: int, ended_s: float) -> None:
        """The last whole scan has ended and found so many files."""
        self._scan_not_before_s = ended_s + (ended_s - self._began_s)
        if self.rests and self._watching and files > CHEAP_SCAN_FILES:
            took_s = ended_s - self._began_s
            rest_s = max(min(REST_FACTOR * took_s, MAX_REST_S), MIN_REST_FACTOR * took_s)
            self._scan_due_s = max(self._scan_due_s, ended_s + rest_s)

    def examined(self, task: ScanTask, left: Iterable[str], suspect: str | None) -> None:
        """The last examination has ended; what is `left` has its turn again, the file that hung alone."""
        self._suspects.difference_update(task.closely)
        if suspect is not None:
            self._suspects.add(suspect)
        for path in left:
            (self._to_examine if path in task.closely or path == suspect else self._changed).add(path)

    def due_s(self) -> float:
        """When the next task is due, on the monotonic clock; in the past: now."""
        is_due_now = self._changed or self._to_examine or self._private_paths or self._empty_folders
        return -math.inf if is_due_now else self._scan_due_s

    def next(self, now_s: float) -> ScanTask | None:
        """Take the task that is due now, None if there is none. Examinations come first: files wait for them.

        While many of them wait, scans that are due take half of the time. Those that hung come last.
        """
        if self._private_paths:
            private_paths, self._private_paths = tuple(self._private_paths), set()
            return ScanTask(tuple(map(path_before_removal, private_paths)), private_paths=private_paths)
        if self._empty_folders:
            empty_folders, self._empty_folders = self._empty_folders, ()
            return ScanTask((), empty_folders=empty_folders)
        is_due = self._scan_due_s <= now_s
        may_scan = is_due and self._examined and self._scan_not_before_s <= now_s
        if self._to_examine and not may_scan:
            self._examined = True
            return self._examination()
        self._examined = False
        if is_due:
            self._changed = set()
            self._began_s = now_s
            self._scan_due_s = now_s + self.scan_s
            return ScanTask(None, closed=self._take_closed())
        if self._changed:
            paths, self._changed = tuple(self._changed), set()
            return ScanTask(paths, closed=self._take_closed())
        return None

    def _take_closed(self) -> tuple[ScannedFile, ...]:
        closed, self._closed = tuple(self._closed.values()), {}
        return closed

    def _examination(self) -> ScanTask:
        closely = frozenset(islice(self._to_examine - self._suspects, MAX_EXAMINED))
        is_patient = not closely
        if is_patient:
            closely = frozenset(islice(self._to_examine, 1))
        paths = tuple(closely) if is_patient else tuple(closely | self._changed)
        self._to_examine -= closely
        self._changed.difference_update(paths)
        return ScanTask(paths, closely, self._take_closed(), is_patient=is_patient)
