"""Locks on partials across processes: one worker at a time, even if that worker was killed and still lives.

A worker that is stuck in a hung mount outlives its kill signal. Its pending write or truncation may still
happen when the mount responds again, so no other worker may use the same partial meanwhile. Each worker
therefore locks one byte of a local file with a record lock (F_SETLK, fcntl(2)). The kernel releases it only
when the process has exited, also across restarts of the agent.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import xxhash
from attrs import define, field

from agent.fs.private_folder import FILE_MODE
from agent.model.errors import Fault, FaultKind

_OFFSETS = 1 << 62  # fits into a signed 64-bit file offset; the file itself stays empty


@define
class PartialLocks:
    """The locks of one process, for one thread. The first lock creates the local lock file `path`."""

    path: str
    _descriptor: int | None = field(default=None, init=False)

    @contextmanager
    def locked(self, root: str, partial: str) -> Iterator[None]:
        """Hold the lock of this partial below this root until the block ends.

        Raises:
            Fault: BUSY: another process holds the lock. WORKER: the lock file cannot be used.
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
        """Hold the locks of all these partials. Raises: Fault: as `locked`."""
        with ExitStack() as locks:
            for partial in partials:
                locks.enter_context(self.locked(root, partial))
            yield

    def _open(self) -> int:
        if self._descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, FILE_MODE)
        return self._descriptor
