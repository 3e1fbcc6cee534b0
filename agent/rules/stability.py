"""When is a file finished? By our own observation, never by its times against the clock (promise S4)."""

import enum
import heapq
import math
import sys
from collections.abc import Iterator

from attrs import define, evolve, field, frozen

from agent.config import Route
from agent.messages import Forgotten, Gone, Growing, Moved, Moves, Ready, Scan, SourceState
from agent.rules.growth import Growth
from agent.rules.naming import file_id
from agent.rules.terminal import size_text
from agent.rules.unreadable import shown
from agent.terms import Container, Entry, Evidence, Signature, SourceFile, Status, Writer

SPARE_ASKS = 100
TOLD_AT_ONCE = 1000


class Phase(enum.Enum):
    """How far a file is on its way out of the tracker's hands."""

    WATCHED = "watched"
    HELD = "held"
    ANNOUNCED = "announced"


@define
class Tracked:
    """One file and what we have seen of it. `still_since_s`: when we first saw its present signature.

    `followed`: it has been announced as growing.
    """

    file: SourceFile
    still_since_s: float
    still_since_at: float
    phase: Phase = Phase.WATCHED
    has_grown: bool = False
    followed: bool = False
    growth: Growth = field(factory=Growth)
    ask_s: float = math.inf
    shown: Moved | None = None

    @property
    def is_announced(self) -> bool:
        """Whether the dispatcher knows of it."""
        return self.followed or self.phase is Phase.ANNOUNCED


@frozen
class Decisions:
    """What follows from a scan: messages for the dispatcher and facts for the broadcaster, in this order."""

    facts: tuple[Moves | Forgotten | SourceState, ...]
    orders: tuple[Ready | Growing | Gone, ...]


