"""Which faults are set, and what becomes of an operation under them. Free of FUSE; safe for many threads."""

import errno
import fnmatch
import os
import threading
import time
from collections.abc import Iterable
from typing import NoReturn

from attrs import define, field

# Those that change what is stored, or what of it is durable; a cut is counted in them.
MUTATING = frozenset(
    {
        "chmod",
        "chown",
        "create",
        "fsync",
        "fsyncdir",
        "link",
        "mkdir",
        "rename",
        "rmdir",
        "truncate",
        "unlink",
        "utimens",
        "write",
    }
)


def refuse(number: int) -> NoReturn:
    raise OSError(number, os.strerror(number))


@define
class Turns:
    """The first `skipped` occasions pass, the next `times` count (None: all of them), then it is over."""

    skipped: int = 0
    times: int | None = None

    def take(self) -> bool:
        if self.skipped > 0:
            self.skipped -= 1
            return False
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0


@define
class ErrorFault:
    operations: frozenset[str]
    errno: int
    glob: str
    turns: Turns


@define
class FlipFault:
    glob: str
    offset: int
    turns: Turns


@define
class ShortFault:
    limit_bytes: int
    turns: Turns


@define(eq=False)
class Faults:
    """Set by the control channel, asked by every operation before it touches the storage."""

    _changed: threading.Condition = field(factory=threading.Condition, init=False)
    _hung: frozenset[str] | None = field(factory=frozenset, init=False)  # None: every operation
    _hung_glob: str = field(default="*", init=False)
    _latency_s: float = field(default=0.0, init=False)
    _waiting: int = field(default=0, init=False)
    _errors: list[ErrorFault] = field(factory=list, init=False)
    _flips: list[FlipFault] = field(factory=list, init=False)
    _shorts: list[ShortFault] = field(factory=list, init=False)
    _budget_bytes: int | None = field(default=None, init=False)
    _is_quota: bool = field(default=False, init=False)
    _name_max_bytes: int | None = field(default=None, init=False)
    _read_only: bool = field(default=False, init=False)
    _bytes_s: float | None = field(default=None, init=False)
    _slow_until_s: float = field(default=0.0, init=False)
    _is_slow_at_sync: bool = field(default=False, init=False)
    _unsynced_bytes: int = field(default=0, init=False)  # accepted while slow at a sync
    _mutations: int = field(default=0, init=False)
    _left_until_cut: int | None = field(default=None, init=False)
    _generation: int = field(default=0, init=False)  # how often the power came back

    # What tests set

    def error(
        self, operations: Iterable[str], number: int, glob: str, skipped: int, times: int | None
    ) -> None:
        with self._changed:
            self._errors.append(ErrorFault(frozenset(operations), number, glob, Turns(skipped, times)))

    def hang(self, operations: Iterable[str] | None, glob: str) -> None:
        with self._changed:
            self._hung = None if operations is None else frozenset(operations)
            self._hung_glob = glob

    def release(self) -> None:
        with self._changed:
            self._hung = frozenset()
            self._changed.notify_all()

    def flip(self, glob: str, offset: int, times: int | None) -> None:
        with self._changed:
            self._flips.append(FlipFault(glob, offset, Turns(times=times)))

    def short(self, limit_bytes: int, times: int | None) -> None:
        with self._changed:
            self._shorts.append(ShortFault(limit_bytes, Turns(times=times)))

    def full(self, budget_bytes: int | None, *, is_quota: bool = False) -> None:
        """`is_quota`: the figures of the file system do not show it."""
        with self._changed:
            self._budget_bytes, self._is_quota = budget_bytes, is_quota

    def read_only(self, on: bool) -> None:
        with self._changed:
            self._read_only = on

    def name_max(self, name_max_bytes: int | None) -> None:
        with self._changed:
            self._name_max_bytes = name_max_bytes

    def slow(self, bytes_s: float | None, *, at_sync: bool = False) -> None:
        with self._changed:
            self._bytes_s, self._slow_until_s = bytes_s, 0.0
            self._is_slow_at_sync, self._unsynced_bytes = at_sync, 0
            self._changed.notify_all()

    def latency(self, latency_s: float) -> None:
        self._latency_s = latency_s

    def cut_after(self, mutations: int) -> None:
        with self._changed:
            self._left_until_cut = mutations
            self._changed.notify_all()

    def restore_power(self) -> None:
        """No cut any more, nor one to come; mutations are counted afresh."""
        with self._changed:
            self._mutations, self._left_until_cut = 0, None
            self._generation += 1
            self._changed.notify_all()

    def clear(self) -> None:
        """All but a cut is undone, and what hangs is released."""
        with self._changed:
            for faults in (self._errors, self._flips, self._shorts):
                faults.clear()
            self._budget_bytes, self._read_only, self._bytes_s, self._latency_s = None, False, None, 0.0
        self.release()

    # What tests ask

    @property
    def mutations(self) -> int:
        return self._mutations

    @property
    def waiting(self) -> int:
        """How many operations hang at this moment."""
        return self._waiting

    @property
    def is_cut(self) -> bool:
        return self._left_until_cut is not None and self._left_until_cut <= 0

    def await_cut(self) -> None:
        """Until the power is cut, or else is known to be back."""
        with self._changed:
            generation = self._generation
            self._changed.wait_for(lambda: self.is_cut or self._generation != generation)

    # What operations ask

    def admit(self, operation: str, path: str) -> None:
        """Take as long as the line takes, wait while this operation hangs, then count it.

        Raises:
            OSError: it is to fail.
        """
        if self._latency_s:
            time.sleep(self._latency_s)
        with self._changed:
            if (
                self._name_max_bytes is not None
                and len(os.fsencode(os.path.basename(path))) > self._name_max_bytes
            ):
                refuse(errno.ENAMETOOLONG)
            self._waiting += 1
            self._changed.wait_for(lambda: not self._hangs(operation, path))
            self._waiting -= 1
            for fault in self._errors:
                if (
                    operation in fault.operations
                    and fnmatch.fnmatchcase(path, fault.glob)
                    and fault.turns.take()
                ):
                    refuse(fault.errno)
            if operation in MUTATING:
                self._count()

    def _hangs(self, operation: str, path: str) -> bool:
        if self._hung is not None and operation not in self._hung:
            return False
        return fnmatch.fnmatchcase(path, self._hung_glob)

    def refuse_writing(self) -> None:
        """Raises: OSError: EROFS."""
        if self._read_only:
            refuse(errno.EROFS)

    def accepted(self, path: str, data: bytes, offset: int) -> bytes:
        """What of a write reaches the storage: perhaps less of it, perhaps altered."""
        with self._changed:
            for short in self._shorts:
                if len(data) > short.limit_bytes and short.turns.take():
                    data = data[: short.limit_bytes]
            for flip in self._flips:
                place = flip.offset - offset
                if 0 <= place < len(data) and fnmatch.fnmatchcase(path, flip.glob) and flip.turns.take():
                    data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        return data

    def note_written(self, length: int) -> None:
        with self._changed:
            self._unsynced_bytes += length

    def crawl_at_sync(self) -> None:
        """Take as long as what was written since the last sync takes."""
        with self._changed:
            length, self._unsynced_bytes = self._unsynced_bytes, 0
        self.crawl(length, is_sync=True)

    def crawl(self, length: int, *, is_sync: bool = False) -> None:
        """Take as long as this many bytes take; all operations share one slow line."""
        with self._changed:
            if self._bytes_s is None:
                return
            if self._is_slow_at_sync and not is_sync:
                return
            until_s = max(self._slow_until_s, time.monotonic()) + length / self._bytes_s
            self._slow_until_s = until_s
            self._changed.wait_for(lambda: self._bytes_s is None, until_s - time.monotonic())

    def spend(self, growth_bytes: int) -> None:
        """Take from the budget, or give back. Raises: OSError: ENOSPC."""
        with self._changed:
            if self._budget_bytes is None:
                return
            if growth_bytes > self._budget_bytes:
                refuse(errno.ENOSPC)
            self._budget_bytes -= growth_bytes

    def free_bytes(self, really_bytes: int) -> int:
        budget_bytes = self._budget_bytes
        return really_bytes if budget_bytes is None or self._is_quota else min(really_bytes, budget_bytes)

    def allowed_name_bytes(self, really_bytes: int) -> int:
        return really_bytes if self._name_max_bytes is None else self._name_max_bytes

    def _count(self) -> None:
        if self.is_cut:
            refuse(errno.EIO)
        if self._read_only:
            refuse(errno.EROFS)
        self._mutations += 1
        if self._left_until_cut is not None:
            self._left_until_cut -= 1
            if self._left_until_cut == 0:
                self._changed.notify_all()
