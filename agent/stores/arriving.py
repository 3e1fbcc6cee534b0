"""How one file arrives at a destination: copied into its partial, then given a name that was free."""

import os
from contextlib import closing

import xxhash

from agent.faults import Fault, FaultKind
from agent.protocol import (
    BLOCK_BYTES,
    Copied,
    CopyFile,
    Copying,
    Found,
    Placed,
    Published,
    PublishFile,
    Reserved,
)
from agent.rules.naming import conflict_path
from agent.stores.copying import Engine
from agent.stores.descriptors import held
from agent.stores.destination import Destination, Existing
from agent.stores.pipeline import Report, Tally
from agent.stores.reading import read_exactly
from agent.stores.source import check_unchanged, open_source
from agent.stores.whereabouts import Whereabouts
from agent.terms import VerifyLevel


def copy_file(
    request: CopyFile, destination: Destination, report: Report, whereabouts: Whereabouts | None = None
) -> Copied | Found | Placed | Reserved:
    """Copy, verify, and make sure that the source was the same before and after.

    Found when the same content stands there already, under the name or one that makes way for it. Placed when
    the destination takes such a file only as a whole, and has. Reserved when nothing was copied yet.
    `whereabouts` tells another thread on which side this one is.

    Raises:
        Fault: SOURCE*, DESTINATION, REFUSED, CORRUPT or CONFLICT.
    """
    whereabouts = whereabouts or Whereabouts()
    tally = Tally(report, whereabouts)
    with whereabouts.at_source():
        opened = open_source(request.source, request.path, request.signature)
    with held(opened) as source:
        if not request.digests:
            found = _already_there(request, source, destination, Tally(report, whereabouts))
            if found is not None:
                destination.discard(request.partial)  # an attempt that ended before its first checkpoint
                return found
        size_bytes = request.signature.size_bytes
        exact = destination.reserve(request.partial, request.name, size_bytes, request.conflict)
        if exact != request.partial:
            return Reserved(exact)
        with closing(destination.open_partial(exact)) as partial:
            engine = Engine(source, size_bytes, partial, request.verify, request.pace, tally)
            if request.revised:
                digest, level = engine.revise(request.digests, request.proven_blocks)
            else:
                digest, level = engine.run(request.digests)
            partial.seal(request.signature.mtime_ns)
            partial.anchor()  # a small one has had no checkpoint
        with whereabouts.at_source():
            check_unchanged(request.source, request.path, source, request.signature)
        if not partial.lasts:
            return _place(request, digest, level, destination, report)
    return Copied(
        digest, level, tally.read_bytes, tally.kept_bytes, tally.repaired_blocks, tally.patched_blocks
    )


def _place(
    request: CopyFile, digest: bytes, level: VerifyLevel, destination: Destination, report: Report
) -> Placed:
    publication = PublishFile(
        place=request.place,
        partial=request.partial,
        name=request.name,
        conflict=request.conflict,
        size_bytes=request.signature.size_bytes,
        digest=digest,
        read_back=request.verify == "read_back",
    )
    published = publish_file(publication, destination, report)
    return Placed(digest, published.level or level, published.name, published.already_there)


def publish_file(request: PublishFile, destination: Destination, report: Report) -> Published:
    """Give the verified partial its name, or the first free one that makes way for a conflict.

    May be repeated after a crash at any point: what stands there with our content counts as published.

    Raises:
        Fault: DESTINATION, CONFLICT, or CORRUPT when the partial has vanished or reads back altered.
    """
    has_partial = destination.stands(request.partial)
    number = 0
    while True:
        name = conflict_path(request.name, number)
        if has_partial:
            try:
                destination.publish(request.partial, name, request.size_bytes)
            except FileExistsError:
                pass
            else:
                return Published(name, already_there=False, level=_proven(name, request, destination, report))
        elif not destination.stands(name):
            raise Fault(FaultKind.CORRUPT, "the verified partial has vanished from the destination")
        if (level := _holds(destination, name, request, report)) is not None:
            destination.discard(request.partial)
            return Published(name, already_there=True, level=level)
        _take_back(destination, request.partial, name)
        _refuse_conflict(request.conflict, name)
        number += 1


def _proven(name: str, request: PublishFile, destination: Destination, report: Report) -> VerifyLevel | None:
    """The level that is reached by reading back what has just been published; None: there is no need to."""
    if not request.read_back:
        return None
    level = _holds(destination, name, request, report)
    if level is None:
        _take_back(destination, request.partial, name)
        raise Fault(FaultKind.CORRUPT, f"{name!r} reads back altered, and is not ours to remove any more")
    return level


def _take_back(destination: Destination, partial: str, name: str) -> None:
    if destination.retract(partial, name):
        raise Fault(FaultKind.CORRUPT, f"{name!r} read back altered, and was removed again")


def _holds(destination: Destination, name: str, request: PublishFile, report: Report) -> VerifyLevel | None:
    """How far it is proven that the content stands there; None: it does not."""
    existing = destination.find(name)
    if existing is None:
        return None
    with closing(existing):
        if existing.size_bytes != request.size_bytes:
            return None
        content = xxhash.xxh3_128()
        for offset in range(0, request.size_bytes, BLOCK_BYTES):
            content.update(existing.read_back(offset, min(BLOCK_BYTES, request.size_bytes - offset)))
            report(Copying(request.size_bytes, offset))
        if content.digest() != request.digest:
            return None
        existing.make_durable()
        return existing.read_back_level


def _already_there(request: CopyFile, source: int, destination: Destination, tally: Tally) -> Found | None:
    number = 0
    while True:
        name = conflict_path(request.name, number)
        if not destination.stands(name):
            return None
        existing = destination.find(name)
        if existing is not None:
            with closing(existing):
                _refuse_itself(source, existing, name)
                digest = _same_content(request.signature.size_bytes, source, existing, tally)
                if digest is not None:
                    existing.make_durable()
                    with tally.whereabouts.at_source():
                        check_unchanged(request.source, request.path, source, request.signature)
                    return Found(digest, existing.read_back_level, name)
        _refuse_conflict(request.conflict, name)
        number += 1


def _same_content(size_bytes: int, source: int, existing: Existing, tally: Tally) -> bytes | None:
    """The digest of both if they are equal; stops at the first difference."""
    if existing.size_bytes != size_bytes:
        return None
    content = xxhash.xxh3_128()
    for offset in range(0, size_bytes, BLOCK_BYTES):
        with tally.whereabouts.at_source():
            data = read_exactly(source, offset, min(BLOCK_BYTES, size_bytes - offset))
        if existing.read_back(offset, len(data)) != data:
            return None
        content.update(data)
        tally.copied_bytes = tally.verified_bytes = offset + len(data)
        tally.progress()
    return content.digest()


def _refuse_itself(source: int, existing: Existing, name: str) -> None:
    """A destination that leads back to the source (a link, a bind mount) holds no second copy."""
    status = os.fstat(source)
    if existing.is_file(status.st_dev, status.st_ino):
        raise Fault(FaultKind.CONFLICT, f"{name!r} at the destination is the source file itself")


def _refuse_conflict(conflict: str, name: str) -> None:
    if conflict == "fail":
        raise Fault(FaultKind.CONFLICT, f"{name!r} exists at the destination with other content")
