"""Files and transfers for the journal's tests."""

import os
import sqlite3
from pathlib import Path

from agent.journal import transfers
from agent.journal.client import JournalClient
from agent.journal.journal import Journal
from agent.model.source_file import FileVersion, Signature
from agent.model.transfer import Transfer, TransferResult, VerifiedTransfer
from agent.model.views import HistoryResult

STATE = Signature(device=2049, inode=2**64 - 1, size_bytes=5_000, mtime_ns=16 * 10**18, ctime_ns=-1)
HASH = "xxh128:" + "0" * 32
NOT_UTF8 = os.fsdecode(b"caf\xe9/-\n\xff.mxf")


def a_file(path: str = "a.mxf", route: str = "mxf", signature: Signature = STATE) -> FileVersion:
    return FileVersion(id=path, route=route, path=path, signature=signature, discovered_at=10.5)


def begun(journal: Journal, path: str = "a.mxf", route: str = "mxf") -> Transfer:
    return begin(journal, a_file(path, route), "/nas", f".{path}.partial")


def begin(journal: Journal, file: FileVersion, destination: str = "/nas", partial: str = "p") -> Transfer:
    files = {partial: file}
    return journal.write(transfers.begin_or_resume, files, "/src", destination, at=20.25)[file.path]


async def begin_on(journal: JournalClient, file: FileVersion, partial: str = "p") -> Transfer:
    return (await journal.write(transfers.begin_or_resume, {partial: file}, "/src", "/nas", 2.0))[file.path]


def find(journal: Journal, path: str, route: str = "mxf") -> Transfer | None:
    return journal.write(transfers.find, route, [path]).get(path)


def ended(journal: Journal, path: str, result: HistoryResult, at: float = 30.0, route: str = "mxf") -> int:
    transfer = begun(journal, path, route)
    journal.write(transfers.mark_verified, [VerifiedTransfer(transfer.id, path, HASH, "read_back")])
    error = "unreadable" if result == "failed" else None
    journal.write(transfers.finish, [TransferResult(transfer.id, result, 1, error, at, f"/nas/{path}")])
    return transfer.id


def digests(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(16) for number in numbers)


def make_newer(path: Path) -> None:
    """The journal in this file is one of a later version."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("UPDATE alembic_version SET version_num = 'journal_9999'")
    other.close()
