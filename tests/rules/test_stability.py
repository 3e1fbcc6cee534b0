import math
from collections.abc import Iterator

from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.samples import (
    CLOSED,
    QUIET,
    ROUTE,
    UNFINISHED,
    WRITTEN,
    a_file,
    a_look,
    a_scan,
    a_state,
    an_entry,
)

from agent.config import Route
from agent.messages import Forgotten, Gone, Moved, Moves, Ready, Scan, SourceState
from agent.rules.stability import Decisions, StabilityRule
from agent.terms import Container, Entry, Evidence, Signature, Status, Writer

QUICK = evolve(ROUTE, stable_closed_s=3.0)
DELIVER = evolve(ROUTE, unfinished="deliver")


def shown(decisions: Decisions) -> list[Moved]:
    return [moved for fact in decisions.facts if isinstance(fact, Moves) for moved in fact.moved]


def seen(rule: StabilityRule, entry: Entry, *looks: Scan) -> Decisions:
    """What follows from the last of these, after `entry` was first seen at 0 s."""
    decisions = rule.scanned(a_scan(entry))
    for look in looks:
        decisions = rule.scanned(look)
    return decisions


def test_a_new_file_is_watched_until_it_has_been_still() -> None:
    rule = StabilityRule(ROUTE)
    decisions = rule.scanned(a_scan(an_entry(), began_s=1.0, took_s=2.0))
    file = a_file(discovered_at=1003.0)
    why = "must stay unchanged for 10 s"
    assert shown(decisions) == [Moved(file.id, Status.DISCOVERED, 1003.0, file, why, until_at=1013.0)]
    assert decisions.orders == ()
    assert rule.due_s() == 13.0  # counted from the receipt of the scan
    assert rule.looks(12.9) == ()
    assert rule.looks(13.0) == ("a.mxf",)
    assert rule.due_s() == 17.0  # asked again after `scan`


def test_a_file_that_stood_still_is_ready() -> None:
    decisions = seen(StabilityRule(ROUTE), an_entry(), a_look(an_entry(evidence=QUIET), began_s=10.0))
    file = a_file(discovered_at=1000.0)
    assert decisions.orders == (Ready(file, 1010.0),)
    assert [(moved.status, moved.why) for moved in shown(decisions)] == [
        (Status.READY, "finished: waits for its turn")
    ]


def test_a_look_that_began_too_early_proves_nothing_whenever_it_arrives() -> None:
    rule = StabilityRule(ROUTE)
    decisions = seen(rule, an_entry(), a_look(an_entry(evidence=QUIET), began_s=9.9, took_s=60.0))
    assert decisions.orders == ()
    assert rule.due_s() == 10.0


def test_a_closed_container_without_a_writer_needs_the_shorter_wait_only() -> None:
    rule = StabilityRule(QUICK)
    assert seen(rule, an_entry(), a_look(an_entry(evidence=QUIET), began_s=3.0)).orders == ()
    assert rule.due_s() == 10.0
    written = Evidence(Writer.UNKNOWN, Container.CLOSED)
    assert rule.scanned(a_look(an_entry(evidence=written), began_s=4.0)).orders == ()
    assert len(rule.scanned(a_look(an_entry(evidence=CLOSED), began_s=5.0)).orders) == 1


def test_the_shorter_wait_is_never_the_longer_one() -> None:
    rule = StabilityRule(evolve(ROUTE, stable_closed_s=99.0))
    assert len(seen(rule, an_entry(), a_look(an_entry(evidence=CLOSED), began_s=10.0)).orders) == 1


def test_a_file_held_open_for_writing_is_looked_at_again() -> None:
    rule = StabilityRule(ROUTE)
    decisions = seen(rule, an_entry(), a_look(an_entry(evidence=WRITTEN), began_s=10.0))
    assert decisions.orders == ()
    assert [moved.why for moved in shown(decisions)] == ["a process holds it open for writing"]
    assert rule.due_s() == 14.0


def test_an_unfinished_container_is_held_until_the_file_changes() -> None:
    rule = StabilityRule(ROUTE)
    decisions = seen(rule, an_entry(), a_look(an_entry(evidence=UNFINISHED), began_s=10.0))
    assert decisions.orders == ()
    assert [(moved.status, moved.why, moved.until_at) for moved in shown(decisions)] == [
        (
            Status.HELD,
            "unfinished recording, no writer left: the header partition is open",
            None,
        )
    ]
    assert rule.due_s() == math.inf
    assert shown(rule.scanned(a_scan(an_entry(), began_s=20.0))) == []  # still held
    grown = an_entry(size_bytes=200, version=2)
    assert [moved.status for moved in shown(rule.scanned(a_scan(grown, began_s=30.0)))] == [Status.GROWING]
    assert rule.due_s() == 40.0


