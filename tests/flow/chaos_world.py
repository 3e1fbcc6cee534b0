"""A house, its source and its destination, and everything that may happen to them."""

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
from tests.flow.agent_forks import LOTS, SCRIPT, Zygote
from tests.flow.chaos_agent import House
from tests.flow.chaos_model import ROUTE, Book, Foreign
from tests.flow.chaos_steps import HEAD_BYTES, WINDOW, Step
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
class World:
    """Each step is a method."""

    folder: Path
    lot: random.Random
    house: House
    script: FaultScript
    book: Book
    keys: dict[str, Any]
    done: Counter[str] = field(factory=Counter)
    strangers: list[str] = field(factory=list)
    _recordings: dict[str, tuple[int, bytes]] = field(factory=dict)

    @classmethod
    def made(cls, folder: Path, lot: random.Random, zygote: Zygote) -> "World":
        keys: dict[str, Any] = {
            "after": lot.choice(("delete", "delete", "delete", "keep", "archive:archive")),
            "conflict": lot.choice(("rename", "rename", "fail")),
            "verify": lot.choice(("read_back", "read_back", "read_back", "hash")),
            "workers": lot.randint(1, 3),
            "max_attempts": lot.randint(1, 3),
            "growing": lot.random() < 0.3,
            "growing_min_size": 3 * WINDOW,
            **IMPATIENT,
        }
        _configure(folder, keys)
        if lot.random() < 0.5:
            (folder / LOTS).touch()
        book = Book(folder / "source", folder / "archive", str(keys["after"]).partition(":")[0])
        return cls(folder, lot, House(folder, zygote), FaultScript(folder / SCRIPT), book, keys)

    @property
    def source(self) -> Path:
        return self.book.source

    @property
    def nas(self) -> Path:
        return self.folder / "nas"

    def take(self, step: Step) -> None:
        getattr(self, step.name)(*step.values)
        self.done[step.name] += 1
        time.sleep(step.gap_s)

    # At the source

    def arrive(self, path: str, content: bytes) -> None:
        self.record(path, content)
        self.close(path)

    def record(self, path: str, content: bytes) -> None:
        """The first half of a file; who writes it holds it open."""
        place = self.source / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            return
        self.book.left(path)
        self.book.announce(path, content)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(descriptor, content[: len(content) // 2])
        self._recordings[path] = descriptor, content

    def close_all(self) -> None:
        for path in tuple(self._recordings):
            self.close(path)

    def close(self, path: str) -> None:
        if path in self._recordings:
            descriptor, content = self._recordings.pop(path)
            os.write(descriptor, content[len(content) // 2 :])
            self.book.stands(path, content)
            os.close(descriptor)

    @contextmanager
    def _held(self, path: str) -> Iterator[tuple[int, bytes] | None]:
        """A file that still stands at the source; open for writing, so that nobody lets go of it."""
        if path in self._recordings:
            yield None
            return
        try:
            descriptor = os.open(self.source / path, os.O_RDWR)
        except FileNotFoundError:
            yield None
            return
        try:
            stands = os.fstat(descriptor).st_nlink > 0 and (self.source / path).exists()
            yield (descriptor, self.book.standing[path]) if stands else None
        finally:
            os.close(descriptor)

    def _becomes(self, path: str, descriptor: int, offset: int, data: bytes, whole: bytes) -> None:
        self.book.announce(path, whole)
        os.pwrite(descriptor, data, offset)
        os.ftruncate(descriptor, len(whole))
        self.book.stands(path, whole)

    def overwrite(self, path: str, content: bytes) -> None:
        with self._held(path) as found:
            if found:
                self._becomes(path, found[0], 0, content, content)

    def append(self, path: str, content: bytes) -> None:
        with self._held(path) as found:
            if found:
                descriptor, before = found
                self._becomes(path, descriptor, len(before), content, before + content)

    def fill_empty(self) -> None:
        """An empty file is never ready, so what an earlier state of it left behind waits for a later one."""
        for path, content in tuple(self.book.standing.items()):
            if not content:
                self.append(path, self.lot.randbytes(WINDOW))

    def alter(self, path: str, where: float) -> None:
        """One bit, somewhere, as when a recorder writes its head at the end."""
        with self._held(path) as found:
            if found and found[1]:
                descriptor, before = found
                at = int(where * len(before))
                changed = bit_turned(before[at:])
                self._becomes(path, descriptor, at, changed[:1], before[:at] + changed)

    def cut(self, path: str, where: float) -> None:
        with self._held(path) as found:
            if found:
                descriptor, before = found
                self._becomes(path, descriptor, 0, b"", before[: max(HEAD_BYTES, int(where * len(before)))])

    def replace(self, path: str, content: bytes) -> None:
        """By renaming another over it; held, since no system deletes a file only if it is still the same."""
        if path in self._recordings:
            return
        place = self.source / path
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = self.folder / "draft"
        draft.write_bytes(content)
        with self._held(path):
            self.book.announce(path, content)
            if not place.exists():
                self.book.left(path)
            draft.replace(place)
            self.book.stands(path, content)

    def remove(self, path: str) -> None:
        if path not in self._recordings and (self.source / path).exists():
            try:
                (self.source / path).unlink()
            except FileNotFoundError:
                return
            self.book.taken(path)

    def touch(self, path: str) -> None:
        with self._held(path) as found:
            if found:
                os.utime(found[0])

    # At the destination

    def stranger(self, path: str, number: int, content: bytes) -> None:
        self.stranger_named(conflict_path(path, number), content)

    def twin(self, path: str) -> None:
        """The same content under the same name, from somebody else."""
        if path in self.book.standing and (self.source / path).exists():
            self.stranger_named(path, self.book.standing[path])

    def stranger_named(self, name: str, content: bytes) -> None:
        if name in self.book.foreign or not self.nas.exists():
            return
        draft = self.folder / "draft"
        draft.write_bytes(content)
        status = draft.stat()
        (self.nas / name).parent.mkdir(parents=True, exist_ok=True)
        self.book.foreign[name] = Foreign(status.st_ino, status.st_mtime_ns, content)
        try:
            (self.nas / name).hardlink_to(draft)
        except FileExistsError:
            del self.book.foreign[name]
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
            self.script.add(*on, effect=effect, number=number, late=late, first=first, times=times)

    def heal(self) -> None:
        self.script.heal()

    # To the house

    def start(self) -> None:
        if not self.house.lives:
            self.house.start()

    def stop(self) -> None:
        self.house.stop()

    def crash(self) -> None:
        self.house.crash()
        self.look()

    def kill_a_worker(self) -> None:
        self.house.kill_a_worker(self.lot)
        self.look()

    def reload(self) -> None:
        self.keys["workers"] = self.lot.randint(1, 3)
        _configure(self.folder, self.keys)
        self.house.order("/api/reload")

    def pause(self) -> None:
        self.house.order(f"/api/routes/{ROUTE}/pause")

    def resume(self) -> None:
        self.house.order(f"/api/routes/{ROUTE}/resume")

    def retry_all(self) -> None:
        self.house.order("/api/retry")

    def retry(self, path: str) -> None:
        self.house.order_for(path, "retry")

    def cancel(self, path: str) -> None:
        self.house.order_for(path, "cancel")

    def look(self) -> None:
        if not self.strangers:
            self.strangers = self.book.strangers(self.nas)


def _configure(folder: Path, keys: dict[str, Any]) -> None:
    """All at once, since a house may be reading it; the folders are only made the first time."""
    draft = folder if not (folder / "source").exists() else folder / "draft-of-configuration"
    draft.mkdir(exist_ok=True)
    write_config(draft, **keys).replace(folder / "agent.toml")
