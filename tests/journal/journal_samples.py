"""Files and transfers for the journal's tests."""

import os

from agent.journal.journal import Journal
from agent.model.source_file import FileVersion, Signature
from agent.model.transfer import Transfer
from agent.model.views import HistoryResult

STATE = Signature(device=2049, inode=2**64 - 1, size_bytes=5_000, mtime_ns=16 * 10**18, ctime_ns=-1)
HASH = "xxh128:" + "0" * 32
NOT_UTF8 = os.fsdecode(b"caf\xe9/-\n\xff.mxf")


def a_file(path: str = "a.mxf", route: str = "mxf", signature: Signature = STATE) -> FileVersion:
    return FileVersion(id=path, route=route, path=path, signature=signature, discovered_at=10.5)


def begun(journal: Journal, path: str = "a.mxf", route: str = "mxf") -> Transfer:
    return journal.begin(a_file(path, route), "/src", "/nas", f".{path}.partial", at=20.25)


def ended(journal: Journal, path: str, result: HistoryResult, at: float = 30.0, route: str = "mxf") -> int:
    transfer = begun(journal, path, route)
    journal.mark_verified(transfer.id, path, HASH, "read_back")
    error = "unreadable" if result == "failed" else None
    journal.finish(transfer.id, result, 1, error, at, f"/nas/{path}")
    return transfer.id


def digests(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(16) for number in numbers)
