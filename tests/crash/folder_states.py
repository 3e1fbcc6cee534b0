"""The files in the folders of a run, and the content of its journal."""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import xxhash
from attrs import frozen

from agent.model.verification import DIGEST_BYTES

FOLDERS = ("source", "nas", "archive")
JOURNAL = ("journal.db", "journal.db-wal")


@frozen
class FileState:
    """Identity and content of a file."""

    inode: int
    size_bytes: int
    digest: str


FolderState = dict[str, FileState]


def read_folders(folder: Path) -> FolderState:
    """Every file in the folders of a run, by its path from there."""
    paths = [path for name in FOLDERS for path in (folder / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): _file_state(path) for path in paths}


def _file_state(path: Path) -> FileState:
    content = path.read_bytes()
    return FileState(path.stat().st_ino, len(content), digest_of(content))


def digest_of(content: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(content)


@frozen
class JournalState:
    """The journal of a dead agent. `history`: path and result; `blocks`: how many are verified, by path."""

    running: tuple[str, ...] = ()
    history: tuple[tuple[str, str], ...] = ()
    blocks: tuple[tuple[str, int], ...] = ()


def read_journal(folder: Path) -> JournalState:
    """Read a copy, since opening a journal changes it."""
    if not (folder / "state" / "journal.db").exists():
        return JournalState()
    with tempfile.TemporaryDirectory() as aside:
        for name in JOURNAL:
            if (folder / "state" / name).exists():
                shutil.copy(folder / "state" / name, aside)
        with closing(sqlite3.connect(Path(aside, "journal.db"))) as db:
            return _journal_state(db)


def _journal_state(db: sqlite3.Connection) -> JournalState:
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'transfers'").fetchall():
        return JournalState()  # killed before the tables were made
    running = db.execute("SELECT path FROM transfers")
    history = db.execute("SELECT path, result FROM history")
    blocks = db.execute(
        "SELECT path, sum(length(digests)) FROM blocks JOIN transfers ON id = transfer_id GROUP BY path"
    )
    return JournalState(
        tuple(path.decode() for (path,) in running),
        tuple((path.decode(), result) for path, result in history),
        tuple((path.decode(), length // DIGEST_BYTES) for path, length in blocks),
    )
