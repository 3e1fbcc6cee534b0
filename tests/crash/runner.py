"""What to prepare, when to kill, what to check: one victim after the other."""

import os
import pickle
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from attrs import define, field, frozen

from agent.protocol import BLOCK_BYTES
from agent.worker import frame, read_frame
from tests.crash.booths import CHECKPOINT, WINDOW_BLOCKS, WRITE
from tests.crash.kills import STARTED, STRUCK, Kill, Manner, Passage, Step, Trace
from tests.crash.mother import SCENE, TRACE, Ended, Order
from tests.crash.scenes import Memory, Scene, digest_of, look, recall
from tests.flow.houses import fill, write_config

ROOT = Path(__file__).parents[2]
INTERVAL_BYTES = WINDOW_BLOCKS * BLOCK_BYTES
QUICK = {
    "stable": "30ms",
    "scan": "10s",
    "probe": "10s",
    "retry_delay": "10ms",
}  # `--once` is patient by `scan`


def footage(seed: str, size_bytes: int = 4 * BLOCK_BYTES + 12_345) -> bytes:
    """Four whole blocks and a short one, unless told otherwise."""
    return random.Random(seed).randbytes(size_bytes)


@frozen
class Variant:
    """A transfer: what stands where beforehand, the route's keys, and the names under which all must arrive.

    `foreign`: what is at the destination already. `finals`: by path in the source, where each must end.
    `archived`: likewise in the archive. `refused`: storage calls that the destination does not know.
    """

    name: str
    files: Mapping[str, bytes]
    finals: Mapping[str, str]
    keys: Mapping[str, object] = field(factory=dict)
    foreign: Mapping[str, bytes] = field(factory=lambda: {"other.mxf": b"somebody else's", ".hidden": b"too"})
    archived: Mapping[str, str] = field(factory=dict)
    refused: frozenset[str] = frozenset()
    may_leave_empty_name: bool = False

    def prepare(self, folder: Path) -> None:
        folder.mkdir()
        write_config(folder, "", **QUICK, **self.keys)
        (folder / "archive").mkdir()
        fill(folder / "nas", dict(self.foreign))
        fill(folder / "source", dict(self.files))
        (folder / TRACE).touch()


@frozen
class Outcome:
    """What became of a victim; `complaints` is empty when every promise was kept."""

    complaints: tuple[str, ...]
    twice_bytes: int = 0


