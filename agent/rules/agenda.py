"""What the watcher looks at next: hints and wishes gather here until they are due."""

import math
from itertools import islice
from typing import assert_never

from attrs import define, field, frozen

from agent.messages import Hint, Listening, Look, WatcherInbox

LOOKED_AT_ONCE = 500  # a close look takes a while, and what it finds is held in memory
MANY_PATHS = 1000  # a whole scan is cheaper than this many single looks
FEW_FILES = 1000  # a whole scan of these costs nothing worth sparing

# How long to rest after a whole scan, in times of what it took, where events tell what happens meanwhile.
REST = 200
LONGEST_REST_S = 60.0
LEAST_REST = 10


@frozen
class Task:
    """`paths` None: scan everything. `closely`: examine these for writers and containers."""

    paths: tuple[str, ...] | None
    closely: frozenset[str] = frozenset()


@define
class Agenda:
    """A whole scan every `scan_s`; in between, what hints and the stability tracker name.

    `rests`: a scan of many files is followed by a rest that it is worth, if events come from the source.
    """

    scan_s: float
    rests: bool = False
    _listening: bool = field(default=True, init=False)
    _began_s: float = field(default=-math.inf, init=False)
    _scan_due_s: float = field(default=-math.inf, init=False)
    _touched: set[str] = field(factory=set, init=False)
    _wanted: set[str] = field(factory=set, init=False)
    _looked: bool = field(default=False, init=False)  # the last task was one of wishes

    def add(self, message: WatcherInbox) -> None:
        match message:
            case Hint(()):
                self._scan_due_s = -math.inf
            case Hint(paths):
                self._touched.update(paths)
            case Look(paths):
                self._wanted.update(paths)
            case Listening(active):
                self._listening = active
                if not active:
                    self._scan_due_s = min(self._scan_due_s, self._began_s + self.scan_s)
            case _ as never:
                assert_never(never)
        if len(self._touched) > MANY_PATHS:
            self._scan_due_s = -math.inf

    def scanned(self, files: int, ended_s: float) -> None:
        """The whole scan that was handed out last has found so many files."""
        if self.rests and self._listening and files > FEW_FILES:
            took_s = ended_s - self._began_s
            rest_s = max(min(REST * took_s, LONGEST_REST_S), LEAST_REST * took_s)
            self._scan_due_s = max(self._scan_due_s, ended_s + rest_s)

    def due_s(self) -> float:
        """When there is something to do; in the past: now."""
        return -math.inf if self._touched or self._wanted else self._scan_due_s

    def next(self, now_s: float) -> Task | None:
        """What to do now, and taken off the agenda. Wishes come first: a file waits for them.

        Many of them take turns with a scan that is due.
        """
        is_due = self._scan_due_s <= now_s
        if self._wanted and not (self._looked and is_due):
            self._looked = True
            closely = frozenset(islice(self._wanted, LOOKED_AT_ONCE))
            paths = tuple(closely | self._touched)
            self._wanted -= closely
            self._touched = set()
            return Task(paths, closely)
        self._looked = False
        if is_due:
            self._touched = set()
            self._began_s = now_s
            self._scan_due_s = now_s + self.scan_s
            return Task(None)
        if self._touched:
            paths, self._touched = tuple(self._touched), set()
            return Task(paths)
        return None
