"""The state folder: one agent holds it at a time, and it keeps the installation's identity."""

import fcntl
import os
import re
import secrets
from pathlib import Path

import structlog
from attrs import define, field

from agent.fs.atomic_write import replace_file
from agent.fs.private_folder import FILE_MODE, NotOurs, protect
from agent.fs.safe_open import make_root
from agent.journal.errors import JournalError, JournalRefused

_FILES = ("lock", "identity", "address", "partial-locks", "journal.db")  # how the names of our files begin
_ID = re.compile(r"[0-9a-f]{32}")
_log = structlog.get_logger("journal")


class StateLocked(JournalRefused):
    """Another agent uses this state folder."""


@define
class StateLock:
    """Holds a state folder, made if missing, for this process; the kernel releases it when the process dies.

    Nobody else gets into the folder. It is refused if somebody else may have prepared what is in it.

    The file `lock` in it carries flock(2) and the holder's pid; it is never removed, because a lock on a
    removed file would keep nobody out.

    Raises:
        StateLocked: another process holds it.
        JournalRefused: somebody else may have prepared what is in it.
        JournalError: the folder can be neither used nor made.
    """

    folder: str
    _descriptor: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        try:
            make_root(self.folder)
            protect(self.folder, _FILES)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(Path(self.folder, "lock"), flags, FILE_MODE)
        except NotOurs as reason:
            raise JournalRefused(f"the state folder {self.folder!r} cannot be used: {reason}") from reason
        except OSError as error:
            raise self._unusable(error) from error
        try:
            self._take()
        except OSError as error:
            self.release()
            raise self._unusable(error) from error
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

    def _unusable(self, error: OSError) -> JournalError:
        return JournalError(f"the state folder {self.folder!r} cannot be used: {error.strerror}")


def read_identity(folder: str) -> str | None:
    """The installation's id, 32 hexadecimal digits; None: there is none, or it cannot be read."""
    try:
        return _identity_in(Path(folder, "identity"))
    except OSError:
        return None


def _identity_in(file: Path) -> str | None:
    found = file.read_bytes().decode("ascii", "replace").strip()
    return found if _ID.fullmatch(found) else None


def read_or_make_identity(folder: str) -> tuple[str, bool]:
    """The installation's id, 32 hexadecimal digits, and whether it was made just now.

    It is made once, in the file `identity`; by it our temporary files are recognized without the journal. A
    file that holds no id is replaced: temporary files made under its id are then nobody's, and stay.

    Raises:
        JournalError: the file can be neither read nor made.
    """
    path = Path(folder, "identity")
    try:
        if path.exists():
            if (found := _identity_in(path)) is not None:
                return found, False
            _log.warning("installation id unreadable, a fresh one is made", path=str(path))
        identity = secrets.token_hex(16)
        replace_file(str(path), f"{identity}\n", durable=True)
    except OSError as error:
        raise JournalError(f"the installation id {str(path)!r} cannot be used: {error.strerror}") from error
    return identity, True
