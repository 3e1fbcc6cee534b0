"""Random lives of files, against promise S4 written down once more."""

import math
from collections.abc import Callable, Iterable, Iterator

from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from agent.actors.stability_tracker.tracked_file import TrackerDecisions
from agent.actors.stability_tracker.tracker import StabilityTracker
from agent.config.sections import Route
from agent.messages.broadcaster import StatusChanged, StatusesChanged, Untracked
from agent.messages.dispatcher import Gone, Ready
from agent.messages.stability_tracker import FilesRemoved, FilesUnfinished, ScanResult
from agent.model.names import file_id
from agent.model.source_file import (
    ContainerState,
    FileVersion,
    FinishEvidence,
    ScannedFile,
    Signature,
    UnreadableFolder,
    WriterState,
)
from agent.model.transfer import SMALL_BYTES, Status
from tests.samples import LARGE_BYTES, ROUTE, a_scan, a_state, but

UNSEEN = (WriterState.NOT_PERMITTED, WriterState.NOT_SUPPORTED)
PATHS = ("a.mxf", "day/b.mxf", "day/c.mxf")
FOLDER = "day"
ROUTES = st.builds(
    evolve,
    st.just(ROUTE),
    stable_closed_s=st.sampled_from([None, 3.0]),
    unfinished=st.sampled_from(["hold", "deliver"]),
    unseen_writers=st.sampled_from(["hold", "deliver"]),
)
SECONDS = st.sampled_from([0.0, 0.5, 1.0, 3.0, 4.0, 7.0, 10.0, 11.0])
ONE = st.sampled_from(PATHS)
SIZES = st.sampled_from([0, 10, 20, LARGE_BYTES, LARGE_BYTES + 10])
STEPS = st.one_of(
    st.tuples(st.just("write"), ONE, SIZES, st.sampled_from(ContainerState)),
    st.tuples(st.just("remove"), ONE),
    st.tuples(st.just("rename"), ONE),
    st.tuples(st.just("close"), ONE),
    st.tuples(st.just("event"), ONE),
    st.tuples(st.just("open"), ONE, st.sampled_from(WriterState)),
    st.tuples(st.just("wait"), SECONDS),
    st.tuples(st.just("scan"), SECONDS, st.booleans()),
    st.tuples(st.just("hint"), st.sets(ONE), SECONDS),
    st.tuples(st.just("look"), SECONDS),
    st.tuples(st.just("copy")),
    st.tuples(st.just("deliver"), ONE, SECONDS, SECONDS),
)

TIMELINES = st.one_of(st.lists(STEPS), st.lists(STEPS, min_size=40, max_size=100))


