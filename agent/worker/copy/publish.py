"""Publish verified partials under names that were free."""

from collections.abc import Callable
from contextlib import closing

import xxhash
from attrs import define, evolve, field, frozen

from agent.fs.file_identity import IdentityMismatch
from agent.model.errors import Fault, FaultKind
from agent.model.names import conflict_path
from agent.model.verification import BLOCK_BYTES, VerifyLevel
from agent.protocol.replies import Published
from agent.protocol.requests import ConflictMode, PartialToPublish, PublishFiles
from agent.worker.destinations.base import Destination, Existing
from agent.worker.for_each import for_each

Heartbeat = Callable[[], None]
MOST_READINGS = 3  # some file systems never tell one identity twice


def publish_files(
    request: PublishFiles, destination: Destination, heartbeat: Heartbeat
) -> tuple[Published | Fault, ...]:
    """Give each verified partial its name, or the first free one that makes way for a conflict.

    May be repeated after a crash at any point: the same content under the name counts as published.
    The fault of one file: DESTINATION, CONFLICT, CORRUPT: its partial reads back altered or not at all,
    DISPLACED: something else has its name, or PARTIAL_GONE: nothing has it.

    Raises:
        Fault: DESTINATION: the names may not outlast a power cut.
    """
    publisher = FilePublisher(destination, request.conflict, heartbeat)
    with destination.durable_together():
        results = for_each(request.files, publisher.publish, destination.calls_at_once, heartbeat)
    published = tuple(zip(request.files, results, strict=True))
    # Names are durable first: before that, the partial may be the only copy that survives a power cut.
    return for_each(published, publisher.discard_spare_partial, 1, heartbeat)


@frozen
class Match:
    """A file with the verified content. `level`: how far that is proven."""

    level: VerifyLevel
    file_identity: str


@define
class FilePublisher:
    """Publishes files of one request, from any thread."""

    destination: Destination
    conflict: ConflictMode
    heartbeat: Heartbeat
    _spare: set[str] = field(factory=set, init=False)  # partials that may be there beside what they became

    def publish(self, file: PartialToPublish) -> Published:
        has_partial = self.destination.exists(file.partial)
        number = readings = 0
        while True:
            name = name_to_try(self.destination, file.name, number)
            if has_partial:
                try:
                    identity = self.destination.publish(
                        file.partial, name, file.size_bytes, file.file_identity
                    )
                except IdentityMismatch as mismatch:
                    readings += 1
                    if readings > MOST_READINGS:
                        raise _altered("the partial changes all the time", mismatch) from mismatch
                    file = self._read_again(file, mismatch)
                    continue
                except FileExistsError:
                    pass
                else:
                    return self._published(file, name, identity)
            elif not self.destination.exists(name):
                why = "the verified partial has lost its name: it was removed, or its folder renamed"
                raise Fault(FaultKind.PARTIAL_GONE, why)
            if (match := self._match(file, name)) is not None:
                return Published(name, True, match.level, match.file_identity)
            self._unpublish(file, name)
            refuse_conflict(self.conflict, name)
            number += 1

    def discard_spare_partial(
        self, published: tuple[PartialToPublish, Published | Fault]
    ) -> Published | Fault:
        file, result = published
        if isinstance(result, Published) and (result.already_present or file.partial in self._spare):
            self.destination.discard(file.partial)
        return result

    def _read_again(self, file: PartialToPublish, mismatch: IdentityMismatch) -> PartialToPublish:
        """The file with the identity of a partial that still has the verified content.

        Raises:
            Fault: CORRUPT, or DISPLACED: something else has the partial's name.
        """
        existing = self.destination.find(file.partial)
        if existing is None:
            raise _altered("what has the name of the verified partial cannot be read", mismatch)
        with closing(existing):
            identity = existing.file_identity
            is_verified = self._has_content(file, existing) and existing.file_identity == identity
        if not is_verified:
            raise _altered("the partial is not what was verified any more", mismatch)
        return evolve(file, file_identity=identity)

    def _published(self, file: PartialToPublish, name: str, identity: str | None) -> Published:
        """What has just got its name, after its content was read where that is needed."""
        if identity is not None and not file.read_back:
            return Published(name, False, None, identity)
        match = self._match(file, name)
        if match is not None:
            if identity is None:
                self._spare.add(file.partial)
            return Published(name, False, match.level, match.file_identity)
        if identity is None:
            raise Fault(FaultKind.DISPLACED, f"{name!r} shows another file than was verified")
        if self.destination.exists(name):
            self._unpublish(file, name)
            raise Fault(FaultKind.CORRUPT, f"{name!r} reads back altered, and is not ours to remove any more")
        # Whoever took it may have got other content. A partial that was read back before never comes here.
        raise Fault(FaultKind.CORRUPT, f"{name!r} was taken away before it was read back")

    def _unpublish(self, file: PartialToPublish, name: str) -> None:
        if self.destination.unpublish(file.partial, name):
            raise Fault(FaultKind.CORRUPT, f"{name!r} read back altered, and was removed again")

    def _match(self, file: PartialToPublish, name: str) -> Match | None:
        """The file with this name, if it has the content."""
        existing = self.destination.find(name)
        if existing is None:
            return None
        with closing(existing):
            if not self._has_content(file, existing):
                return None
            existing.make_durable()
            return Match(existing.read_back_level, existing.file_identity)

    def _has_content(self, file: PartialToPublish, existing: Existing) -> bool:
        if existing.size_bytes != file.size_bytes:
            return False
        content = xxhash.xxh3_128()
        for offset in range(0, file.size_bytes, BLOCK_BYTES):
            content.update(existing.read_back(offset, min(BLOCK_BYTES, file.size_bytes - offset)))
            self.heartbeat()
        return content.digest() == file.digest


def _altered(why: str, mismatch: IdentityMismatch) -> Fault:
    """The attempt counts only if it is still our partial."""
    return Fault(FaultKind.DISPLACED if mismatch.is_other_file else FaultKind.CORRUPT, why)


def name_to_try(destination: Destination, name: str, number: int) -> str:
    """The `number`-th name that a file may get there: `conflict_path`."""
    return conflict_path(name, number, destination.name_max_bytes) if number else name


def refuse_conflict(conflict: ConflictMode, name: str) -> None:
    if conflict == "fail":
        raise Fault(FaultKind.CONFLICT, f"{name!r} exists at the destination with other content")
