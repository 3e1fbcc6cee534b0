"""When is a file finished? By our own observation, never by its times against the clock (promise S4)."""

import enum
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from attrs import define, evolve, field, frozen

from agent.config import Route
from agent.messages import Forgotten, Gone, Growing, Moved, Moves, Ready, Scan, Seen, SourceState
from agent.rules.asks import Asks
from agent.rules.growth import Growth
from agent.rules.naming import file_id
from agent.rules.terminal import size_text
from agent.rules.unreadable import shown
from agent.terms import Container, Entry, Evidence, Signature, SourceFile, Status, Writer, unpacked

SPARE_ASKS = 100
TOLD_AT_ONCE = 1000
ASKED_AT_ONCE = 1000
SHARED = 1000
NOT_GROWN = Growth()


class Phase(enum.Enum):
    """How far a file is on its way out of the tracker's hands."""

    WATCHED = "watched"
    HELD = "held"
    ANNOUNCED = "announced"


@frozen(weakref_slot=False)
class Standing:
    """How a file stands; one object serves all that stand alike, as those do that one scan has found.

    `since_s`, `since_at`: when its present signature was first seen. `ask_s`: when it is to be looked at
    closely. `status`, `why`, `until_at`: what visitors read; None: nothing about this signature so far.
    """

    discovered_at: float
    since_s: float
    since_at: float
    phase: Phase = Phase.WATCHED
    ask_s: float = math.inf
    status: Status | None = None
    why: str = ""
    until_at: float | None = None


@lru_cache(SHARED)
def _but(standing: Standing, **changes: Any) -> Standing:  # noqa: ANN401  whatever a standing has
    """This one but for these: the same object for all that change alike."""
    return evolve(standing, **changes)


