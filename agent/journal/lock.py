"""One agent per state folder."""

import fcntl
import os
from pathlib import Path

from attrs import define, field

from agent.fs.safe_open import make_root
from agent.journal.database import JournalError


class StateLocked(JournalError):  # noqa: N818  a state of affairs, not a mistake
    """Another agent uses this state folder."""


@define
class StateLock:
    """Holds a state folder, made if missing, for this process; the kernel lets go when the process dies.

    The file `lock` in it carries flock(2) and the holder's pid; it is never removed, because a lock on a
    removed file would keep nobody out.

    Raises:
        StateLocked: another process holds it.
        JournalError: the folder can be neither used nor made.
    """

    folder: str
    _descriptor: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        try:
            make_root(self.folder)
            self._descriptor = os.open(Path(self.folder, "lock"), os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise JournalError(
                f"the state folder {self.folder!r} cannot be used: {error.strerror}"
            ) from error
        try:
            self._take()
        except OSError as error:
            self.release()
            raise JournalError(
                f"the state folder {self.folder!r} cannot be used: {error.strerror}"
            ) from error
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        os.close(self._descriptor)

    def _take(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise StateLocked(
                f"the state folder {self.folder!r} is in use by another agent (pid {pid})"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
