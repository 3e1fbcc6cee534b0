"""Whether a published file is still what was delivered."""

from contextlib import closing

import xxhash

from agent.faults import Fault
from agent.protocol import BLOCK_BYTES, Checked, CheckFile
from agent.stores.destination import Destination, Existing
from agent.stores.pipeline import Report, Tally


def check_file(request: CheckFile, destination: Destination, report: Report) -> Checked:
    """Read the file back and compare size and hash; whatever keeps it from being read is a verdict too."""
    try:
        existing = destination.find(request.name)
        if existing is None:
            return _not_found(request.name, destination)
        with closing(existing):
            return _compared(request, existing, Tally(report))
    except Fault as fault:
        return Checked("unreadable", fault.detail)


def _not_found(name: str, destination: Destination) -> Checked:
    if destination.stands(name):
        return Checked("unreadable", "no regular file, or no permission to read it")
    return Checked("missing")


def _compared(request: CheckFile, existing: Existing, tally: Tally) -> Checked:
    if (size_bytes := existing.size_bytes) != request.size_bytes:
        return Checked("altered", f"size: {size_bytes} bytes instead of {request.size_bytes}")
    content = xxhash.xxh3_128()
    for offset in range(0, size_bytes, BLOCK_BYTES):
        content.update(existing.read_back(offset, min(BLOCK_BYTES, size_bytes - offset)))
        tally.copied_bytes = tally.verified_bytes = min(offset + BLOCK_BYTES, size_bytes)
        tally.progress()
    if content.digest() != request.digest:
        return Checked(
            "altered",
            f"hash: {content.hexdigest()} instead of {request.digest.hex()}",
            existing.read_back_level,
        )
    return Checked("verified", "", existing.read_back_level)
