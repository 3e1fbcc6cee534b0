"""Power cuts: all that was not made durable is lost, for source, destination and state folder at once.

They stand on one volatile mount. So one count of operations covers all three and all are cut at the same
instant; three mounts in three processes would be cut one after the other, and nothing could be moved from
source to archive.
"""

import enum
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from attrs import define, evolve, field, frozen

from agent.model.transfer import BLOCK_BYTES
from tests.crash.folder_states import Memory, Scene, look, recall
from tests.crash.fork_server import TRACE, Ended, Order
from tests.crash.injection_points import CHECKPOINT, JOURNALED, WRITE
from tests.crash.kills import STARTED, Kill, Manner, Step, Trace
from tests.crash.matrix import Choice
from tests.crash.promises import Promises
from tests.crash.runner import INTERVAL_BYTES, Victims, bytes_of
from tests.crash.variants import Variant
from tests.flow.running_agents import write_files
from tests.mounts.mounts import FaultMount

EMPTY = "empty"
ENDED_WELL = Ended(0, 0)


class Past(enum.Enum):
    """What the agent has done before."""

    NONE = "none"  # its first start
    IDLE = "idle"  # it has a journal
    COPYING = "copying"  # it was killed behind the first checkpoint of the copy


@frozen(eq=False)
class Scenario:
    """`unsynced`: what somebody else has put at the destination a moment ago. `stride`: from cut to cut."""

    name: str
    variant: Variant
    past: Past = Past.IDLE
    unsynced: Mapping[str, bytes] = field(factory=dict)
    stride: int = 4


@frozen
class PowerCut:
    """What became of a run; `is_cut`: it had not ended before. No `complaints`: every promise was kept.

    `operations`: how many that change the storage the run carried out until it ended or was cut.
    """

    is_cut: bool
    operations: int
    complaints: tuple[str, ...]
    twice_bytes: int
    is_journal_lost: bool


EnterCut = Callable[[str, PowerCut], None]


@frozen
class Start:
    """How a scenario begins: what stands in the folders, and how much the journal knows to be verified."""

    scene: Scene
    verified_bytes: int


@define(eq=False)
class PowerStation:
    """One mount for many runs; what a scenario begins with is made once."""

    victims: Victims
    mount: FaultMount
    notes: Path
    _starts: dict[str, Start] = field(factory=dict, init=False)
    _runs: int = field(default=0, init=False)

    @property
    def folder(self) -> Path:
        return self.mount.path / "run"

    def cut(self, scenario: Scenario, mutations: int) -> PowerCut:
        """Run, cut the power behind so many operations, and run once more."""
        start = self._begin(scenario)
        write_files(self.folder / "nas", dict(scenario.unsynced))
        self.mount.cut_after(mutations)
        return PowerTrial(self, scenario.variant, start, self._fresh_notes()).run()

    def run(self, variant: Variant, notes: Path, kill: Kill | None = None) -> Ended:
        Trace(notes / TRACE).mark(STARTED)
        return self.victims.run(Order(self.folder, kill, variant.refused, self.mount.address, notes))

    def _begin(self, scenario: Scenario) -> Start:
        name = scenario.name
        if not self._starts:
            self.mount.keep(EMPTY)
        if name not in self._starts:
            self.mount.show(EMPTY)
            self._starts[name] = self._made(scenario)
            self.mount.keep(name)
        self.mount.show(name)
        return self._starts[name]

    def _made(self, scenario: Scenario) -> Start:
        variant = scenario.variant
        if scenario.past is Past.NONE:
            variant.prepare(self.folder)
            return Start(look(self.folder), 0)
        evolve(variant, files={}).prepare(self.folder)
        assert self.run(variant, self._fresh_notes()) == ENDED_WELL
        write_files(self.folder / "source", dict(variant.files))
        scene = look(self.folder)
        if scenario.past is Past.COPYING:
            kill = Kill(Step(JOURNALED, 1), "after", Manner.ALL)
            assert self.run(variant, self._fresh_notes(), kill).code < 0
        return Start(scene, _verified_bytes(recall(self.folder)))

    def _fresh_notes(self) -> Path:
        self._runs += 1
        notes = self.notes / str(self._runs)
        notes.mkdir()
        return notes


@define(eq=False)
class PowerTrial:
    """One run under a cut that is to come, and one after it."""

    station: PowerStation
    variant: Variant
    start: Start
    notes: Path
    complaints: list[str] = field(factory=list, init=False)
    _memory: Memory = field(factory=Memory, init=False)

    def run(self) -> PowerCut:
        station, promises = self.station, Promises(self.variant, self.start.scene)
        before = station.mount.mutations
        ended = station.run(self.variant, self.notes)
        is_cut, operations = station.mount.is_cut, station.mount.mutations - before
        if is_cut:
            station.mount.lose()
            self.complaints += promises.broken_at_once(look(station.folder))
            self._memory = recall(station.folder)
            ended = station.run(self.variant, self.notes)
        if ended != ENDED_WELL:
            self.complaints.append(f"the last run: {ended}")
        self.complaints += promises.broken_in_the_end(look(station.folder), recall(station.folder))
        if is_cut:
            self.complaints += self._not_resumed()
        is_journal_lost = any((station.folder / "state").glob("*.damaged-*"))
        return PowerCut(is_cut, operations, tuple(self.complaints), self._twice_bytes(), is_journal_lost)

    def _not_resumed(self) -> Iterator[str]:
        """Promise S6: what was known as verified, save one interval on its way, is not written again."""
        trace = Trace(self.notes / TRACE).passages()
        *_, at = (number for number, each in enumerate(trace) if each.side == STARTED)
        reported = self.start.verified_bytes + bytes_of(CHECKPOINT, trace[:at])
        verified = max(_verified_bytes(self._memory), reported - INTERVAL_BYTES)
        written, whole = bytes_of(WRITE, trace[at:]), self.variant.whole_bytes
        if written > whole - verified:
            yield f"S6: {written} bytes written after the cut, though {verified} of {whole} were verified"

    def _twice_bytes(self) -> int:
        missing = self.variant.whole_bytes - self.start.verified_bytes
        return max(0, bytes_of(WRITE, Trace(self.notes / TRACE).passages()) - missing)


def cut_each(
    station: PowerStation,
    scenario: Scenario,
    enter: EnterCut,
    choice: Choice,
    share: int = 0,
    shares: int = 1,
) -> None:
    """Cut behind each operation until a run ends before it is cut; all are heard before the test fails.

    That last run counts the scenario's operations: each that was to be cut behind must have been.
    """
    complaints: list[str] = []
    stride = scenario.stride * choice.stride
    first, step = share * stride, shares * stride
    mutations = first
    while True:
        cut = station.cut(scenario, mutations)
        complaints += [f"cut behind {mutations}: {complaint}" for complaint in cut.complaints]
        if not cut.is_cut:
            break
        enter(scenario.name, cut)
        mutations += step
    assert not complaints, "\n".join(complaints)
    made, due = len(range(first, mutations, step)), len(range(first, cut.operations, step))
    assert 0 < due <= made, f"{made} power cuts, where {cut.operations} operations make it {due}"


def _verified_bytes(memory: Memory) -> int:
    return sum(blocks for _, blocks in memory.blocks) * BLOCK_BYTES
