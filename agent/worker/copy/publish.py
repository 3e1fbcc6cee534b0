"""Publish a verified partial under a name that was free."""

from contextlib import closing

import xxhash

from agent.model.errors import Fault, FaultKind
from agent.model.names import conflict_path
from agent.model.transfer import BLOCK_BYTES, VerifyLevel
from agent.protocol.replies import Copying, Published
from agent.protocol.requests import PublishFile
from agent.worker.copy.pipeline import Report
from agent.worker.destinations.base import Destination


def publish_file(request: PublishFile, destination: Destination, report: Report) -> Published:
    """Give the verified partial its name, or the first free one that makes way for a conflict.

    May be repeated after a crash at any point: what stands there with our content counts as published.

    Raises:
        Fault: DESTINATION, CONFLICT, or CORRUPT when the partial has vanished or reads back altered.
    """
    has_partial = destination.exists(request.partial)
    number = 0
    while True:
        name = conflict_path(request.name, number)
        if has_partial:
            try:
                destination.publish(request.partial, name, request.size_bytes)
            except FileExistsError:
                pass
            else:
                return Published(
                    name,
                    already_present=False,
                    level=_read_back_published(name, request, destination, report),
                )
        elif not destination.exists(name):
            raise Fault(FaultKind.CORRUPT, "the verified partial has vanished from the destination")
        if (level := _matching_level(destination, name, request, report)) is not None:
            destination.discard(request.partial)
            return Published(name, already_present=True, level=level)
        _unpublish(destination, request.partial, name)
        refuse_conflict(request.conflict, name)
        number += 1


def _read_back_published(
    name: str, request: PublishFile, destination: Destination, report: Report
) -> VerifyLevel | None:
    """The level that is reached by reading back what has just been published; None: there is no need to."""
    if not request.read_back:
        return None
    level = _matching_level(destination, name, request, report)
    if level is None:
        _unpublish(destination, request.partial, name)
        raise Fault(FaultKind.CORRUPT, f"{name!r} reads back altered, and is not ours to remove any more")
    return level


def _unpublish(destination: Destination, partial: str, name: str) -> None:
    if destination.unpublish(partial, name):
        raise Fault(FaultKind.CORRUPT, f"{name!r} read back altered, and was removed again")


def _matching_level(
    destination: Destination, name: str, request: PublishFile, report: Report
) -> VerifyLevel | None:
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


def refuse_conflict(conflict: str, name: str) -> None:
    if conflict == "fail":
        raise Fault(FaultKind.CONFLICT, f"{name!r} exists at the destination with other content")
