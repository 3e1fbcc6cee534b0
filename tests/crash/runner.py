"""What to prepare, when to kill, what to check: one victim after the other."""

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from attrs import define, field, frozen

from agent.model.transfer import BLOCK_BYTES
from agent.worker.server import frame, read_frame
from tests.crash.folder_states import Memory, Scene, look, recall
from tests.crash.fork_server import SCENE, TRACE, Ended, Order
from tests.crash.injection_points import CHECKPOINT, WINDOW_BLOCKS, WRITE
from tests.crash.kills import STARTED, STRUCK, Kill, Manner, Passage, Step, Trace
from tests.crash.promises import Promises
from tests.crash.variants import Variant

ROOT = Path(__file__).parents[2]
INTERVAL_BYTES = WINDOW_BLOCKS * BLOCK_BYTES
KILLED, RESUMABLE = -9, 3


@frozen
class Damage:
    """What the first kill does to the state folder besides; without its id no partial is known as ours."""

    act: Callable[[Path], None]
    keeps_identity: bool = True


@define(eq=False)
class Victims:
    """Runs agents in forks of one process that has imported everything."""

    _mother: "subprocess.Popen[bytes]"

    @classmethod
    @contextmanager
    def open(cls) -> Iterator["Victims"]:
        # Those who are killed cannot say which lines they ran.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        command = [sys.executable, "-c", "from tests.crash.fork_server import main; main()"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=ROOT, env=kept, stdin=pipe, stdout=pipe) as mother:
            yield cls(mother)

    def run(self, order: Order) -> Ended:
        orders, reports = cast("BinaryIO", self._mother.stdin), cast("BinaryIO", self._mother.stdout)
        orders.write(frame(order))
        orders.flush()
        ended = read_frame(reports)
        assert isinstance(ended, Ended), "the mother died"
        return ended


@frozen
class Outcome:
    """What became of a victim, and how often it was killed. No `complaints`: every promise was kept."""

    kills: int
    complaints: tuple[str, ...]
    twice_bytes: int


@define(eq=False)
class Trial:
    """One victim in a folder of its own: a run for each kill, then undisturbed ones until all is done."""

    victims: Victims
    variant: Variant
    folder: Path
    kills: tuple[Kill, ...] = ()
    damage: Damage | None = None
    complaints: list[str] = field(factory=list, init=False)
    _memory: Memory = field(factory=Memory, init=False)

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
            self.complaints.append(f"the last run ended with {code}")
        self.complaints += self._broken_in_the_end(promises)
        kills = sum(passage.side == STRUCK for passage in self.trace)
        return Outcome(kills, tuple(self.complaints), self._twice_bytes())

    def _broken_in_the_end(self, promises: Promises) -> Iterator[str]:
        scene = look(self.folder)
        if self.damage is None:
            yield from promises.broken_in_the_end(scene, recall(self.folder))
            yield from self._not_resumed()
        elif self.damage.keeps_identity:
            yield from promises.broken_on_disk(scene)
        else:
            strangers = [path for path in scene if path.endswith(".partial")]
            yield from promises.broken_on_disk({path: scene[path] for path in scene if path not in strangers})

    @property
    def trace(self) -> list[Passage]:
        return Trace(self.folder / TRACE).passages()

    def _begin(self) -> Promises:
        self.variant.prepare(self.folder)
        (self.folder / TRACE).touch()
        return Promises(self.variant, look(self.folder))

    def _once(self, kill: Kill | None) -> int:
        Trace(self.folder / TRACE).mark(STARTED)
        ended = self.victims.run(Order(self.folder, kill, self.variant.refused))
        if ended.stray_workers:
            self.complaints.append(f"{ended.stray_workers} workers outlived their agent")
        return ended.code

    def _killed(self, kill: Kill, promises: Promises) -> int:
        """A run that is killed, and a look at that very instant."""
        code = self._once(kill)
        _, after = self._parted(STARTED)
        if not any(passage.side == STRUCK for passage in after):
            self.complaints.append("the step never came")
            return code
        if kill.manner is Manner.WORKER:  # it goes on by itself; the dying worker took the picture
            scene: Scene = pickle.loads((self.folder / SCENE).read_bytes())  # noqa: S301  our own
            # An outage that ends by itself, but `--once` does not wait for that.
            expected = RESUMABLE if kill.step.name.startswith("probe:") else 0
        else:
            scene, expected = look(self.folder), KILLED
            self._memory = recall(self.folder)
        self.complaints += promises.broken_at_once(scene)
        if code != expected:
            self.complaints.append(f"the run ended with {code} instead of {expected}")
        return code

    def _not_resumed(self) -> Iterator[str]:
        """Promise S6: what was reported as verified, save one interval on its way, is not written again."""
        if not self.kills:
            return
        before, after = self._parted(self._border())
        kept = sum(blocks for _, blocks in self._memory.blocks) * BLOCK_BYTES
        under_way = 0 if self._border() == STRUCK else INTERVAL_BYTES * len(self.variant.files)
        reported = bytes_of(CHECKPOINT, before) if len(self.kills) == 1 else 0  # else they may be told twice
        verified = max(kept, reported - under_way)
        written, whole = bytes_of(WRITE, after), self.variant.whole_bytes
        if written > whole - verified:
            yield f"S6: {written} bytes written after the kill, though {verified} of {whole} were verified"

    def _twice_bytes(self) -> int:
        return max(0, bytes_of(WRITE, self.trace) - self.variant.whole_bytes)

    def _border(self) -> str:
        """The mark behind which the last try began; orphaned workers may write for an instant more."""
        return STRUCK if self.kills and self.kills[-1].manner is Manner.WORKER else STARTED

    def _parted(self, mark: str) -> tuple[list[Passage], list[Passage]]:
        """The trace before the last such mark, and after it."""
        trace = self.trace
        at = max((number for number, each in enumerate(trace) if each.side == mark), default=len(trace))
        return trace[:at], trace[at:]


def bytes_of(name: str, passages: list[Passage]) -> int:
    """How many bytes the steps of this name were about that were carried out."""
    return sum(each.size_bytes for each in passages if (each.side, each.step.name) == ("after", name))


def steps_of(
    victims: Victims,
    variant: Variant,
    folder: Path,
    kills: tuple[Kill, ...] = (),
    damage: Damage | None = None,
) -> list[Step]:
    """The steps of an undisturbed run, or of the one that follows these kills; it must keep every promise."""
    trial = Trial(victims, variant, folder, kills, damage)
    outcome = trial.run()
    assert not outcome.complaints, outcome.complaints
    _, passages = trial._parted(STARTED)
    shutil.rmtree(folder)
    steps = [passage.step for passage in passages if passage.side == "before"]
    # The search for leftovers may or may not meet a copy at work, and is told that it is none.
    return [step for step in steps if damage or step.name != "journal: orphans.add"]
