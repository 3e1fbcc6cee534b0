"""Power cuts: all data that was not synced is lost, for source, destination and state folder at once.

All three are on one volatile mount, so that one count of operations covers them and the cut is at the same
instant. Three mounts would be cut one after the other, and files could not be moved from source to archive.
"""

import enum
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from attrs import define, evolve, field, frozen

from agent.model.verification import BLOCK_BYTES
from tests.crash.folder_states import FolderState, JournalState, read_folders, read_journal
from tests.crash.fork_server import TRACE, RunRequest, RunResult
from tests.crash.injection_points import CHECKPOINT, JOURNALED, WRITE
from tests.crash.kills import START_MARK, Kill, KillTarget, Step, Trace
from tests.crash.matrix import Selection
from tests.crash.promises import Promises
from tests.crash.runner import INTERVAL_BYTES, ForkServerClient, bytes_of
from tests.crash.variants import Variant
from tests.flow.running_agents import write_files
from tests.mounts.mounts import FaultMount

EMPTY = "empty"
ENDED_WELL = RunResult(0, 0)


class PriorRun(enum.Enum):
    """What the agent did before."""

    NONE = "none"  # its first start
    IDLE = "idle"  # it has a journal
    COPYING = "copying"  # it was killed after the first checkpoint of the copy


@frozen(eq=False)
class Scenario:
    """`unsynced`: files that another program has just written to the destination. `stride`: between cuts."""

    name: str
    variant: Variant
    prior: PriorRun = PriorRun.IDLE
    unsynced: Mapping[str, bytes] = field(factory=dict)
    stride: int = 4


@frozen
class PowerCut:
    """The result of a run; `is_cut`: it was cut before it ended. No `violations`: every promise was kept.

    `operations`: how many operations changed the storage until the run ended or was cut.
    """

    is_cut: bool
    operations: int
    violations: tuple[str, ...]
    recopied_bytes: int
    is_journal_lost: bool


RecordCut = Callable[[str, PowerCut], None]


@frozen
class InitialState:
    """Files and verified bytes at the start of a scenario."""

    folders: FolderState
    verified_bytes: int


@define(eq=False)
class PowerCutRig:
    """One mount for many runs; the initial state of a scenario is made once."""

    fork_server: ForkServerClient
    mount: FaultMount
    output: Path
    _starts: dict[str, InitialState] = field(factory=dict, init=False)
    _runs: int = field(default=0, init=False)

    @property
    def folder(self) -> Path:
        return self.mount.path / "run"

    def cut(self, scenario: Scenario, mutations: int) -> PowerCut:
        """Run, cut the power after so many operations, and run once more."""
        start = self._begin(scenario)
        write_files(self.folder / "nas", dict(scenario.unsynced))
        self.mount.cut_after(mutations)
        return PowerTrial(self, scenario.variant, start, self._new_output_folder()).run()

    def run(self, variant: Variant, output: Path, kill: Kill | None = None) -> RunResult:
        Trace(output / TRACE).mark(START_MARK)
        return self.fork_server.run(
            RunRequest(self.folder, kill, variant.refused, self.mount.address, output)
        )

    def _begin(self, scenario: Scenario) -> InitialState:
        name = scenario.name
        if not self._starts:
            self.mount.keep(EMPTY)
        if name not in self._starts:
            self.mount.show(EMPTY)
            self._starts[name] = self._make(scenario)
            self.mount.keep(name)
        self.mount.show(name)
        return self._starts[name]

    def _make(self, scenario: Scenario) -> InitialState:
        variant = scenario.variant
        if scenario.prior is PriorRun.NONE:
            variant.prepare(self.folder)
            return InitialState(read_folders(self.folder), 0)
        evolve(variant, files={}).prepare(self.folder)
        assert self.run(variant, self._new_output_folder()) == ENDED_WELL
        write_files(self.folder / "source", dict(variant.files))
        folders = read_folders(self.folder)
        if scenario.prior is PriorRun.COPYING:
            kill = Kill(Step(JOURNALED, 1), "after", KillTarget.ALL)
            assert self.run(variant, self._new_output_folder(), kill).code < 0
        return InitialState(folders, _verified_bytes(read_journal(self.folder)))

    def _new_output_folder(self) -> Path:
        self._runs += 1
        output = self.output / str(self._runs)
        output.mkdir()
        return output


@define(eq=False)
class PowerTrial:
    """A run with a power cut, and a run after it."""

    rig: PowerCutRig
    variant: Variant
    start: InitialState
    output: Path
    violations: list[str] = field(factory=list, init=False)
    _journal_state: JournalState = field(factory=JournalState, init=False)

    def run(self) -> PowerCut:
        rig, promises = self.rig, Promises(self.variant, self.start.folders)
        before = rig.mount.mutations
        ended = rig.run(self.variant, self.output)
        is_cut, operations = rig.mount.is_cut, rig.mount.mutations - before
        if is_cut:
            rig.mount.lose()
            self.violations += promises.broken_at_kill(read_folders(rig.folder))
            self._journal_state = read_journal(rig.folder)
            ended = rig.run(self.variant, self.output)
        if ended != ENDED_WELL:
            self.violations.append(f"the last run: {ended}")
        self.violations += promises.broken_at_end(read_folders(rig.folder), read_journal(rig.folder))
        if is_cut:
            self.violations += self._not_resumed()
        is_journal_lost = any((rig.folder / "state").glob("*.damaged-*"))
        return PowerCut(is_cut, operations, tuple(self.violations), self._recopied_bytes(), is_journal_lost)

    def _not_resumed(self) -> Iterator[str]:
        """Promise S6: verified bytes, except one interval in flight, are not written again."""
        trace = Trace(self.output / TRACE).entries()
        *_, at = (number for number, each in enumerate(trace) if each.side == START_MARK)
        reported = self.start.verified_bytes + bytes_of(CHECKPOINT, trace[:at])
        verified = max(_verified_bytes(self._journal_state), reported - INTERVAL_BYTES)
        written, whole = bytes_of(WRITE, trace[at:]), self.variant.whole_bytes
        if written > whole - verified:
            yield f"S6: {written} bytes written after the cut, though {verified} of {whole} were verified"

    def _recopied_bytes(self) -> int:
        missing = self.variant.whole_bytes - self.start.verified_bytes
        return max(0, bytes_of(WRITE, Trace(self.output / TRACE).entries()) - missing)


def cut_each(
    rig: PowerCutRig,
    scenario: Scenario,
    record_cut: RecordCut,
    selection: Selection,
    shard: int = 0,
    shards: int = 1,
) -> None:
    """Cut after each operation until a run ends before its cut; all violations are collected first.

    The last run counts the scenario's operations, which proves that every due cut happened.
    """
    violations: list[str] = []
    stride = scenario.stride * selection.stride
    first, step = shard * stride, shards * stride
    mutations = first
    while True:
        cut = rig.cut(scenario, mutations)
        violations += [f"cut after {mutations}: {violation}" for violation in cut.violations]
        if not cut.is_cut:
            break
        record_cut(scenario.name, cut)
        mutations += step
    assert not violations, "\n".join(violations)
    made, due = len(range(first, mutations, step)), len(range(first, cut.operations, step))
    assert 0 < due <= made, f"{made} power cuts, where {cut.operations} operations make it {due}"


def _verified_bytes(journal: JournalState) -> int:
    return sum(blocks for _, blocks in journal.blocks) * BLOCK_BYTES