@define(weakref_slot=False)
class Tracked:
    """One file and what we have seen of it. `scan`: the number of the last whole scan that saw it.

    `growth`: None until it changes.
    """

    id: str
    path: str
    state: bytes
    standing: Standing
    scan: int
    growth: Growth | None = None

    @property
    def signature(self) -> Signature:
        return unpacked(self.state)

    @property
    def is_followed(self) -> bool:
        return self.growth is not None and self.growth.followed

    @property
    def is_announced(self) -> bool:
        """Whether the dispatcher knows of it."""
        return self.is_followed or self.standing.phase is Phase.ANNOUNCED


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
    _asks: Asks = field(factory=Asks, init=False)
    _scan: int = field(default=0, init=False)  # the number of the whole scan that began last
    _scan_began_s: float | None = field(default=None, init=False)  # None: it has ended

    def scanned(self, scan: Seen | Scan) -> Decisions:
        """Take in what stands in the source now."""
        moved: list[Moved] = []
        orders: list[Ready | Growing | Gone] = []
        is_whole = isinstance(scan, Seen) or scan.looked is None
        if is_whole and self._scan_began_s != scan.began_s:
            self._scan_began_s = scan.began_s
            self._scan += 1
        for entry in scan.entries:
            item = self._seen(entry, scan, moved, orders)
            item.scan = self._scan if is_whole else item.scan
        facts: list[Moves | Forgotten | SourceState] = [Moves(some) for some in _batched(moved)]
        if isinstance(scan, Scan):
            facts += self._ended(scan, orders)
        return Decisions(tuple(facts), tuple(orders))

    def _ended(self, scan: Scan, orders: list[Ready | Growing | Gone]) -> Iterator[Forgotten | SourceState]:
        """What was to be seen has been seen."""
        gone = self._vanished(scan)
        orders += [Gone(self._file(item), scan.at, changed=False) for item in gone if item.is_announced]
        unknown = tuple(item.id for item in gone if not item.is_announced)
        if unknown:
            yield Forgotten(unknown)
        if scan.looked is None:
            self._scan_began_s = None
            unreadable = shown(scan.unseen)
            yield SourceState(self.route.name, None, scan.free_bytes, scan.at, unreadable, scan.began_s)

    def due_s(self) -> float:
        """When the next close look is wanted, on the monotonic clock; infinity: none is."""
        return self._asks.due_s(self._is_wanted)

    def looks(self, now_s: float) -> tuple[str, ...]:
        """The files to examine now, or the first of many; empty: no more.

        Each is asked for again after `scan` if no answer comes.
        """
        due: list[str] = []
        while len(due) < ASKED_AT_ONCE and self.due_s() <= now_s:
            path = self._asks.pop()
            self._ask(self._tracked[path], now_s + self.route.scan_s)
            due.append(path)
        return tuple(due)

    def _ask(self, item: Tracked, at_s: float) -> None:
        item.standing = _but(item.standing, ask_s=at_s)
        if not math.isfinite(at_s):
            return
        self._asks.add(at_s, item.path)
        if len(self._asks) > 2 * len(self._tracked) + SPARE_ASKS:
            asks = ((each.standing.ask_s, path) for path, each in self._tracked.items())
            self._asks.renew(ask for ask in asks if math.isfinite(ask[0]))

    def _is_wanted(self, at_s: float, path: str) -> bool:
        item = self._tracked.get(path)
        return item is not None and item.standing.ask_s == at_s

    def _file(self, item: Tracked) -> SourceFile:
        discovered_at = item.standing.discovered_at
        return SourceFile(item.id, self.route.name, item.path, item.state, discovered_at)

    def _seen(
        self, entry: Entry, scan: Seen | Scan, moved: list[Moved], orders: list[Ready | Growing | Gone]
    ) -> Tracked:
        item = self._tracked.get(entry.path)
        if item is None:
            item = self._first_seen(entry, scan)
        elif item.state != entry.state:
            orders += self._changed(item, entry, scan)
        elif item.standing.phase is Phase.ANNOUNCED:
            return item
        elif entry.evidence is not None:
            self._examined(item, entry.evidence, scan, orders)
        fact = self._shown_as(item, entry.evidence, scan)
        if fact is not None:
            moved.append(fact)
        return item

    def _first_seen(self, entry: Entry, scan: Seen | Scan) -> Tracked:
        standing = Standing(scan.at, scan.ended_s, scan.at)
        each_id = file_id(self.route.name, entry.path)
        item = Tracked(each_id, entry.path, entry.state, standing, self._scan)
        self._tracked[entry.path] = item
        self._schedule_look(item)
        return item

    def _changed(self, item: Tracked, entry: Entry, scan: Seen | Scan) -> Iterator[Growing | Gone]:
        before = item.standing
        growth = item.growth = item.growth or Growth()
        goes_on = growth.seen(item.signature, entry.signature, scan.ended_s - before.since_s)
        if before.phase is Phase.ANNOUNCED or (growth.followed and not goes_on):
            yield Gone(self._file(item), scan.at, changed=True)
            growth.followed = False
        item.state = entry.state
        item.standing = Standing(before.discovered_at, scan.ended_s, scan.at)
        self._schedule_look(item)
        if growth.has_grown and growth.may_be_followed(item.signature, self.route):
            growth.followed = True
            yield Growing(self._file(item), scan.at)

    def _schedule_look(self, item: Tracked) -> None:
        empty = item.signature.size_bytes == 0
        self._ask(item, math.inf if empty else item.standing.since_s + self._shortest_s())

    def _shortest_s(self) -> float:
        return min(self.route.stable_s, self.route.stable_closed_s or math.inf)

    def _required_s(self, evidence: Evidence) -> float:
        closed = evidence.writer is Writer.NONE and evidence.container is Container.CLOSED
        return self._shortest_s() if closed else self.route.stable_s

    def _examined(
        self,
        item: Tracked,
        evidence: Evidence,
        scan: Seen | Scan,
        orders: list[Ready | Growing | Gone],
    ) -> None:
        """Decide on a file that stood still up to a look; the look began at `scan.began_s`."""
        since_s = item.standing.since_s
        if item.signature.size_bytes == 0:
            return
        if scan.began_s - since_s < self._required_s(evidence):
            self._ask(item, since_s + self._required_s(evidence))
        elif evidence.writer is Writer.OPEN:
            self._put(item, Phase.WATCHED, scan.began_s + self.route.scan_s)
        elif _unfinished(evidence) and self.route.unfinished == "hold":
            self._put(item, Phase.HELD)
        else:
            self._put(item, Phase.ANNOUNCED)
            if item.growth is not None:
                item.growth.followed = False
            orders.append(Ready(self._file(item), scan.at))

    def _put(self, item: Tracked, phase: Phase, ask_s: float = math.inf) -> None:
        item.standing = _but(item.standing, phase=phase)
        self._ask(item, ask_s)

    def _shown_as(self, item: Tracked, evidence: Evidence | None, scan: Seen | Scan) -> Moved | None:
        """What visitors read, if it differs from what they read already."""
        before = item.standing
        if evidence is None and before.status is not None:
            return None
        status, why = _in_words(item, evidence, self.route)
        until_at = None
        if math.isfinite(before.ask_s) and status in (Status.DISCOVERED, Status.GROWING):
            until_at = before.since_at + (before.ask_s - before.since_s)
        standing = _but(before, status=status, why=why, until_at=until_at)
        if standing == before:
            return None
        item.standing = standing
        return Moved(item.id, status, scan.at, self._file(item), standing.why, standing.until_at)

    def _vanished(self, scan: Scan) -> list[Tracked]:
        unseen = {each.folder for each in scan.unseen}
        hidden = tuple(folder + "/" for folder in unseen)
        gone = [
            item
            for item in self._missing(scan)
            if item.path not in unseen and not item.path.startswith(hidden)
        ]
        for item in gone:
            del self._tracked[item.path]
        return gone

    def _missing(self, scan: Scan) -> Iterator[Tracked]:
        if scan.looked is None:
            return (item for item in self._tracked.values() if item.scan != self._scan)
        there = {entry.path for entry in scan.entries}
        return (self._tracked[path] for path in scan.looked if path in self._tracked and path not in there)


def _batched(moved: list[Moved]) -> Iterator[tuple[Moved, ...]]:
    """So many at once that whoever shows them can do something else in between."""
    for start in range(0, len(moved), TOLD_AT_ONCE):
        yield tuple(moved[start : start + TOLD_AT_ONCE])


def _unfinished(evidence: Evidence) -> bool:
    return evidence.container in (Container.OPEN, Container.TRUNCATED)


def _in_words(item: Tracked, evidence: Evidence | None, route: Route) -> tuple[Status, str]:
    growth = item.growth or NOT_GROWN
    status = Status.GROWING if growth.has_grown or growth.followed else Status.DISCOVERED
    if item.standing.phase is Phase.ANNOUNCED:
        return Status.READY, "finished: waits for its turn"
    if item.standing.phase is Phase.HELD and evidence is not None:
        return Status.HELD, f"unfinished recording, no writer left: {evidence.container_detail}"
    if item.signature.size_bytes == 0:
        return status, "empty: a file of 0 bytes is never ready"
    meanwhile = f"copied while it grows, at {size_text(growth.rate_bytes_s)}/s; " if growth.followed else ""
    if evidence is not None and evidence.writer is Writer.OPEN:
        return status, meanwhile + "a process holds it open for writing"
    return status, meanwhile + f"must stay unchanged for {route.stable_s:g} s"