@define(eq=False)
class Victims:
    """Runs agents in forks of one process that has imported everything."""

    _mother: "subprocess.Popen[bytes]"

    @classmethod
    @contextmanager
    def open(cls) -> Iterator["Victims"]:
        # Those who are killed cannot say which lines they ran.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        command = [sys.executable, "-c", "from tests.crash.mother import main; main()"]
        with subprocess.Popen(
            command, cwd=ROOT, env=kept, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as mother:
            yield cls(mother)

    def run(self, order: Order) -> Ended:
        assert self._mother.stdin is not None
        assert self._mother.stdout is not None
        self._mother.stdin.write(frame(order))
        self._mother.stdin.flush()
        ended = read_frame(cast("BinaryIO", self._mother.stdout))
        assert isinstance(ended, Ended), "the mother died"
        return ended


Between = Callable[[Path], None]


@define(eq=False)
class Trial:
    """One victim in its folder: killed at most once, then run undisturbed until all is done."""

    victims: Victims
    variant: Variant
    folder: Path
    kill: Kill | None = None
    complaints: list[str] = field(factory=list, init=False)
    _before: Scene = field(factory=dict, init=False)
    _memory: Memory = field(factory=Memory, init=False)

    def run(self, between: Between = lambda _: None) -> Outcome:
        """`between` may spoil something after the kill and before the next start."""
        self.variant.prepare(self.folder)
        self._before = look(self.folder)
        ended = self._once(self.kill)
        if self.kill is not None:
            self._check_instant(ended)
        between(self.folder)
        if ended.code != 0:
            ended = self._once(None)
        if ended.code != 0:
            self.complaints.append(f"the last run ended with {ended.code}")
        self._check_end()
        return Outcome(tuple(self.complaints), self._twice_bytes())

    @property
    def trace(self) -> list[Passage]:
        return Trace(self.folder / TRACE).passages()

    def _once(self, kill: Kill | None) -> Ended:
        Trace(self.folder / TRACE).mark(STARTED)
        ended = self.victims.run(Order(self.folder, kill, self.variant.refused))
        if ended.stray_workers:
            self.complaints.append(f"{ended.stray_workers} workers outlived their agent")
        return ended

    # The instant after the kill

    def _check_instant(self, ended: Ended) -> None:
        assert self.kill is not None
        if not any(passage.side == STRUCK for passage in self.trace):
            self.complaints.append("the step never came")
            return
        if self.kill.manner is Manner.WORKER:
            self._look_at(cast("Scene", pickle.loads((self.folder / SCENE).read_bytes())))  # noqa: S301  our own
            is_probe = self.kill.step.name.startswith(
                "probe:"
            )  # an outage: `--once` does not wait for its end
            if ended.code != (3 if is_probe else 0):
                self.complaints.append(f"the run that lost a worker ended with {ended.code}")
        else:
            self._look_at(look(self.folder))
            self._memory = recall(self.folder)
            if ended.code != -9:
                self.complaints.append(f"the agent was not killed, it ended with {ended.code}")

    def _look_at(self, scene: Scene) -> None:
        """Promises S1, S2 and S3, which hold at every instant."""
        variant = self.variant
        for path, content in variant.files.items():
            digest = digest_of(content)
            places = [f"source/{path}", f"nas/{variant.finals[path]}"]
            if not any(place in scene and scene[place].digest == digest for place in places):
                self.complaints.append(f"S1: {path} is complete nowhere: {sorted(scene)}")
        self._check_foreign(scene)
        for path in self._ours(scene):
            if path not in self._finals() and not path.rpartition("/")[2].startswith("."):
                self.complaints.append(f"{path} has appeared")
            elif path in self._finals() and scene[path].digest != self._finals()[path]:
                self._check_empty(path, scene[path].size_bytes)

    def _check_empty(self, path: str, size_bytes: int) -> None:
        """A final name with other content than it should have."""
        if size_bytes or not self.variant.may_leave_empty_name:
            self.complaints.append(f"S3: {path} shows {size_bytes} other bytes")

    def _finals(self) -> dict[str, str]:
        """Digests by path."""
        named = {f"nas/{self.variant.finals[path]}": content for path, content in self.variant.files.items()}
        return {path: digest_of(content) for path, content in named.items()}

    def _ours(self, scene: Scene) -> list[str]:
        return [path for path in scene if path.startswith("nas/") and path not in self._before]

    def _check_foreign(self, scene: Scene) -> None:
        for path, item in self._before.items():
            if path.startswith("nas/") and scene.get(path) != item:
                self.complaints.append(f"S2: {path} was {item}, is {scene.get(path)}")

    # When the dust has settled

    def _check_end(self) -> None:
        scene, variant = look(self.folder), self.variant
        self._check_foreign(scene)
        expected = {path: item.digest for path, item in self._before.items() if path.startswith("nas/")}
        expected |= self._finals()
        expected |= {
            f"archive/{archived}": digest_of(variant.files[path])
            for path, archived in variant.archived.items()
        }
        if variant.keys.get("after") == "keep":
            expected |= {f"source/{path}": digest_of(content) for path, content in variant.files.items()}
        found = {path: item.digest for path, item in scene.items()}
        self._check_equal("in the folders", expected, found)
        memory = recall(self.folder)
        result = "kept" if variant.keys.get("after") == "keep" else "delivered"
        self._check_equal(
            "in the history", sorted((path, result) for path in variant.files), sorted(memory.history)
        )
        self._check_equal("running in the journal", (), memory.running)
        if self.kill is not None:
            self._check_resumed()

    def _check_equal(self, where: str, expected: object, found: object) -> None:
        if expected != found:
            self.complaints.append(f"{where}: expected {expected}, found {found}")

    def _check_resumed(self) -> None:
        """Promise S6: what was reported as verified, save one interval on its way, is not written again."""
        first, second = self._parted()
        reported = sum(
            each.size_bytes for each in first if (each.side, each.step.name) == ("after", CHECKPOINT)
        )
        kept = sum(blocks for _, blocks in self._memory.blocks) * BLOCK_BYTES
        is_on_its_way = INTERVAL_BYTES if self.kill and self.kill.manner is not Manner.WORKER else 0
        verified = max(kept, reported - is_on_its_way)
        whole = sum(map(len, self.variant.files.values()))
        if self._written(second) > whole - verified:
            again = self._written(second)
            self.complaints.append(
                f"S6: {again} bytes written after the kill, though {verified} of {whole} were verified"
            )

    def _twice_bytes(self) -> int:
        first, second = self._parted()
        arrived = sum(map(len, self.variant.files.values()))
        return max(0, self._written(first) + self._written(second) - arrived)

    def _parted(self) -> tuple[list[Passage], list[Passage]]:
        """What came before the kill, and what after; orphaned workers may write for an instant, as before."""
        trace = self.trace
        is_restarted = self.kill is not None and self.kill.manner is not Manner.WORKER
        marks = [
            number for number, each in enumerate(trace) if each.side == (STARTED if is_restarted else STRUCK)
        ]
        at = marks[-1] if marks else len(trace)
        return trace[:at], trace[at:]

    @staticmethod
    def _written(passages: list[Passage]) -> int:
        return sum(each.size_bytes for each in passages if (each.side, each.step.name) == ("after", WRITE))


def steps_of(victims: Victims, variant: Variant, folder: Path) -> list[Step]:
    """All steps of an undisturbed run, which must itself keep every promise."""
    trial = Trial(victims, variant, folder)
    outcome = trial.run()
    assert not outcome.complaints, outcome.complaints
    steps = Trace(folder / TRACE).steps()
    shutil.rmtree(folder)
    return steps
