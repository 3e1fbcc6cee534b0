"""Check that a published file is still what was delivered."""

from contextlib import closing

import xxhash

from agent.model.errors import Fault
from agent.model.verification import BLOCK_BYTES
from agent.protocol.replies import VerifyResult
from agent.protocol.requests import VerifyFile
from agent.worker.copy.pipeline import CopyProgress, Report
from agent.worker.destinations.base import Destination, Existing


def verify_file(request: VerifyFile, destination: Destination, report: Report) -> VerifyResult:
    """Read the file back and compare size and hash; one that cannot be read has a verdict too."""
    try:
        return confirm_delivery(request, destination, report)
    except Fault as fault:
        return VerifyResult("unreadable", fault.detail)


def confirm_delivery(request: VerifyFile, destination: Destination, report: Report) -> VerifyResult:
    """As `verify_file`.

    Raises:
        Fault: DESTINATION: an outage, which says nothing about the file.
    """
    existing = destination.find(request.name)
    if existing is None:
        return _not_found(request.name, destination)
    with closing(existing):
        return _compared(request, existing, CopyProgress(report))


def _not_found(name: str, destination: Destination) -> VerifyResult:
    if destination.exists(name):
        return VerifyResult("unreadable", "no regular file, or no permission to read it")
    return VerifyResult("missing")


def _compared(request: VerifyFile, existing: Existing, progress: CopyProgress) -> VerifyResult:
    if (size_bytes := existing.size_bytes) != request.size_bytes:
        return VerifyResult("altered", f"size: {size_bytes} bytes instead of {request.size_bytes}")
    if request.digest is None:
        return VerifyResult("verified", "", "size")
    content = xxhash.xxh3_128()
    for offset in range(0, size_bytes, BLOCK_BYTES):
        content.update(existing.read_back(offset, min(BLOCK_BYTES, size_bytes - offset)))
        progress.copied_bytes = progress.verified_bytes = min(offset + BLOCK_BYTES, size_bytes)
        progress.report_if_due()
    if content.digest() != request.digest:
        return VerifyResult(
            "altered",
            f"hash: {content.hexdigest()} instead of {request.digest.hex()}",
            existing.read_back_level,
        )
    return VerifyResult("verified", "", existing.read_back_level)