def test_a_writer_who_comes_back_ends_the_hold() -> None:
    rule = StabilityRule(ROUTE)
    seen(rule, an_entry(), a_look(an_entry(evidence=UNFINISHED), began_s=10.0))
    decisions = rule.scanned(a_look(an_entry(evidence=WRITTEN), began_s=11.0))
    assert [moved.status for moved in shown(decisions)] == [Status.DISCOVERED]
    assert rule.due_s() == 15.0


def test_an_unfinished_container_is_delivered_where_the_route_says_so() -> None:
    decisions = seen(StabilityRule(DELIVER), an_entry(), a_look(an_entry(evidence=UNFINISHED), began_s=10.0))
    assert len(decisions.orders) == 1


def test_an_empty_file_is_never_ready_and_never_looked_at() -> None:
    rule = StabilityRule(ROUTE)
    decisions = rule.scanned(a_scan(an_entry(size_bytes=0)))
    assert [(moved.why, moved.until_at) for moved in shown(decisions)] == [
        ("empty: a file of 0 bytes is never ready", None)
    ]
    assert rule.due_s() == math.inf
    assert rule.scanned(a_look(an_entry(size_bytes=0, evidence=CLOSED), began_s=99.0)).orders == ()


def test_a_change_after_the_announcement_takes_it_back_and_starts_afresh() -> None:
    rule = StabilityRule(ROUTE)
    seen(rule, an_entry(), a_look(an_entry(evidence=QUIET), began_s=10.0))
    smaller = an_entry(size_bytes=50, version=2)
    decisions = rule.scanned(a_scan(smaller, began_s=20.0))
    assert decisions.orders == (Gone(a_file(discovered_at=1000.0), 1020.0, changed=True),)
    assert [moved.status for moved in shown(decisions)] == [Status.DISCOVERED]  # it did not grow
    assert rule.due_s() == 30.0


def test_what_is_ready_is_announced_and_shown_once() -> None:
    rule = StabilityRule(ROUTE)
    seen(rule, an_entry(), a_look(an_entry(evidence=QUIET), began_s=10.0))
    again = rule.scanned(a_look(an_entry(evidence=QUIET), began_s=20.0))
    assert (again.facts, again.orders) == ((), ())


def test_nothing_is_shown_twice() -> None:
    rule = StabilityRule(ROUTE)
    look = a_look(an_entry(evidence=WRITTEN), began_s=2.0)
    assert len(shown(seen(rule, an_entry(), look))) == 1
    assert shown(rule.scanned(evolve(look, at=1050.0))) == []


def test_a_file_that_vanished_is_forgotten_by_whoever_knows_of_it() -> None:
    rule = StabilityRule(ROUTE)
    young, announced = an_entry("young.mxf"), an_entry(evidence=QUIET)
    rule.scanned(a_scan(young, announced))
    rule.scanned(a_look(announced, began_s=10.0))
    decisions = rule.scanned(a_scan(began_s=20.0))
    assert decisions.orders == (Gone(a_file(discovered_at=1000.0), 1020.0, changed=False),)
    assert Forgotten((a_file("young.mxf").id,)) in decisions.facts


def test_only_what_was_looked_at_can_have_vanished() -> None:
    rule = StabilityRule(ROUTE)
    rule.scanned(a_scan(an_entry("a.mxf"), an_entry("b.mxf")))
    decisions = rule.scanned(a_scan(began_s=1.0, looked=("a.mxf", "unknown.mxf")))
    assert decisions.facts == (Forgotten((a_file("a.mxf").id,)),)


def test_what_lies_in_an_unseen_folder_has_not_vanished() -> None:
    rule = StabilityRule(ROUTE)
    rule.scanned(a_scan(an_entry("day/1/a.mxf"), an_entry("day1.mxf")))
    decisions = rule.scanned(a_scan(began_s=1.0, unseen=("day",)))
    assert Forgotten((a_file("day1.mxf").id,)) in decisions.facts
    assert rule.due_s() == 10.0