@define
class Recorder:
    """A source that others write to, and the watcher that reports it to the tracker under test.

    `unexamined`: files that were reported and not copied yet; `reported`: those of the last step.

    `closing`: their close was not noticed yet; `closed`: noticed, and how each was found then; the last
    `unsent` of these go with the next scan.
    """

    tracker: StabilityTracker
    closing: set[str] = field(factory=set)
    closed: list[ScannedFile] = field(factory=list)
    unsent: int = 0
    files: dict[str, tuple[Signature, ContainerState]] = field(factory=dict)
    writers: dict[str, WriterState] = field(factory=dict)
    now_s: float = 0.0
    version: int = 0
    unexamined: list[FileVersion] = field(factory=list)
    reported: tuple[FileVersion, ...] = ()
    delivered: str | None = None  # whose source was removed during the last scan

    def step(self, step: tuple[object, ...]) -> ScanResult | None:
        """Whatever the step is, time passes on both sides of a look at the source."""
        self.delivered, self.reported = None, ()
        match step:
            case ("write", str(path), int(size_bytes), ContainerState() as container):
                self.version += 1
                self.files[path] = (a_state(size_bytes, self.version), container)
            case ("remove", str(path)):
                self.files.pop(path, None)
            case ("rename" | "close" | "event" as what, str(path)) if path in self.files:
                {"rename": self._rename, "close": self.closing.add, "event": self._report_close}[what](path)
            case ("open", str(path), WriterState() as writer):
                self.writers[path] = writer
            case ("wait", float(seconds)):
                self.now_s += seconds
            case ("scan", float(seconds), bool(hidden)):
                return self._look(None, frozenset(), seconds, hidden)
            case ("hint", set() | frozenset() as paths, float(seconds)):
                return self._look(tuple(str(path) for path in paths), frozenset(), seconds)
            case ("look", float(seconds)):
                due = self.tracker.due_files(self.now_s, 1000.0 + self.now_s)
                self.reported = tuple(each.file for each in due.ready)
                self.unexamined += self.reported
                return self._look(due.paths, frozenset(due.paths), seconds)
            case ("deliver", str(path), float(before_s), float(after_s)):
                return self._deliver(path, before_s, after_s)
        return None

    def examined_by_copies(self) -> Iterator[tuple[FileVersion, FinishEvidence | None]]:
        """What the copies of files find that were reported unexamined."""
        for file in self.unexamined:
            signature, container = self.files.get(file.path, (None, ContainerState.UNKNOWN))
            is_same = signature == file.signature
            writer = self.writers.get(file.path, WriterState.NONE)
            yield file, FinishEvidence(writer, container) if is_same else None
        self.unexamined = []

    def _rename(self, path: str) -> None:
        """There and back: another ctime, the same content."""
        self.version += 1
        signature, container = self.files[path]
        self.files[path] = (but(signature, ctime_ns=self.version), container)

    def _report_close(self, path: str) -> None:
        if path in self.closing:
            self.closing.remove(path)
            self.closed.append(ScannedFile(path, self.files[path][0]))
            self.unsent += 1

    def was_closed(self, path: str, signature: Signature) -> bool:
        """Whether a close of this content was reported."""
        return any(each.path == path and each.signature.has_content_of(signature) for each in self.closed)

    def _deliver(self, path: str, before_s: float, after_s: float) -> ScanResult:
        """A scan lists everything; meanwhile a file is delivered and its source removed."""
        scan = self._look(None, frozenset(), before_s)
        state, _ = self.files.get(path, (None, None))
        item = self.tracker._tracked.get(path)
        if item is not None and item.is_reported and item.signature == state:
            del self.files[path]
            self.delivered = path
            self.tracker.remove(FilesRemoved((self.tracker._file(item),), self.now_s))
        self.now_s += after_s
        return evolve(scan, ended_s=self.now_s, at=1000.0 + self.now_s)

    def _look(
        self, looked: tuple[str, ...] | None, closely: frozenset[str], took_s: float, hidden: bool = False
    ) -> ScanResult:
        began_s = self.now_s
        entries = tuple(self._entries(PATHS if looked is None else looked, closely, hidden))
        self.now_s += took_s
        unseen = (UnreadableFolder(FOLDER, "denied"),) if hidden else ()
        scan = a_scan(*entries, began_s=began_s, took_s=took_s, looked=looked, unseen=unseen)
        closed, self.unsent = tuple(self.closed[len(self.closed) - self.unsent :]), 0
        return evolve(scan, closed=closed)

    def _entries(
        self, paths: tuple[str, ...], closely: frozenset[str], hidden: bool
    ) -> Iterator[ScannedFile]:
        for path in paths:
            if path in self.files and not (hidden and path.startswith(FOLDER)):
                signature, container = self.files[path]
                evidence = FinishEvidence(self.writers.get(path, WriterState.NONE), container)
                yield ScannedFile(path, signature, evidence if path in closely else None)


