"""An agent, its source and its destination, and every step that may change them."""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field

from agent.model.names import conflict_path
from tests.flow.agent_forks import BATCHES, SCRIPT, AgentForks
from tests.flow.chaos_agent import AgentProcess
from tests.flow.chaos_model import ROUTE, ExpectedFiles, ForeignFile
from tests.flow.chaos_steps import HEAD_BYTES, WINDOW, ChaosStep
from tests.flow.fault_script import Effect, FaultScript
from tests.flow.running_agents import write_config
from tests.worker.copy.faulty import bit_turned

IMPATIENT = {
    "stable": "30ms",
    "scan": "30ms",
    "probe": "30ms",
    "retry_delay": "30ms",
    "stall_timeout": "800ms",
    "probe_timeout": "800ms",
}


@define(eq=False)
class ChaosEnvironment:
    """Each step is the method with its name."""

    folder: Path
    rng: random.Random
    agent: AgentProcess
    faults: FaultScript
    expected: ExpectedFiles
    keys: dict[str, Any]
    done: Counter[str] = field(factory=Counter)
    unexpected: list[str] = field(factory=list)
    _recordings: dict[str, tuple[int, bytes]] = field(factory=dict)

    @classmethod
    def made(cls, folder: Path, rng: random.Random, forks: AgentForks) -> "ChaosEnvironment":
        keys: dict[str, Any] = {
            "after": rng.choice(("delete", "delete", "delete", "keep", "archive:archive")),
            "conflict": rng.choice(("rename", "rename", "fail")),
            "verify": rng.choice(("read_back", "read_back", "read_back", "hash")),
            "workers": rng.randint(1, 3),
            "max_attempts": rng.randint(1, 3),
            "growing": rng.random() < 0.3,
            "growing_min_size": 3 * WINDOW,
            **IMPATIENT,
        }
        _configure(folder, keys)
        if rng.random() < 0.5:
            (folder / BATCHES).touch()
        expected = ExpectedFiles(folder / "source", folder / "archive", str(keys["after"]).partition(":")[0])
        return cls(folder, rng, AgentProcess(folder, forks), FaultScript(folder / SCRIPT), expected, keys)

    @property
    def source(self) -> Path:
        return self.expected.source

    @property
    def nas(self) -> Path:
        return self.folder / "nas"

    def perform(self, step: ChaosStep) -> None:
        getattr(self, step.name)(*step.values)
        self.done[step.name] += 1
        time.sleep(step.gap_s)

    # At the source

    def arrive(self, path: str, content: bytes) -> None:
        self.record(path, content)
        self.close(path)

    def record(self, path: str, content: bytes) -> None:
        """Write the first half of a file and keep it open."""
        target = self.source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            return
        self.expected.removed_by_agent(path)
        self.expected.will_write(path, content)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(descriptor, content[: len(content) // 2])
        self._recordings[path] = descriptor, content

    def close_all(self) -> None:
        for path in tuple(self._recordings):
            self.close(path)

    def close(self, path: str) -> None:
        if path in self._recordings:
            descriptor, content = self._recordings.pop(path)
            os.write(descriptor, content[len(content) // 2 :])
            self.expected.has_written(path, content)
            os.close(descriptor)

    @contextmanager
    def _held(self, path: str) -> Iterator[tuple[int, bytes] | None]:
        """Descriptor and content of a file at the source; open for writing, so that it is not removed."""
        if path in self._recordings:
            yield None
            return
        try:
            descriptor = os.open(self.source / path, os.O_RDWR)
        except FileNotFoundError:
            yield None
            return
        try:
            exists = os.fstat(descriptor).st_nlink > 0 and (self.source / path).exists()
            yield (descriptor, self.expected.at_source[path]) if exists else None
        finally:
            os.close(descriptor)

    def _change_to(self, path: str, descriptor: int, offset: int, data: bytes, whole: bytes) -> None:
        self.expected.will_write(path, whole)
        os.pwrite(descriptor, data, offset)
        os.ftruncate(descriptor, len(whole))
        self.expected.has_written(path, whole)

    def overwrite(self, path: str, content: bytes) -> None:
        with self._held(path) as found:
            if found:
                self._change_to(path, found[0], 0, content, content)

    def append(self, path: str, content: bytes) -> None:
        with self._held(path) as found:
            if found:
                descriptor, before = found
                self._change_to(path, descriptor, len(before), content, before + content)

    def fill_empty(self) -> None:
        """Give empty files content: they are never ready, so partials of earlier states would stay."""
        for path, content in tuple(self.expected.at_source.items()):
            if not content:
                self.append(path, self.rng.randbytes(WINDOW))

    def alter(self, path: str, where: float) -> None:
        """Flip one bit, as a recorder changes its header when it closes the file."""
        with self._held(path) as found:
            if found and found[1]:
                descriptor, before = found
                at = int(where * len(before))
                changed = bit_turned(before[at:])
                self._change_to(path, descriptor, at, changed[:1], before[:at] + changed)

    def cut(self, path: str, where: float) -> None:
        with self._held(path) as found:
            if found:
                descriptor, before = found
                self._change_to(path, descriptor, 0, b"", before[: max(HEAD_BYTES, int(where * len(before)))])

    def replace(self, path: str, content: bytes) -> None:
        """Rename another file over it, which is held open so that the agent does not remove the new one."""
        if path in self._recordings:
            return
        target = self.source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = self.folder / "draft"
        draft.write_bytes(content)
        with self._held(path):
            self.expected.will_write(path, content)
            if not target.exists():
                self.expected.removed_by_agent(path)
            draft.replace(target)
            self.expected.has_written(path, content)

    def remove(self, path: str) -> None:
        if path not in self._recordings and (self.source / path).exists():
            try:
                (self.source / path).unlink()
            except FileNotFoundError:
                return
            self.expected.removed_by_test(path)

    def touch(self, path: str) -> None:
        with self._held(path) as found:
            if found:
                os.utime(found[0])

    # At the destination

    def foreign_file(self, path: str, number: int, content: bytes) -> None:
        self.foreign_file_named(conflict_path(path, number), content)

    def foreign_duplicate(self, path: str) -> None:
        """The same content under the same name, written by another program."""
        if path in self.expected.at_source and (self.source / path).exists():
            self.foreign_file_named(path, self.expected.at_source[path])

    def foreign_file_named(self, name: str, content: bytes) -> None:
        if name in self.expected.foreign or not self.nas.exists():
            return
        draft = self.folder / "draft"
        draft.write_bytes(content)
        status = draft.stat()
        (self.nas / name).parent.mkdir(parents=True, exist_ok=True)
        self.expected.foreign[name] = ForeignFile(status.st_ino, status.st_mtime_ns, content)
        try:
            (self.nas / name).hardlink_to(draft)
        except FileExistsError:
            del self.expected.foreign[name]
        draft.unlink()

    def unmount(self) -> None:
        if self.nas.exists():
            self.nas.rename(self.folder / "away")

    def mount(self) -> None:
        if not self.nas.exists():
            (self.folder / "away").rename(self.nas)

    def fault(
        self, on: tuple[str, ...], effect: Effect, number: int, late: bool, first: int, times: int
    ) -> None:
        if effect != "flip" or self.keys["verify"] == "read_back":
            self.faults.add(*on, effect=effect, number=number, late=late, first=first, times=times)

    def heal(self) -> None:
        self.faults.heal()

    # To the agent

    def start(self) -> None:
        if not self.agent.is_running:
            self.agent.start()

    def stop(self) -> None:
        self.agent.stop()

    def crash(self) -> None:
        self.agent.crash()
        self.check_destination()

    def kill_a_worker(self) -> None:
        self.agent.kill_a_worker(self.rng)
        self.check_destination()

    def reload(self) -> None:
        self.keys["workers"] = self.rng.randint(1, 3)
        _configure(self.folder, self.keys)
        self.agent.command("/api/reload")

    def pause(self) -> None:
        self.agent.command(f"/api/routes/{ROUTE}/pause")

    def resume(self) -> None:
        self.agent.command(f"/api/routes/{ROUTE}/resume")

    def retry_all(self) -> None:
        self.agent.command("/api/retry")

    def retry(self, path: str) -> None:
        self.agent.command_file(path, "retry")

    def cancel(self, path: str) -> None:
        self.agent.command_file(path, "cancel")

    def check_destination(self) -> None:
        if not self.unexpected:
            self.unexpected = self.expected.unexpected(self.nas)


def _configure(folder: Path, keys: dict[str, Any]) -> None:
    """Replace agent.toml atomically, since an agent may be reading it; the folders are created once."""
    draft = folder if not (folder / "source").exists() else folder / "draft-of-configuration"
    draft.mkdir(exist_ok=True)
    write_config(draft, **keys).replace(folder / "agent.toml")
