"""The steps of many small files at once, from ready to done; each is in the journal before the next begins.

One request to a worker and one entry in the journal for each step of all of them. Whatever does not go
smoothly is left where the journal has it, and carried alone the next time.
"""

import time
import uuid
from collections.abc import Iterable, Sequence

import trio
from attrs import define, field, frozen

from agent.actors.copier_pool.task import (
    NON_COUNTING,
    Notify,
    WorkerClient,
    destination_path,
    line_fields,
    outcome_of,
)
from agent.actors.copier_pool.transfer import HASH_PREFIX
from agent.config.sections import Route
from agent.journal import transfers
from agent.journal.client import JournalClient
from agent.journal.database import JournalError
from agent.log import get_logger
from agent.messages.broadcaster import CounterIncremented
from agent.messages.dispatcher import AttemptFailed, Delivered, Interrupted
from agent.messages.stability_tracker import FilesRemoved
from agent.model.errors import Fault, FaultKind
from agent.model.names import partial_path
from agent.model.source_file import FileVersion
from agent.model.transfer import Delivery, PublishedTransfer, TransferResult, VerifiedTransfer
from agent.model.views import HistoryResult
from agent.protocol.replies import (
    Copied,
    CopiedFiles,
    NotBatchable,
    Published,
    PublishedFiles,
    RemovedSources,
    SourceRemoved,
)
from agent.protocol.requests import (
    Bandwidth,
    CopyFile,
    CopySmallFiles,
    DestinationRef,
    PartialToPublish,
    PublishFiles,
    RemoveSources,
    SourceToRemove,
)

ATTEMPT = 1  # whatever was tried before is carried alone


@frozen
class BegunFile:
    """In the journal. `name`: the one it is to have at the destination."""

    file: FileVersion
    route: Route
    destination: DestinationRef
    transfer_id: int
    partial: str
    name: str

    def copy_request(self) -> CopyFile:
        return CopyFile(
            source=self.route.source,
            path=self.file.path,
            signature=self.file.signature,
            destination=self.destination,
            name=self.name,
            partial=self.partial,
            digests=(),
            verify=self.route.verify,
            conflict=self.route.conflict,
            bandwidth=Bandwidth(),
        )


@frozen
class VerifiedFile:
    """In its partial."""

    begun: BegunFile
    copied: Copied

    @property
    def hash(self) -> str:
        return HASH_PREFIX + self.copied.digest.hex()

    def intent(self) -> VerifiedTransfer:
        return VerifiedTransfer(self.begun.transfer_id, self.begun.name, self.hash, self.copied.level)

    def to_publish(self) -> PartialToPublish:
        return PartialToPublish(
            partial=self.begun.partial,
            name=self.begun.name,
            size_bytes=self.begun.file.signature.size_bytes,
            digest=self.copied.digest,
        )


@frozen
class PublishedFile:
    """Under its final name; only the source is left."""

    verified: VerifiedFile
    published: Published

    @property
    def file(self) -> FileVersion:
        return self.verified.begun.file

    def publication(self) -> PublishedTransfer:
        begun, published = self.verified.begun, self.published
        return PublishedTransfer(begun.transfer_id, published.name, published.already_present)

    def to_remove(self) -> SourceToRemove:
        return SourceToRemove(self.file.path, self.file.signature)


@frozen
class RemovedFile:
    """`kept`: why the source still stands; None: it is gone."""

    arrived: PublishedFile
    kept: str | None

    @property
    def where(self) -> str:
        return destination_path(self.arrived.verified.begun.route.destination, self.arrived.published.name)

    def ending(self, at: float) -> TransferResult:
        begun = self.arrived.verified.begun
        result: HistoryResult = "delivered" if self.kept is None else "kept"
        error = None if begun.route.after == "keep" else self.kept
        return TransferResult(begun.transfer_id, result, ATTEMPT, error, at, self.where)

    def delivery(self, began_at: float) -> Delivery:
        verified = self.arrived.verified
        return Delivery(
            destination_path=self.where,
            level=verified.copied.level,
            hash=verified.hash,
            size_bytes=verified.begun.file.signature.size_bytes,
            already_present=self.arrived.published.already_present,
            kept=self.kept is not None,
            started_at=began_at,
        )


log = get_logger(__name__)


Answer = Copied | NotBatchable | Published | SourceRemoved | Fault