@define
class StabilityRule:
    """Follows the files of one route from first sight until they are ready."""

    route: Route
    _tracked: dict[str, Tracked] = field(factory=dict, init=False)
    _asks: list[tuple[float, str]] = field(
        factory=list, init=False
    )  # a heap; what was set anew lingers in it

    def scanned(self, scan: Scan) -> Decisions:
        """Take in what stands in the source now."""
        moved: list[Moved] = []
        orders: list[Ready | Growing | Gone] = []
        for entry in scan.entries:
            self._seen(entry, scan, moved, orders)
        gone = self._vanished(scan)
        orders += [Gone(item.file, scan.at, changed=False) for item in gone if item.is_announced]
        unknown = tuple(item.file.id for item in gone if not item.is_announced)
        facts: list[Moves | Forgotten | SourceState] = [Moves(some) for some in _batched(moved)]
        if unknown:
            facts.append(Forgotten(unknown))
        if scan.looked is None:
            unreadable = shown(scan.unseen)
            began_s = scan.began_s
            facts.append(SourceState(self.route.name, None, scan.free_bytes, scan.at, unreadable, began_s))
        return Decisions(tuple(facts), tuple(orders))

    def due_s(self) -> float:
        """When the next close look is wanted, on the monotonic clock; infinity: none is."""
        while self._asks and not self._is_wanted(*self._asks[0]):
            heapq.heappop(self._asks)
        return self._asks[0][0] if self._asks else math.inf

    def looks(self, now_s: float) -> tuple[str, ...]:
        """The files to examine now. Each is asked for again after `scan` if no answer comes."""
        due = []
        while self.due_s() <= now_s:
            path = heapq.heappop(self._asks)[1]
            self._ask(self._tracked[path], now_s + self.route.scan_s)
            due.append(path)
        return tuple(due)

    def _ask(self, item: Tracked, at_s: float) -> None:
        item.ask_s = at_s
        if not math.isfinite(at_s):
            return
        heapq.heappush(self._asks, (at_s, item.file.path))
        if len(self._asks) > 2 * len(self._tracked) + SPARE_ASKS:
            asks = ((each.ask_s, path) for path, each in self._tracked.items())
            self._asks = [ask for ask in asks if math.isfinite(ask[0])]
            heapq.heapify(self._asks)

    def _is_wanted(self, at_s: float, path: str) -> bool:
        item = self._tracked.get(path)
        return item is not None and item.ask_s == at_s

    def _seen(
        self, entry: Entry, scan: Scan, moved: list[Moved], orders: list[Ready | Growing | Gone]
    ) -> None:
        item = self._tracked.get(entry.path)
        if item is None:
            item = self._first_seen(entry, scan)
        elif item.file.signature != entry.signature:
            orders += self._changed(item, entry.signature, scan)
        elif item.phase is Phase.ANNOUNCED:
            return
        elif entry.evidence is not None:
            self._examined(item, entry.evidence, scan, orders)
        fact = self._shown_as(item, entry.evidence, scan)
        if fact is not None:
            moved.append(fact)

    def _first_seen(self, entry: Entry, scan: Scan) -> Tracked:
        name = self.route.name
        file = SourceFile(file_id(name, entry.path), name, entry.path, entry.signature, scan.at)
        item = self._tracked[entry.path] = Tracked(file, scan.ended_s, scan.at)
        self._schedule_look(item)
        return item

    def _changed(self, item: Tracked, signature: Signature, scan: Scan) -> Iterator[Growing | Gone]:
        goes_on = item.growth.seen(item.file.signature, signature, scan.ended_s - item.still_since_s)
        if item.phase is Phase.ANNOUNCED or (item.followed and not goes_on):
            yield Gone(item.file, scan.at, changed=True)
            item.followed = False
        item.has_grown = signature.size_bytes > item.file.signature.size_bytes
        item.file = evolve(item.file, signature=signature)
        item.still_since_s = scan.ended_s
        item.still_since_at = scan.at
        item.phase = Phase.WATCHED
        self._schedule_look(item)
        if item.has_grown and item.growth.may_be_followed(signature, self.route):
            item.followed = True
            yield Growing(item.file, scan.at)

    def _schedule_look(self, item: Tracked) -> None:
        empty = item.file.signature.size_bytes == 0
        self._ask(item, math.inf if empty else item.still_since_s + self._shortest_s())

    def _shortest_s(self) -> float:
        return min(self.route.stable_s, self.route.stable_closed_s or math.inf)

    def _required_s(self, evidence: Evidence) -> float:
        closed = evidence.writer is Writer.NONE and evidence.container is Container.CLOSED
        return self._shortest_s() if closed else self.route.stable_s

    def _examined(
        self, item: Tracked, evidence: Evidence, scan: Scan, orders: list[Ready | Growing | Gone]
    ) -> None:
        """Decide on a file that stood still up to a look; the look began at `scan.began_s`."""
        if item.file.signature.size_bytes == 0:
            return
        if scan.began_s - item.still_since_s < self._required_s(evidence):
            self._ask(item, item.still_since_s + self._required_s(evidence))
        elif evidence.writer is Writer.OPEN:
            item.phase = Phase.WATCHED
            self._ask(item, scan.began_s + self.route.scan_s)
        elif _unfinished(evidence) and self.route.unfinished == "hold":
            item.phase = Phase.HELD
            item.ask_s = math.inf
        else:
            item.phase = Phase.ANNOUNCED
            item.followed = False
            item.ask_s = math.inf
            orders.append(Ready(item.file, scan.at))

    def _shown_as(self, item: Tracked, evidence: Evidence | None, scan: Scan) -> Moved | None:
        """What visitors read, if it differs from what they read already."""
        if evidence is None and item.shown is not None and item.shown.file == item.file:
            return None
        status, why = _in_words(item, evidence, self.route)
        until_at = None
        if math.isfinite(item.ask_s) and status in (Status.DISCOVERED, Status.GROWING):
            until_at = item.still_since_at + (item.ask_s - item.still_since_s)
        fact = Moved(item.file.id, status, scan.at, item.file, why, until_at)
        if item.shown is not None and evolve(fact, at=item.shown.at) == item.shown:
            return None
        item.shown = fact
        return fact

    def _vanished(self, scan: Scan) -> list[Tracked]:
        unseen = {each.folder for each in scan.unseen}
        hidden = tuple(folder + "/" for folder in unseen)
        there = unseen.union(entry.path for entry in scan.entries)
        expected = self._tracked if scan.looked is None else scan.looked
        gone = [
            path
            for path in expected
            if path in self._tracked and path not in there and not path.startswith(hidden)
        ]
        return [self._tracked.pop(path) for path in gone]


def _batched(moved: list[Moved]) -> Iterator[tuple[Moved, ...]]:
    """So many at once that whoever shows them can do something else in between."""
    for start in range(0, len(moved), TOLD_AT_ONCE):
        yield tuple(moved[start : start + TOLD_AT_ONCE])


def _unfinished(evidence: Evidence) -> bool:
    return evidence.container in (Container.OPEN, Container.TRUNCATED)


def _in_words(item: Tracked, evidence: Evidence | None, route: Route) -> tuple[Status, str]:
    status = Status.GROWING if item.has_grown or item.followed else Status.DISCOVERED
    if item.phase is Phase.ANNOUNCED:
        return Status.READY, "finished: waits for its turn"
    if item.phase is Phase.HELD and evidence is not None:
        return Status.HELD, f"unfinished recording, no writer left: {evidence.container_detail}"
    if item.file.signature.size_bytes == 0:
        return status, "empty: a file of 0 bytes is never ready"
    meanwhile = (
        f"copied while it grows, at {size_text(item.growth.rate_bytes_s)}/s; " if item.followed else ""
    )
    if evidence is not None and evidence.writer is Writer.OPEN:
        return status, meanwhile + "a process holds it open for writing"
    # One text for all those that wait alike.
    return status, sys.intern(meanwhile + f"must stay unchanged for {route.stable_s:g} s")
