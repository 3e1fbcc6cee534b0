"""One trial: prepare, run with kills, check, and run again until all is delivered."""

import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from attrs import define, field, frozen

from agent.model.verification import BLOCK_BYTES
from agent.protocol.frames import frame, read_frame
from tests.coverage_environment import without_coverage
from tests.crash.folder_states import FolderState, JournalState, read_folders, read_journal
from tests.crash.fork_server import SNAPSHOT, TRACE, RunRequest, RunResult
from tests.crash.injection_points import CHECKPOINT, WINDOW_BLOCKS, WRITE
from tests.crash.kills import KILL_MARK, START_MARK, Kill, KillTarget, Step, Trace, TraceEntry
from tests.crash.promises import Promises
from tests.crash.variants import Variant

ROOT = Path(__file__).parents[2]
INTERVAL_BYTES = WINDOW_BLOCKS * BLOCK_BYTES
KILLED, RESUMABLE = -9, 3


@frozen
class JournalDamage:
    """Damage to the state folder after the first kill; without its identity no partial is known as ours."""

    act: Callable[[Path], None]
    keeps_identity: bool = True


@define(eq=False)
class ForkServerClient:
    """Runs agents in forks of the fork server."""

    _process: "subprocess.Popen[bytes]"

    @classmethod
    @contextmanager
    def open(cls) -> Iterator["ForkServerClient"]:
        command = [sys.executable, "-c", "from tests.crash.fork_server import main; main()"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=ROOT, env=without_coverage(), stdin=pipe, stdout=pipe) as process:
            yield cls(process)

    def run(self, request: RunRequest) -> RunResult:
        requests, reports = cast("BinaryIO", self._process.stdin), cast("BinaryIO", self._process.stdout)
        requests.write(frame(request))
        requests.flush()
        ended = read_frame(reports)
        assert isinstance(ended, RunResult), "the fork server died"
        return ended


@frozen
class Outcome:
    """The result of a trial, and how many kills happened. No `violations`: every promise was kept."""

    kills: int
    violations: tuple[str, ...]
    recopied_bytes: int