@define
class Expectation:
    """Promise S4 once more: since when each file stands in its state, and what was said of it."""

    route: Route
    was_closed: Callable[[str, Signature], bool]
    still: dict[str, tuple[Signature, float]] = field(factory=dict)
    announced: set[str] = field(factory=set)

    def orders(self, scan: ScanResult, delivered: str | None = None) -> set[tuple[type, str, bool]]:
        """`delivered`: the scan still lists this file, whose source was removed: neither gone nor new."""
        told: set[tuple[type, str, bool]] = set()
        for entry in scan.entries:
            if entry.path != delivered:
                told |= self._entry(entry, scan)
        if delivered is not None:
            self.announced.remove(delivered)
            del self.still[delivered]
        for path in self._missing(scan):
            del self.still[path]
            if path in self.announced:
                self.announced.remove(path)
                told.add((Gone, path, False))
        return told

    def reported(self, files: Iterable[FileVersion]) -> None:
        """Small files that stood still are reported without an examination, which their copies make."""
        for file in files:
            signature, _ = self.still[file.path]
            assert file.signature == signature
            assert 0 < signature.size_bytes <= SMALL_BYTES
            self.announced.add(file.path)

    def taken_back(
        self, file: FileVersion, evidence: FinishEvidence | None, now_s: float
    ) -> set[tuple[type, str, bool]]:
        """Its copy has refused it; what was unfinished when it was reported may not be any more."""
        signature, since_s = self.still.get(file.path, (None, 0.0))
        if file.path not in self.announced or signature != file.signature:
            return set()
        self.announced.remove(file.path)
        return (
            set() if evidence is None else self._judged(file.path, file.signature, evidence, now_s - since_s)
        )

    def _entry(self, entry: ScannedFile, scan: ScanResult) -> set[tuple[type, str, bool]]:
        path, signature = entry.path, entry.signature
        if self.still.get(path, (None, 0.0))[0] != signature:
            self.still[path] = (signature, scan.ended_s)
            was_announced = path in self.announced
            self.announced.discard(path)
            return {(Gone, path, True)} if was_announced else set()
        if path in self.announced or entry.evidence is None:
            return set()
        return self._judged(path, signature, entry.evidence, scan.began_s - self.still[path][1])

    def _judged(
        self, path: str, signature: Signature, evidence: FinishEvidence, still_s: float
    ) -> set[tuple[type, str, bool]]:
        if not self.is_finished(path, signature, evidence, still_s):
            return set()
        self.announced.add(path)
        return {(Ready, path, False)}

    def is_finished(self, path: str, signature: Signature, evidence: FinishEvidence, still_s: float) -> bool:
        needed_s = self.route.stable_s
        if evidence.container is ContainerState.CLOSED and evidence.writer is WriterState.NONE:
            needed_s = self.route.stable_closed_s or needed_s
        unfinished = evidence.container in (ContainerState.OPEN, ContainerState.TRUNCATED)
        unseen = evidence.writer in UNSEEN and not self.was_closed(path, signature)
        return (
            signature.size_bytes > 0
            and not (unseen and self.route.unseen_writers == "hold")
            and still_s >= needed_s
            and evidence.writer is not WriterState.OPEN
            and not (unfinished and self.route.unfinished == "hold")
        )

    def _missing(self, scan: ScanResult) -> list[str]:
        present = {entry.path for entry in scan.entries}
        hidden = tuple(f"{each.folder}/" for each in scan.unreadable)
        looked = PATHS if scan.examined is None else scan.examined
        return [path for path in self.still if path in looked and path not in present | set(_below(hidden))]


def _below(folders: tuple[str, ...]) -> list[str]:
    return [path for path in PATHS if path.startswith(folders)]


def moves(decisions: TrackerDecisions) -> list[StatusChanged]:
    return [
        change for fact in decisions.events if isinstance(fact, StatusesChanged) for change in fact.changes
    ]


def told_by(decisions: TrackerDecisions) -> set[tuple[type, str, bool]]:
    return {
        (type(order), order.file.path, isinstance(order, Gone) and order.changed)
        for order in decisions.messages
    }


def copy_unexamined(recorder: Recorder, expectation: Expectation) -> TrackerDecisions:
    """Copies examine what was reported unexamined; what follows from those that refuse a file.

    By the rule that comes with it a copy lets a file pass only if promise S4 allows that.
    """
    refused = []
    for file, evidence in recorder.examined_by_copies():
        signature, since_s = expectation.still.get(file.path, (None, 0.0))
        is_known = signature == file.signature and file.path in expectation.announced
        if evidence is None or file.finish_rule is None or not file.finish_rule.allows(evidence):
            refused.append((file, evidence))
        elif is_known:
            still_s = recorder.now_s - since_s
            assert expectation.is_finished(file.path, file.signature, evidence, still_s)
    orders = [expectation.taken_back(*each, recorder.now_s) for each in refused]
    found = FilesUnfinished(tuple(refused), recorder.now_s, 1000.0 + recorder.now_s)
    decisions = recorder.tracker.unfinished(found)
    assert told_by(decisions) == set().union(*orders)
    return decisions


