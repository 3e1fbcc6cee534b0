"""The id of this installation: made once, and by it we know our temporary files again without the journal."""

import re
import secrets
from pathlib import Path

import structlog

from agent.fs.atomic_write import replace_file
from agent.journal.database import JournalError

_ID = re.compile(r"[0-9a-f]{32}")
_log = structlog.get_logger("journal")


def read_or_make(folder: str) -> tuple[str, bool]:
    """The id in this folder's file `identity`, and whether it has just been made: 32 hexadecimal digits.

    A file that holds no id is replaced: what was made under its name is then nobody's, and left alone.

    Raises:
        JournalError: the file can be neither read nor made.
    """
    path = Path(folder, "identity")
    try:
        if path.exists():
            found = path.read_bytes().decode("ascii", "replace").strip()
            if _ID.fullmatch(found):
                return found, False
            _log.warning("installation id unreadable, a fresh one is made", path=str(path))
        identity = secrets.token_hex(16)
        replace_file(str(path), f"{identity}\n", durable=True)
    except OSError as error:
        raise JournalError(f"the installation id {str(path)!r} cannot be used: {error.strerror}") from error
    return identity, True