def test_a_whole_scan_says_that_the_source_can_be_read() -> None:
    rule = StabilityRule(ROUTE)
    assert rule.scanned(a_scan(began_s=1.0)).facts == (SourceState("mxf", None, 5, 1001.0),)
    assert rule.scanned(a_scan(began_s=1.0, looked=())).facts == ()
    assert rule.due_s() == math.inf


PATHS = ("a.mxf", "day/b.mxf", "day/c.mxf")
FOLDER = "day"
ROUTES = st.builds(
    evolve,
    st.just(ROUTE),
    stable_closed_s=st.sampled_from([None, 3.0]),
    unfinished=st.sampled_from(["hold", "deliver"]),
)
SECONDS = st.sampled_from([0.0, 0.5, 1.0, 3.0, 4.0, 7.0, 10.0, 11.0])
ONE = st.sampled_from(PATHS)
STEPS = st.one_of(
    st.tuples(st.just("write"), ONE, st.sampled_from([0, 10, 20]), st.sampled_from(Container)),
    st.tuples(st.just("remove"), ONE),
    st.tuples(st.just("open"), ONE, st.sampled_from(Writer)),
    st.tuples(st.just("wait"), SECONDS),
    st.tuples(st.just("scan"), SECONDS, st.booleans()),
    st.tuples(st.just("hint"), st.sets(ONE), SECONDS),
    st.tuples(st.just("look"), SECONDS),
)


@define
class Recorder:
    """A source that others write to, and the watcher that reports it to the rule under test."""

    rule: StabilityRule
    files: dict[str, tuple[Signature, Container]] = field(factory=dict)
    writers: dict[str, Writer] = field(factory=dict)
    now_s: float = 0.0
    version: int = 0

    def step(self, step: tuple[object, ...]) -> Scan | None:  # noqa: C901  one line per kind of step
        """Whatever the step is, time passes on both sides of a look at the source."""
        match step:
            case ("write", str(path), int(size_bytes), Container() as container):
                self.version += 1
                self.files[path] = (a_state(size_bytes, self.version), container)
            case ("remove", str(path)):
                self.files.pop(path, None)
            case ("open", str(path), Writer() as writer):
                self.writers[path] = writer
            case ("wait", float(seconds)):
                self.now_s += seconds
            case ("scan", float(seconds), bool(hidden)):
                return self._look(None, frozenset(), seconds, hidden)
            case ("hint", set() | frozenset() as paths, float(seconds)):
                return self._look(tuple(str(path) for path in paths), frozenset(), seconds)
            case ("look", float(seconds)):
                paths_due = self.rule.looks(self.now_s)
                return self._look(paths_due, frozenset(paths_due), seconds)
        return None

    def _look(
        self, looked: tuple[str, ...] | None, closely: frozenset[str], took_s: float, hidden: bool = False
    ) -> Scan:
        began_s = self.now_s
        entries = tuple(self._entries(PATHS if looked is None else looked, closely, hidden))
        self.now_s += took_s
        unseen = (FOLDER,) if hidden else ()
        return a_scan(*entries, began_s=began_s, took_s=took_s, looked=looked, unseen=unseen)

    def _entries(self, paths: tuple[str, ...], closely: frozenset[str], hidden: bool) -> Iterator[Entry]:
        for path in paths:
            if path in self.files and not (hidden and path.startswith(FOLDER)):
                signature, container = self.files[path]
                evidence = Evidence(self.writers.get(path, Writer.NONE), container)
                yield Entry(path, signature, evidence if path in closely else None)