@define(eq=False)
class Trial:
    """A folder of its own: one run for each kill, then one without until all is delivered."""

    fork_server: ForkServerClient
    variant: Variant
    folder: Path
    kills: tuple[Kill, ...] = ()
    damage: JournalDamage | None = None
    violations: list[str] = field(factory=list, init=False)
    _journal_state: JournalState = field(factory=JournalState, init=False)

    def run(self) -> Outcome:
        promises = self._begin()
        code = RESUMABLE
        for number, kill in enumerate(self.kills):
            code = self._killed(kill, promises)
            if number == 0 and self.damage is not None:
                self.damage.act(self.folder / "state")
        if code != 0:
            code = self._once(None)
        if code != 0:
            self.violations.append(f"the last run ended with {code}")
        self.violations += self._broken_at_end(promises)
        kills = sum(entry.side == KILL_MARK for entry in self.trace)
        return Outcome(kills, tuple(self.violations), self._recopied_bytes())

    def _broken_at_end(self, promises: Promises) -> Iterator[str]:
        folders = read_folders(self.folder)
        if self.damage is None:
            yield from promises.broken_at_end(folders, read_journal(self.folder))
            yield from self._not_resumed()
        elif self.damage.keeps_identity:
            yield from promises.broken_on_disk(folders)
        else:
            unknown_partials = [path for path in folders if path.endswith(".partial")]
            yield from promises.broken_on_disk(
                {path: folders[path] for path in folders if path not in unknown_partials}
            )

    @property
    def trace(self) -> list[TraceEntry]:
        return Trace(self.folder / TRACE).entries()

    def _begin(self) -> Promises:
        self.variant.prepare(self.folder)
        (self.folder / TRACE).touch()
        return Promises(self.variant, read_folders(self.folder))

    def _once(self, kill: Kill | None) -> int:
        Trace(self.folder / TRACE).mark(START_MARK)
        ended = self.fork_server.run(RunRequest(self.folder, kill, self.variant.refused))
        if ended.orphaned_workers:
            self.violations.append(f"{ended.orphaned_workers} workers outlived their agent")
        return ended.code

    def _killed(self, kill: Kill, promises: Promises) -> int:
        """A run that is killed, and a check of the folders at that instant."""
        code = self._once(kill)
        _, after = self._split_trace(START_MARK)
        if not any(entry.side == KILL_MARK for entry in after):
            self.violations.append("the step never came")
            return code
        if (
            kill.target is KillTarget.WORKER
        ):  # the run goes on; the worker saved the snapshot before it was killed
            folders: FolderState = pickle.loads((self.folder / SNAPSHOT).read_bytes())  # noqa: S301  our own
            # An outage that ends by itself, but `--once` does not wait for its end.
            expected = RESUMABLE if kill.step.name.startswith("probe:") else 0
        else:
            folders, expected = read_folders(self.folder), KILLED
            self._journal_state = read_journal(self.folder)
        self.violations += promises.broken_at_kill(folders)
        if code != expected:
            self.violations.append(f"the run ended with {code} instead of {expected}")
        return code

    def _not_resumed(self) -> Iterator[str]:
        """Promise S6: verified bytes, except one interval in flight, are not written again."""
        if not self.kills:
            return
        before, after = self._split_trace(self._last_start())
        kept = sum(blocks for _, blocks in self._journal_state.blocks) * BLOCK_BYTES
        under_way = 0 if self._last_start() == KILL_MARK else INTERVAL_BYTES * len(self.variant.files)
        reported = (
            bytes_of(CHECKPOINT, before) if len(self.kills) == 1 else 0
        )  # after several kills some are reported twice
        verified = max(kept, reported - under_way)
        written, whole = bytes_of(WRITE, after), self.variant.whole_bytes
        if written > whole - verified:
            yield f"S6: {written} bytes written after the kill, though {verified} of {whole} were verified"

    def _recopied_bytes(self) -> int:
        return max(0, bytes_of(WRITE, self.trace) - self.variant.whole_bytes)

    def _last_start(self) -> str:
        """The mark at which the last attempt began; orphaned workers may write for an instant more."""
        return KILL_MARK if self.kills and self.kills[-1].target is KillTarget.WORKER else START_MARK

    def _split_trace(self, mark: str) -> tuple[list[TraceEntry], list[TraceEntry]]:
        """The trace before the last such mark, and after it."""
        trace = self.trace
        at = max((number for number, each in enumerate(trace) if each.side == mark), default=len(trace))
        return trace[:at], trace[at:]


def bytes_of(name: str, entries: list[TraceEntry]) -> int:
    """The bytes of all completed steps with this name."""
    return sum(each.size_bytes for each in entries if (each.side, each.step.name) == ("after", name))


def steps_of(
    fork_server: ForkServerClient,
    variant: Variant,
    folder: Path,
    kills: tuple[Kill, ...] = (),
    damage: JournalDamage | None = None,
) -> list[Step]:
    """The steps of an undisturbed run, or of the run after these kills; it must keep every promise."""
    trial = Trial(fork_server, variant, folder, kills, damage)
    outcome = trial.run()
    assert not outcome.violations, outcome.violations
    _, entries = trial._split_trace(START_MARK)
    shutil.rmtree(folder)
    steps = [entry.step for entry in entries if entry.side == "before"]
    # The orphan scan may or may not meet a running copy, whose partial is no orphan, or a temporary file.
    return [step for step in steps if damage or not _is_by_chance(step, kills)]


def _is_by_chance(step: Step, kills: tuple[Kill, ...]) -> bool:
    """Only a killed run leaves orphans, so the removal of one in another run met a temporary file in use."""
    if step.name == "journal: orphans.add":
        return True
    return not kills and step.name.startswith(("discard:", "journal: orphans.forget"))