@define
class BatchTask:
    """Files of one route; whichever gets no outcome here goes back into the line."""

    files: tuple[FileVersion, ...]
    route: Route
    destination: DestinationRef
    journal: JournalClient
    worker: WorkerClient
    notify: Notify
    _outcomes: dict[str, Delivered | AttemptFailed | Interrupted] = field(factory=dict, init=False)
    _fault: Fault | None = field(default=None, init=False)
    _began_at: float = field(factory=time.time, init=False)

    async def deliver(self) -> None:
        """Carry them over, as far as it goes."""
        try:
            await self._settle(await self._publish(await self._copy(await self._begin())))
        except JournalError as error:
            self._fault = Fault(FaultKind.JOURNAL, str(error))
        except Fault as fault:
            self._fault = fault
            log.warning("interrupted", error=str(fault), files=len(self.files), **self._about)

    def outcomes(self) -> tuple[Delivered | AttemptFailed | Interrupted, ...]:
        """One for each file, in their order."""
        return tuple(self._outcomes.get(file.id) or self._back_into_line(file) for file in self.files)

    def _back_into_line(self, file: FileVersion) -> Interrupted:
        """What ended the lot, a worker's death perhaps, need not be this file's fault."""
        fault = self._fault if self._fault is not None and self._fault.kind in NON_COUNTING else None
        return Interrupted(file, fault, 0, time.time())

    async def _begin(self) -> list[BegunFile]:
        """Those that the journal does not know yet."""
        names = {file.path: self.route.key_prefix + file.path for file in self.files}
        partials = {self._partial(file, names[file.path]): file for file in self.files}
        source, destination = self.route.source, self.route.destination
        opened = await self.journal.write(
            transfers.begin_or_resume, partials, source, destination, self._began_at
        )
        return [
            BegunFile(file, self.route, self.destination, opened[file.path].id, partial, names[file.path])
            for partial, file in partials.items()
            if opened[file.path].partial == partial
        ]

    def _partial(self, file: FileVersion, name: str) -> str:
        return partial_path(self.journal.identity, file, name, uuid.uuid4().hex)

    async def _copy(self, begun: Sequence[BegunFile]) -> list[VerifiedFile]:
        if not begun:
            return []
        answers = (
            await self.worker.ask(CopySmallFiles(tuple(each.copy_request() for each in begun)), CopiedFiles)
        ).results
        verified = []
        for each, answer in zip(begun, answers, strict=True):
            if isinstance(answer, Copied):
                await self._count_failures(answer.repaired_blocks)
                verified.append(VerifiedFile(each, answer))
            elif isinstance(answer, Fault):
                await self._count_failures(int(answer.kind is FaultKind.CORRUPT))
                self._faulted(each, answer)
        if verified:
            await self.journal.write(transfers.mark_verified, [each.intent() for each in verified])
        return verified

    async def _publish(self, verified: Sequence[VerifiedFile]) -> list[PublishedFile]:
        if not verified:
            return []
        files = tuple(each.to_publish() for each in verified)
        request = PublishFiles(self.destination, self.route.conflict, files)
        answers = (await self.worker.ask(request, PublishedFiles)).results
        arrived = []
        for each, answer in zip(verified, answers, strict=True):
            if isinstance(answer, Published):
                arrived.append(PublishedFile(each, answer))
            else:
                self._paused(each.begun, answer)
        if arrived:
            await self.journal.write(transfers.mark_published, [each.publication() for each in arrived])
        return arrived

    async def _settle(self, arrived: Sequence[PublishedFile]) -> None:
        if not arrived:
            return
        files = tuple(each.to_remove() for each in arrived)
        request = RemoveSources(self.route.source, self.route.after, self.route.archive, files)
        try:
            answers = (await self.worker.ask(request, RemovedSources)).results
        except Fault as fault:
            if fault.kind is not FaultKind.WORKER:
                raise
            # It may have died after it had let go of some: that must be known before a scan sees them gone.
            answers = (await self.worker.ask(request, RemovedSources)).results
        settled = []
        for each, answer in zip(arrived, answers, strict=True):
            if isinstance(answer, SourceRemoved):
                settled.append(RemovedFile(each, answer.kept_because))
            else:
                self._paused(each.verified.begun, answer)
        # Sources are gone: a halt that comes now must not hide that these files have been delivered.
        with trio.CancelScope(shield=True):
            await self._finish(settled)

    async def _finish(self, settled: Sequence[RemovedFile]) -> None:
        if not settled:
            return
        removed = tuple(each.arrived.file for each in settled if each.kept is None)
        if removed:
            await self.notify(FilesRemoved(removed, trio.current_time()))
        try:
            await self.journal.write(transfers.finish, [each.ending(time.time()) for each in settled])
        except JournalError as trouble:
            log.warning("delivered, but not in the history yet", error=str(trouble), **self._about)
            self._done(each for each in settled if each.kept is None)
            raise  # the others are still there to be settled once more
        self._done(settled)

    def _done(self, settled: Iterable[RemovedFile]) -> None:
        for each in settled:
            file, delivery = each.arrived.file, each.delivery(self._began_at)
            self._outcomes[file.id] = Delivered(file, delivery, time.time())
            event = "kept" if delivery.kept else "delivered"
            about = _about(each.arrived.verified.begun)
            log.info(event, to=delivery.destination_path, verified=delivery.level, **about)

    def _paused(self, begun: BegunFile, answer: Answer) -> None:
        """What is not an outage is found out again, and dealt with, when the file is carried alone."""
        if isinstance(answer, Fault) and answer.kind in NON_COUNTING:
            self._faulted(begun, answer)

    def _faulted(self, begun: BegunFile, fault: Fault) -> None:
        self._outcomes[begun.file.id] = outcome = outcome_of(begun.file, fault, 0)
        event = "interrupted" if isinstance(outcome, Interrupted) else "attempt failed"
        log.warning(event, error=str(fault), **_about(begun))

    async def _count_failures(self, number: int) -> None:
        for _ in range(number):
            await self.notify(CounterIncremented("verify_failure", self.route.name))

    @property
    def _about(self) -> dict[str, str]:
        return {"route": self.route.name, "destination": self.route.destination}


def _about(begun: BegunFile) -> dict[str, str | int]:
    return line_fields(begun.route.name, begun.file.path, begun.route.destination, begun.transfer_id)