@define
class Expectation:
    """Promise S4 once more: since when each file stands in its state, and what was said of it."""

    route: Route
    still: dict[str, tuple[Signature, float]] = field(factory=dict)
    announced: set[str] = field(factory=set)

    def orders(self, scan: Scan) -> set[tuple[type, str, bool]]:
        told: set[tuple[type, str, bool]] = set()
        for entry in scan.entries:
            told |= self._entry(entry, scan)
        for path in self._missing(scan):
            del self.still[path]
            if path in self.announced:
                self.announced.remove(path)
                told.add((Gone, path, False))
        return told

    def _entry(self, entry: Entry, scan: Scan) -> set[tuple[type, str, bool]]:
        path, signature = entry.path, entry.signature
        if self.still.get(path, (None, 0.0))[0] != signature:
            self.still[path] = (signature, scan.ended_s)
            was_announced = path in self.announced
            self.announced.discard(path)
            return {(Gone, path, True)} if was_announced else set()
        if path in self.announced or entry.evidence is None:
            return set()
        if self._is_finished(signature, entry.evidence, scan.began_s - self.still[path][1]):
            self.announced.add(path)
            return {(Ready, path, False)}
        return set()

    def _is_finished(self, signature: Signature, evidence: Evidence, still_s: float) -> bool:
        needed_s = self.route.stable_s
        if evidence.container is Container.CLOSED and evidence.writer is Writer.NONE:
            needed_s = self.route.stable_closed_s or needed_s
        unfinished = evidence.container in (Container.OPEN, Container.TRUNCATED)
        return (
            signature.size_bytes > 0
            and still_s >= needed_s
            and evidence.writer is not Writer.OPEN
            and not (unfinished and self.route.unfinished == "hold")
        )

    def _missing(self, scan: Scan) -> list[str]:
        present = {entry.path for entry in scan.entries}
        hidden = tuple(f"{folder}/" for folder in scan.unseen)
        looked = PATHS if scan.looked is None else scan.looked
        return [path for path in self.still if path in looked and path not in present | set(_below(hidden))]


def _below(folders: tuple[str, ...]) -> list[str]:
    return [path for path in PATHS if path.startswith(folders)]


def told_by(decisions: Decisions) -> set[tuple[type, str, bool]]:
    return {
        (type(order), order.file.path, isinstance(order, Gone) and order.changed)
        for order in decisions.orders
    }


@given(ROUTES, st.lists(STEPS, max_size=60))
def test_a_file_is_ready_exactly_when_promise_s4_allows_it(
    route: Route, steps: list[tuple[object, ...]]
) -> None:
    recorder, expectation = Recorder(StabilityRule(route)), Expectation(route)
    for step in steps:
        scan = recorder.step(step)
        if scan is not None:
            decisions = recorder.rule.scanned(scan)
            assert told_by(decisions) == expectation.orders(scan)
            assert len(decisions.orders) == len(told_by(decisions))
            assert all(
                order.file.signature == expectation.still[order.file.path][0]
                for order in decisions.orders
                if isinstance(order, Ready)
            )


@given(ROUTES, st.lists(STEPS, max_size=60))
def test_visitors_always_know_every_file_in_its_present_state(
    route: Route, steps: list[tuple[object, ...]]
) -> None:
    recorder, expectation = Recorder(StabilityRule(route)), Expectation(route)
    known: dict[str, Moved] = {}
    for step in steps:
        scan = recorder.step(step)
        if scan is None:
            continue
        decisions = recorder.rule.scanned(scan)
        expectation.orders(scan)
        for moved in shown(decisions):
            before = known.get(moved.file_id)
            assert before is None or evolve(moved, at=before.at) != before
            known[moved.file_id] = moved
        forgotten = {id_ for fact in decisions.facts if isinstance(fact, Forgotten) for id_ in fact.file_ids}
        forgotten |= {each.file.id for each in decisions.orders if isinstance(each, Gone) and not each.changed}
        for file_id in forgotten:
            del known[file_id]
        states = {moved.file.path: moved.file.signature for moved in known.values() if moved.file is not None}
        assert states == {path: signature for path, (signature, _) in expectation.still.items()}
        ready = {moved.file.path for moved in known.values() if moved.file and moved.status is Status.READY}
        assert ready == expectation.announced


@given(ROUTES, st.lists(STEPS, max_size=40))
def test_a_file_left_alone_is_ready_in_the_end(route: Route, steps: list[tuple[object, ...]]) -> None:
    recorder, expectation = Recorder(StabilityRule(route)), Expectation(route)

    def take(*steps: tuple[object, ...]) -> None:
        for step in steps:
            scan = recorder.step(step)
            if scan is not None:
                recorder.rule.scanned(scan)
                expectation.orders(scan)

    take(*steps)
    take(*(("open", path, Writer.NONE) for path in PATHS), ("scan", 0.0, False))
    while (due_s := recorder.rule.due_s()) < math.inf:
        assert due_s < recorder.now_s + 2 * route.stable_s
        recorder.now_s = max(recorder.now_s, due_s)
        take(("look", 0.5))
    held = {
        path
        for path, (_, container) in recorder.files.items()
        if route.unfinished == "hold" and container in (Container.OPEN, Container.TRUNCATED)
    }
    empty = {path for path, (signature, _) in recorder.files.items() if signature.size_bytes == 0}
    assert expectation.announced == recorder.files.keys() - held - empty