@given(ROUTES, TIMELINES)
def test_a_file_is_ready_exactly_when_promise_s4_allows_it(
    route: Route, steps: list[tuple[object, ...]]
) -> None:
    recorder = Recorder(StabilityTracker(route))
    expectation = Expectation(route, recorder.was_closed)
    for step in steps:
        scan = recorder.step(step)
        expectation.reported(recorder.reported)
        if step == ("copy",):
            copy_unexamined(recorder, expectation)
        if scan is not None:
            decisions = recorder.tracker.scanned(scan)
            assert told_by(decisions) == expectation.orders(scan, recorder.delivered)
            assert len(decisions.messages) == len(told_by(decisions))
            assert all(
                order.file.signature == expectation.still[order.file.path][0]
                for order in decisions.messages
                if isinstance(order, Ready)
            )


@given(ROUTES, TIMELINES)
def test_visitors_always_know_every_file_in_its_present_state(
    route: Route, steps: list[tuple[object, ...]]
) -> None:
    recorder = Recorder(StabilityTracker(route))
    expectation = Expectation(route, recorder.was_closed)
    known: dict[str, StatusChanged] = {}
    for step in steps:
        scan = recorder.step(step)
        expectation.reported(recorder.reported)
        for file in recorder.reported:  # the dispatcher shows that it is ready
            known[file.id] = evolve(known[file.id], status=Status.READY)
        if step == ("copy",):
            decisions = copy_unexamined(recorder, expectation)
        elif scan is not None:
            decisions = recorder.tracker.scanned(scan)
            expectation.orders(scan, recorder.delivered)
        else:
            continue
        if recorder.delivered is not None:
            del known[file_id(ROUTE.name, recorder.delivered)]  # the dispatcher shows that it is delivered
        ready = {order.file.path for order in decisions.messages if isinstance(order, Ready)}
        assert all(change.file is None or change.file.path not in ready for change in moves(decisions))
        for change in moves(decisions):
            before = known.get(change.file_id)
            assert before is None or evolve(change, at=before.at) != before
            known[change.file_id] = change
        forgotten = {id_ for fact in decisions.events if isinstance(fact, Untracked) for id_ in fact.file_ids}
        forgotten |= {
            each.file.id for each in decisions.messages if isinstance(each, Gone) and not each.changed
        }
        for each_id in forgotten:
            del known[each_id]
        states = {
            change.file.path: change.file.signature for change in known.values() if change.file is not None
        }
        assert states == {path: signature for path, (signature, _) in expectation.still.items()}


def without_writers(path: str) -> tuple[tuple[object, ...], ...]:
    """Its owner or mode is changed, so that its writers can be seen, or could be: another ctime."""
    return (("open", path, WriterState.NONE), ("rename", path))


def with_a_close_that_was_seen(path: str) -> tuple[tuple[object, ...], ...]:
    return (("open", path, WriterState.NOT_PERMITTED), ("close", path), ("event", path))


@given(ROUTES, TIMELINES, st.sampled_from([without_writers, with_a_close_that_was_seen]))
def test_a_file_left_alone_is_ready_in_the_end(
    route: Route, steps: list[tuple[object, ...]], left_alone: Callable[[str], Iterable[tuple[object, ...]]]
) -> None:
    recorder = Recorder(StabilityTracker(route))
    expectation = Expectation(route, recorder.was_closed)

    def take(*steps: tuple[object, ...]) -> None:
        for step in steps:
            scan = recorder.step(step)
            expectation.reported(recorder.reported)
            if step == ("copy",):
                copy_unexamined(recorder, expectation)
            if scan is not None:
                recorder.tracker.scanned(scan)
                expectation.orders(scan, recorder.delivered)

    take(*steps)
    take(*(step for path in PATHS for step in left_alone(path)), ("scan", 0.0, False))
    while (due_s := recorder.tracker.due_s()) < math.inf:
        assert due_s < recorder.now_s + 2 * route.stable_s
        recorder.now_s = max(recorder.now_s, due_s)
        take(("look", 0.5), ("copy",))
    held = {
        path
        for path, (_, container) in recorder.files.items()
        if route.unfinished == "hold" and container in (ContainerState.OPEN, ContainerState.TRUNCATED)
    }
    empty = {path for path, (signature, _) in recorder.files.items() if signature.size_bytes == 0}
    assert expectation.announced == recorder.files.keys() - held - empty
