"""Copy one file into its partial, block by block, and verify it."""

import os
from contextlib import closing

import xxhash

from agent.fs.syscalls import closing_fd
from agent.model.errors import Fault, FaultKind
from agent.model.verification import BLOCK_BYTES
from agent.protocol.replies import Copied, PartialAllocated, Published, Unfinished
from agent.protocol.requests import CopyFile, PartialToPublish, PublishFiles
from agent.worker.copy.engine import CopyEngine
from agent.worker.copy.io_side import IoSideTracker
from agent.worker.copy.pipeline import CopyProgress, Report
from agent.worker.copy.publish import name_to_try, publish_files, refuse_conflict
from agent.worker.copy.reader import check_own, read_exactly
from agent.worker.copy.unfinished import examine, unless_unfinished
from agent.worker.destinations.base import Destination, Existing
from agent.worker.source.source_file import check_unchanged, open_source


def copy_file(
    request: CopyFile, destination: Destination, report: Report, io_side: IoSideTracker | None = None
) -> Copied | PartialAllocated | Unfinished:
    """Copy, verify, and make sure that the source was the same before and after.

    The copy is published already when the same content has the name or one that makes way for it, and when
    the destination takes such a file only as a whole. PartialAllocated: nothing was copied yet. Unfinished:
    by the request's rule, and nothing was written.
    `io_side` shows another thread on which side this one waits.

    Raises:
        Fault: SOURCE*, DESTINATION, REFUSED, CORRUPT, CONFLICT, DISPLACED or PARTIAL_GONE.
    """
    io_side = io_side or IoSideTracker()
    progress = CopyProgress(report, io_side)
    try:
        with io_side.at_source():
            opened = open_source(request.source, request.path, request.signature)
    except Fault as fault:
        outcome = unless_unfinished(request, fault)
        if isinstance(outcome, Unfinished):
            return outcome
        raise
    with closing_fd(opened) as source:
        if (unfinished := examine(request, source, progress)) is not None:
            return unfinished
        if not request.digests:
            present = _already_present(request, source, destination, CopyProgress(report, io_side))
            if present is not None:
                destination.discard(request.partial)  # an attempt that ended before its first checkpoint
                return present
        return _copy(request, source, destination, progress)


def _copy(
    request: CopyFile, source: int, destination: Destination, progress: CopyProgress
) -> Copied | PartialAllocated:
    """Copy the open source into its partial, once the destination accepts that."""
    size_bytes = request.signature.size_bytes
    exact = destination.allocate_partial(request.partial, request.name, size_bytes, request.conflict)
    if exact != request.partial:
        return PartialAllocated(exact)
    with closing(destination.open_partial(exact, is_begun=bool(request.digests))) as partial:
        engine = CopyEngine(source, size_bytes, partial, request.verify, request.bandwidth, progress)
        check_own(partial, request.digests)
        if request.source_changed:
            digest, level = engine.reconcile(request.digests, request.trusted_blocks)
        else:
            digest, level = engine.copy(request.digests)
        is_time_set = partial.finalize(request.signature.mtime_ns)
        partial.fsync_parents()  # a small one has had no checkpoint
        file_identity = partial.file_identity
    with progress.io_side.at_source():
        check_unchanged(request.source, request.path, source, request.signature)
    published = None
    if not partial.survives_request:
        published = _publish_whole(request, digest, destination, progress)
    return Copied(
        digest,
        (published and published.level) or level,
        progress.read_bytes,
        progress.resumed_bytes,
        progress.repaired_blocks,
        progress.patched_blocks,
        published,
        file_identity,
        is_time_set,
    )


def _publish_whole(
    request: CopyFile, digest: bytes, destination: Destination, progress: CopyProgress
) -> Published:
    file = PartialToPublish(
        partial=request.partial,
        name=request.name,
        size_bytes=request.signature.size_bytes,
        digest=digest,
        read_back=request.verify == "read_back",
    )
    files = PublishFiles(request.destination, request.conflict, (file,))
    [published] = publish_files(files, destination, progress.report_alive)
    if isinstance(published, Fault):
        raise published
    return published


def _already_present(
    request: CopyFile, source: int, destination: Destination, progress: CopyProgress
) -> Copied | None:
    number = 0
    while True:
        name = name_to_try(destination, request.name, number)
        if not destination.exists(name):
            return None
        existing = destination.find(name)
        if existing is not None:
            with closing(existing):
                _refuse_itself(source, existing, name)
                digest = _same_content(request.signature.size_bytes, source, existing, progress)
                if digest is not None:
                    existing.make_durable()
                    with progress.io_side.at_source():
                        check_unchanged(request.source, request.path, source, request.signature)
                    level = existing.read_back_level
                    published = Published(name, True, level, existing.file_identity)
                    return Copied(digest, level, 0, 0, 0, published=published)
        refuse_conflict(request.conflict, name)
        number += 1


def _same_content(size_bytes: int, source: int, existing: Existing, progress: CopyProgress) -> bytes | None:
    """The digest of both if they are equal; stops at the first difference."""
    if existing.size_bytes != size_bytes:
        return None
    content = xxhash.xxh3_128()
    for offset in range(0, size_bytes, BLOCK_BYTES):
        with progress.io_side.at_source():
            data = read_exactly(source, offset, min(BLOCK_BYTES, size_bytes - offset))
        if existing.read_back(offset, len(data)) != data:
            return None
        content.update(data)
        progress.copied_bytes = progress.verified_bytes = offset + len(data)
        progress.report_if_due()
    return content.digest()


def _refuse_itself(source: int, existing: Existing, name: str) -> None:
    """A destination that leads back to the source (a link, a bind mount) holds no second copy."""
    status = os.fstat(source)
    if existing.is_file(status.st_dev, status.st_ino):
        raise Fault(FaultKind.CONFLICT, f"{name!r} at the destination is the source file itself")
