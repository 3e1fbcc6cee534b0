"""How one file arrives at a destination: copied into its partial, then given a name that was free."""

import os
from contextlib import closing

import xxhash

from agent.fs.syscalls import closing_fd
from agent.model.errors import Fault, FaultKind
from agent.model.names import conflict_path
from agent.model.transfer import BLOCK_BYTES, VerifyLevel
from agent.protocol.replies import (
    AlreadyPresent,
    Copied,
    PartialAllocated,
    PublishedWhole,
)
from agent.protocol.requests import CopyFile, PublishFile
from agent.worker.copy.engine import CopyEngine
from agent.worker.copy.io_side import IoSideTracker
from agent.worker.copy.pipeline import CopyProgress, Report
from agent.worker.copy.publish import publish_file, refuse_conflict
from agent.worker.copy.reader import read_exactly
from agent.worker.destinations.base import Destination, Existing
from agent.worker.source.source_file import check_unchanged, open_source


def copy_file(
    request: CopyFile, destination: Destination, report: Report, whereabouts: IoSideTracker | None = None
) -> Copied | AlreadyPresent | PublishedWhole | PartialAllocated:
    """Copy, verify, and make sure that the source was the same before and after.

    Found when the same content stands there already, under the name or one that makes way for it. Placed when
    the destination takes such a file only as a whole, and has. Reserved when nothing was copied yet.
    `whereabouts` tells another thread on which side this one is.

    Raises:
        Fault: SOURCE*, DESTINATION, REFUSED, CORRUPT or CONFLICT.
    """
    whereabouts = whereabouts or IoSideTracker()
    tally = CopyProgress(report, whereabouts)
    with whereabouts.at_source():
        opened = open_source(request.source, request.path, request.signature)
    with closing_fd(opened) as source:
        if not request.digests:
            found = _already_present(request, source, destination, CopyProgress(report, whereabouts))
            if found is not None:
                destination.discard(request.partial)  # an attempt that ended before its first checkpoint
                return found
        size_bytes = request.signature.size_bytes
        exact = destination.allocate_partial(request.partial, request.name, size_bytes, request.conflict)
        if exact != request.partial:
            return PartialAllocated(exact)
        with closing(destination.open_partial(exact)) as partial:
            engine = CopyEngine(source, size_bytes, partial, request.verify, request.bandwidth, tally)
            if request.source_changed:
                digest, level = engine.reconcile(request.digests, request.trusted_blocks)
            else:
                digest, level = engine.copy(request.digests)
            partial.finalize(request.signature.mtime_ns)
            partial.fsync_parents()  # a small one has had no checkpoint
        with whereabouts.at_source():
            check_unchanged(request.source, request.path, source, request.signature)
        if not partial.survives_request:
            return _publish_whole(request, digest, level, destination, report)
    return Copied(
        digest, level, tally.read_bytes, tally.kept_bytes, tally.repaired_blocks, tally.patched_blocks
    )


def _publish_whole(
    request: CopyFile, digest: bytes, level: VerifyLevel, destination: Destination, report: Report
) -> PublishedWhole:
    publication = PublishFile(
        destination=request.destination,
        partial=request.partial,
        name=request.name,
        conflict=request.conflict,
        size_bytes=request.signature.size_bytes,
        digest=digest,
        read_back=request.verify == "read_back",
    )
    published = publish_file(publication, destination, report)
    return PublishedWhole(digest, published.level or level, published.name, published.already_present)


def _already_present(
    request: CopyFile, source: int, destination: Destination, tally: CopyProgress
) -> AlreadyPresent | None:
    number = 0
    while True:
        name = conflict_path(request.name, number)
        if not destination.exists(name):
            return None
        existing = destination.find(name)
        if existing is not None:
            with closing(existing):
                _refuse_itself(source, existing, name)
                digest = _same_content(request.signature.size_bytes, source, existing, tally)
                if digest is not None:
                    existing.make_durable()
                    with tally.io_side.at_source():
                        check_unchanged(request.source, request.path, source, request.signature)
                    return AlreadyPresent(digest, existing.read_back_level, name)
        refuse_conflict(request.conflict, name)
        number += 1


def _same_content(size_bytes: int, source: int, existing: Existing, tally: CopyProgress) -> bytes | None:
    """The digest of both if they are equal; stops at the first difference."""
    if existing.size_bytes != size_bytes:
        return None
    content = xxhash.xxh3_128()
    for offset in range(0, size_bytes, BLOCK_BYTES):
        with tally.io_side.at_source():
            data = read_exactly(source, offset, min(BLOCK_BYTES, size_bytes - offset))
        if existing.read_back(offset, len(data)) != data:
            return None
        content.update(data)
        tally.copied_bytes = tally.verified_bytes = offset + len(data)
        tally.report_if_due()
    return content.digest()


def _refuse_itself(source: int, existing: Existing, name: str) -> None:
    """A destination that leads back to the source (a link, a bind mount) holds no second copy."""
    status = os.fstat(source)
    if existing.is_file(status.st_dev, status.st_ino):
        raise Fault(FaultKind.CONFLICT, f"{name!r} at the destination is the source file itself")
