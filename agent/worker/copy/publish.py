"""Publish verified partials under names that were free."""

from collections.abc import Callable
from contextlib import closing

import xxhash
from attrs import define

from agent.model.errors import Fault, FaultKind
from agent.model.names import conflict_path
from agent.model.transfer import BLOCK_BYTES, VerifyLevel
from agent.protocol.replies import Published
from agent.protocol.requests import ConflictMode, PartialToPublish, PublishFiles
from agent.worker.destinations.base import Destination
from agent.worker.for_each import for_each

Heartbeat = Callable[[], None]


def publish_files(
    request: PublishFiles, destination: Destination, heartbeat: Heartbeat
) -> tuple[Published | Fault, ...]:
    """Give each verified partial its name, or the first free one that makes way for a conflict.

    May be repeated after a crash at any point: the same content under the name counts as published.
    The fault of one file: DESTINATION, CONFLICT, or CORRUPT: its partial has vanished or reads back altered.

    Raises:
        Fault: DESTINATION: the names may not outlast a power cut.
    """
    publisher = FilePublisher(destination, request.conflict, heartbeat)
    with destination.durable_together():
        results = for_each(request.files, publisher.publish, destination.calls_at_once, heartbeat)
    published = tuple(zip(request.files, results, strict=True))
    # Names are durable first: before that, the partial may be the only copy that survives a power cut.
    return for_each(published, publisher.discard_spare_partial, 1, heartbeat)


@define
class FilePublisher:
    """Publishes files of one request, from any thread."""

    destination: Destination
    conflict: ConflictMode
    heartbeat: Heartbeat

    def publish(self, file: PartialToPublish) -> Published:
        has_partial = self.destination.exists(file.partial)
        number = 0
        while True:
            name = conflict_path(file.name, number)
            if has_partial:
                try:
                    self.destination.publish(file.partial, name, file.size_bytes)
                except FileExistsError:
                    pass
                else:
                    return Published(name, already_present=False, level=self._read_back(file, name))
            elif not self.destination.exists(name):
                raise Fault(FaultKind.CORRUPT, "the verified partial has vanished from the destination")
            if (level := self._matching_level(file, name)) is not None:
                return Published(name, already_present=True, level=level)
            self._unpublish(file, name)
            refuse_conflict(self.conflict, name)
            number += 1

    def discard_spare_partial(
        self, published: tuple[PartialToPublish, Published | Fault]
    ) -> Published | Fault:
        file, result = published
        if isinstance(result, Published) and result.already_present:
            self.destination.discard(file.partial)
        return result

    def _read_back(self, file: PartialToPublish, name: str) -> VerifyLevel | None:
        """The level reached by reading back what has just been published; None: nothing was read back."""
        if not file.read_back:
            return None
        level = self._matching_level(file, name)
        if level is None:
            self._unpublish(file, name)
            raise Fault(FaultKind.CORRUPT, f"{name!r} reads back altered, and is not ours to remove any more")
        return level

    def _unpublish(self, file: PartialToPublish, name: str) -> None:
        if self.destination.unpublish(file.partial, name):
            raise Fault(FaultKind.CORRUPT, f"{name!r} read back altered, and was removed again")

    def _matching_level(self, file: PartialToPublish, name: str) -> VerifyLevel | None:
        """How far it is proven that this name has the content; None: it has not."""
        existing = self.destination.find(name)
        if existing is None:
            return None
        with closing(existing):
            if existing.size_bytes != file.size_bytes:
                return None
            content = xxhash.xxh3_128()
            for offset in range(0, file.size_bytes, BLOCK_BYTES):
                content.update(existing.read_back(offset, min(BLOCK_BYTES, file.size_bytes - offset)))
                self.heartbeat()
            if content.digest() != file.digest:
                return None
            existing.make_durable()
            return existing.read_back_level


def refuse_conflict(conflict: ConflictMode, name: str) -> None:
    if conflict == "fail":
        raise Fault(FaultKind.CONFLICT, f"{name!r} exists at the destination with other content")
