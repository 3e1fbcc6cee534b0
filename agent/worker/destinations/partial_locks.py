"""A partial belongs to one worker at a time, even to one that was killed and has not died yet.

A worker that is stuck in a dead mount outlives its kill signal, and what it was doing there (a write, a
truncation) may still happen when the mount answers again: then nobody else may be at work on the same file.
Whoever works on a partial therefore holds a byte of a local file, by a record lock (F_SETLK in fcntl(2)): the
kernel lets go of it when the process has really gone, and not before, across restarts of the agent.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import xxhash
from attrs import define, field

from agent.model.errors import Fault, FaultKind

_OFFSETS = 1 << 62  # what fits into a signed 64-bit file offset; the file itself stays empty


@define
class PartialLocks:
    """`path`: the local file that carries the locks, made at the first claim. For one thread of a process."""

    path: str
    _descriptor: int | None = field(default=None, init=False)

    @contextmanager
    def locked(self, root: str, partial: str) -> Iterator[None]:
        """The sole right to work on this partial below this root.

        Raises:
            Fault: BUSY: another process holds it. WORKER: the file of locks cannot be used.
        """
        offset = xxhash.xxh64_intdigest(f"{root}\0{partial}".encode("utf-8", "surrogateescape")) % _OFFSETS
        try:
            descriptor = self._open()
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except (BlockingIOError, PermissionError) as error:
            raise Fault(FaultKind.BUSY, "a killed worker is still at work on the partial") from error
        except OSError as error:
            raise Fault(FaultKind.WORKER, f"{self.path} cannot be locked: {error.strerror}") from error
        try:
            yield
        finally:
            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, offset)

    @contextmanager
    def all_locked(self, root: str, partials: Iterable[str]) -> Iterator[None]:
        """The sole right to all of these. Raises: Fault: as `locked`."""
        with ExitStack() as claims:
            for partial in partials:
                claims.enter_context(self.locked(root, partial))
            yield

    def _open(self) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self._descriptor
