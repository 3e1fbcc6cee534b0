"""What all tasks of a copier pool share: the journal's transfer, streamed copies, outcomes."""

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import ClassVar

import trio
from attrs import define, evolve, field

from agent.actors.copier_pool.decisions import (
    NON_COUNTING,
    REPORTED_ELSEWHERE,
    confirm_request,
    destination_path,
    digest_of,
    finish_removal_request,
    is_as_journaled,
    log_fields,
    look_up_request,
    may_be_resumed,
    outcome_of,
    was_written,
)
from agent.actors.copier_pool.worker_client import WorkerClient
from agent.config.sections import Route
from agent.journal import orphans, transfers
from agent.journal.client import JournalClient
from agent.journal.errors import JournalError
from agent.log import get_logger
from agent.messages.broadcaster import CounterIncremented, StatusChanged
from agent.messages.dispatcher import Interrupted, Outcome, TransferProgress
from agent.messages.stability_tracker import FilesRemoved, FilesUnfinished
from agent.model.errors import OF_SOURCE_FILES, Fault, FaultKind
from agent.model.names import partial_path, path_at, probe_path, split_path
from agent.model.source_file import FileVersion
from agent.model.transfer import Transfer, TransferPhase, TransferResult
from agent.model.verification import BLOCK_BYTES, DIGEST_BYTES
from agent.model.views import HistoryResult
from agent.protocol.replies import (
    BlockPatched,
    Checkpoint,
    CopyEnd,
    Copying,
    Discarded,
    Finished,
    PartialAllocated,
    RemovedSources,
    Reply,
    SourceExists,
    SourceHashed,
    SourceRemoved,
    VerifyResult,
)
from agent.protocol.requests import (
    CheckSeparateFiles,
    CheckSeparateRoots,
    CopyFile,
    DestinationRef,
    DiscardPartial,
    FollowFile,
    HashSource,
    SourceFolder,
    SourceMount,
)

log = get_logger(__name__)

Notification = StatusChanged | TransferProgress | CounterIncremented | FilesRemoved | FilesUnfinished
Notify = Callable[[Notification], Awaitable[None]]


@define
class Task(ABC):
    """Files of one route, on their way to one destination or away from it.

    Shared by all tasks of the pool: `trusted_blocks`: by partial, how many blocks were verified while their
    file grew, used once. `separate_routes`: those whose source was shown to be another folder than the
    destination. `logged_once`: what the log says once of a destination. `mounts`: where each source was
    mounted when it was last accepted.

    `verified_bytes`: at the destination, while one file is copied alone.
    """

    failed_event: ClassVar[str]
    files: tuple[FileVersion, ...]
    route: Route
    destination: DestinationRef
    journal: JournalClient
    worker: WorkerClient
    notify: Notify
    trusted_blocks: dict[str, int]
    separate_routes: set[str]
    logged_once: set[str]
    mounts: Mapping[str, str]
    verified_bytes: int = field(default=0, init=False)
    _has_lost_partial: bool = field(default=False, init=False)
    _source_outage: Fault | None = field(default=None, init=False)
    _outcomes: dict[str, Outcome] = field(factory=dict, init=False)
    _transfer_ids: dict[str, int] = field(factory=dict, init=False)

    async def run(self) -> None:
        """As far as it goes; expected faults become outcomes."""
        try:
            await self._run()
        except JournalError as error:
            await self._stop(Fault(FaultKind.JOURNAL, str(error)))
        except Fault as fault:
            await self._stop(fault)

    @abstractmethod
    async def _run(self) -> None:
        """Raises: Fault, JournalError: what ends it for all files that have no outcome yet."""

    def outcomes(self) -> tuple[Outcome, ...]:
        """One for each file, in their order. Interrupted without a fault: it is to be copied again."""
        at = time.time()
        return tuple(
            self._outcomes.get(file.id) or Interrupted(file, None, self.verified_bytes, at)
            for file in self.files
        )

    @property
    def file(self) -> FileVersion:
        """The only file."""
        [file] = self.files
        return file

    @property
    def is_batch(self) -> bool:
        return len(self.files) > 1

    # How it begins, and how a transfer that is of no use ends

    async def _check_separate(self) -> None:
        """Once for each route since its two sides were last lost.

        Raises:
            Fault: SOURCE_OUTAGE: source and destination are one folder, seen through two mounts.
        """
        if self.destination.s3 is None and self.route.name not in self.separate_routes:
            # The same for the next attempt, so that it removes what one that was killed has left.
            probe = probe_path(self.journal.identity, self.files[0].id)
            await self._check(CheckSeparateRoots(self.route.source, self.destination, probe), probe)
            self.separate_routes.add(self.route.name)

    async def _check(self, request: CheckSeparateRoots | CheckSeparateFiles, temporary: str) -> None:
        """Make a check with this temporary file at the destination. Raises: Fault.

        If the check is cut off the file may stay, and perhaps there is no next attempt that would remove it.
        """
        try:
            await self.worker.ask(request, Finished)
        except (trio.Cancelled, Fault) as end:
            if not isinstance(end, Fault) or end.kind is FaultKind.WORKER:
                with trio.CancelScope(shield=True), suppress(JournalError):
                    await self.journal.write(orphans.add, self.destination.root, (temporary,))
            raise

    async def _begin_or_resume(
        self, partials: Mapping[str, FileVersion], *, is_afresh: bool = False
    ) -> dict[str, Transfer]:
        """The running transfers of these files, else those begun now with these partials; by path.

        `is_afresh`: even of a file that was delivered before, and could not be removed.
        """
        source, destination = self.route.source, self.route.destination
        found = await self.journal.write(
            transfers.begin_or_resume, partials, source, destination, time.time(), is_afresh
        )
        self._transfer_ids = {path: transfer.id for path, transfer in found.items()}
        return found

    async def _begin_or_resume_one(self, file: FileVersion) -> Transfer:
        """As above; a running transfer that cannot lead to this state of the file is ended first."""
        transfer = (await self._begin_or_resume({self._fresh_partial(file): file}))[file.path]
        if await self._can_go_on(transfer):
            return await self._as_of_now(transfer)
        await self._end_stale(transfer)
        fresh = {self._fresh_partial(file): file}
        return (await self._begin_or_resume(fresh, is_afresh=True))[file.path]

    async def _can_go_on(self, transfer: Transfer) -> bool:
        if not may_be_resumed(transfer, self.file, self.route.destination):
            return False
        if transfer.phase is TransferPhase.COPYING or is_as_journaled(transfer, self.file):
            return True
        return await self._has_content(transfer)

    async def _has_content(self, transfer: Transfer) -> bool:
        """Whether the source has the content of the transfer; one that is being removed had it."""
        try:
            return await self._hash_source(self.file) == digest_of(transfer)
        except Fault as fault:
            if fault.kind is FaultKind.SOURCE_GONE and transfer.phase is TransferPhase.PUBLISHED:
                return True
            raise

    async def _as_of_now(self, transfer: Transfer) -> Transfer:
        """What was compared with the source is of its present state; a copy is compared as it goes."""
        signature = self.file.signature
        if transfer.phase is TransferPhase.COPYING or transfer.signature == signature:
            return transfer
        await self.journal.write(transfers.update_signature, transfer.id, signature)
        return evolve(transfer, signature=signature)

    async def _hash_source(self, file: FileVersion) -> bytes:
        request = HashSource(self.route.source, file.path, file.signature)
        return (await self.worker.ask(request, SourceHashed)).digest

    def _fresh_partial(self, file: FileVersion) -> str:
        return partial_path(self.journal.identity, file, self._name(file.path), uuid.uuid4().hex)

    def _name(self, path: str) -> str:
        """The name that this file is to have at the destination."""
        return self.route.key_prefix + path

    async def _end_stale(self, transfer: Transfer) -> None:
        if transfer.phase is TransferPhase.PUBLISHED:
            why = "the source changed after it had been delivered"
            ended = await self._finish_published(transfer, why, attempts=0)
            fields = self._log_fields(transfer.path)
            log.info(ended.result, to=ended.destination_path, error=ended.error, **fields)
        else:
            is_here = transfer.destination == self.route.destination
            is_gone = is_here and await self._discard(transfer)
            await self.journal.write(transfers.drop, transfer.id, leaves_orphan=not is_gone)

    async def _finish_published(
        self, transfer: Transfer, error: str | None, *, attempts: int
    ) -> TransferResult:
        """The file is delivered; its source may be gone, if the last worker died while it removed it.

        `error`: why a source that still has its name is kept.
        """
        identity, route = self.journal.identity, self.route
        found = await self._look_up(transfer)
        is_kept = found.exists
        if found.is_renamed or not found.exists:  # its removal may not be durable
            is_here = transfer.destination == route.destination
            is_delivered = not (found.is_renamed and is_here) or await self._is_delivered(transfer)
            request = finish_removal_request(identity, route, transfer, is_delivered=is_delivered)
            [removed] = (await self.worker.ask(request, RemovedSources)).results
            if isinstance(removed, Fault):
                raise removed
            self._log_put_back(transfer, removed)
            is_kept = removed.kept_because is not None
            error = error or removed.kept_because
        where = destination_path(transfer)
        result: HistoryResult = "kept" if is_kept else "delivered"
        ended = TransferResult(transfer.id, result, attempts, error if is_kept else None, time.time(), where)
        await self.journal.write(transfers.finish, [ended])
        return ended

    async def _look_up(self, transfer: Transfer) -> SourceExists:
        """Raises: Fault: SOURCE_OUTAGE: also where its mount is gone, under which nothing exists."""
        mount_point = self.mounts.get(self.route.source)
        request = look_up_request(self.journal.identity, self.route, transfer, mount_point)
        return await self.worker.ask(request, SourceExists)

    def _source_folder(self) -> SourceFolder:
        """None of its files, on its remembered mount: under an empty mount point all would seem gone."""
        mount = SourceMount(self.mounts.get(self.route.source), self.route.source_marker)
        return SourceFolder(self.route.source, (), (), mount=mount)

    async def _is_delivered(self, transfer: Transfer) -> bool:
        """Whether the destination still has what was published there, looked at as closely as then."""
        verdict = await self.worker.ask(confirm_request(self.destination, transfer), VerifyResult)
        if verdict.verdict != "verified":
            why, fields = verdict.detail or verdict.verdict, self._log_fields(transfer.path)
            log.warning("no longer delivered", to=destination_path(transfer), error=why, **fields)
        return verdict.verdict == "verified"

    def _log_put_back(self, transfer: Transfer, removed: SourceRemoved) -> None:
        """Another file had taken the source's place, and lost its name for a moment."""
        if removed.put_back_as is not None:
            now = split_path(transfer.path)[0] + removed.put_back_as
            fields = self._log_fields(transfer.path)
            log.warning("another file was put back under another name", now=now, **fields)

    async def _discard(self, transfer: Transfer) -> bool:
        """Remove the partial. Returns whether it is gone for good; else recovery removes it."""
        fields = self._log_fields(transfer.path)
        try:
            reply = await self.worker.ask(DiscardPartial(self.destination, transfer.partial), Discarded)
        except Fault as fault:
            log.warning("partial left to recovery", error=str(fault), **fields)
            return False
        if not reply.is_gone and was_written(transfer):
            where = path_at(transfer.destination, transfer.partial)
            log.warning("partial is not under its name, recovery looks for it", path=where, **fields)
            return False
        return self.worker.none_unkillable

    # A copy that streams

    async def _stream(
        self,
        transfer: Transfer,
        request: CopyFile | FollowFile,
        on_reply: Callable[[Transfer, Reply], Awaitable[None]],
    ) -> tuple[Transfer, CopyEnd]:
        """Ask until the destination accepts the partial; each is in the journal before it is created."""
        while True:
            reply = await self.worker.ask(request, CopyEnd, partial(on_reply, transfer))
            if not isinstance(reply, PartialAllocated):
                return transfer, reply
            await self.journal.write(transfers.allocate_partial, transfer.id, reply.partial)
            transfer = evolve(transfer, partial=reply.partial)
            request = evolve(request, partial=reply.partial, trusted_blocks=0)

    async def _on_reply(self, transfer: Transfer, reply: Reply) -> None:
        if isinstance(reply, Checkpoint):
            await self.journal.write(transfers.checkpoint, transfer.id, reply.first_block, reply.digests)
            blocks = reply.first_block + len(reply.digests) // DIGEST_BYTES
            self.verified_bytes = blocks * BLOCK_BYTES
        elif isinstance(reply, BlockPatched):
            await self.journal.write(transfers.patch, transfer.id, reply.block, reply.digest)
        elif isinstance(reply, Copying):
            await self.notify(
                TransferProgress(self.file.id, reply.copied_bytes, reply.verified_bytes, time.time())
            )

    async def _restart(self, transfer: Transfer, *, leaves_orphan: bool = True) -> Transfer:
        """Back to nothing, in a fresh partial; recovery removes the old one. What took its place stays."""
        fresh = self._fresh_partial(self.file)
        await self.journal.write(transfers.restart, transfer.id, fresh, leaves_orphan)
        return evolve(
            transfer,
            phase=TransferPhase.COPYING,
            partial=fresh,
            blocks=(),
            name=None,
            hash=None,
            file_identity=None,
        )

    async def _restart_without_partial(self, transfer: Transfer, fault: Fault) -> Transfer:
        """Something else has the name of the partial, and is left alone; or nothing has: recovery searches.

        Once in a task: else for ever.

        Raises: Fault: it has happened again.
        """
        if self._has_lost_partial:
            raise fault
        self._has_lost_partial = True
        log.warning("begun again in a fresh partial", error=fault.detail, **self._log_fields(transfer.path))
        return await self._restart(transfer, leaves_orphan=fault.kind is FaultKind.PARTIAL_GONE)

    # How it ends

    async def _stop(self, fault: Fault) -> None:
        """The fault of a request or of the journal, for all files that have no outcome yet.

        In a batch it costs no file an attempt, since any of the others may be its cause.
        """
        if not self.is_batch:
            await self._fail(self.file, fault)
            return
        if fault.kind is FaultKind.SOURCE_OUTAGE:
            self.separate_routes.discard(self.route.name)
        if fault.kind in NON_COUNTING:
            for file in self.files:
                self._outcomes.setdefault(file.id, outcome_of(file, fault, 0, time.time()))
        if fault.kind not in REPORTED_ELSEWHERE:
            log.warning("interrupted", error=str(fault), **self._log_fields())

    async def _fail(self, file: FileVersion, fault: Fault) -> None:
        """This file's fault, unless it has an outcome already, or its whole source fails."""
        if file.id in self._outcomes:
            return
        if fault.kind in OF_SOURCE_FILES:
            self._source_outage = self._source_outage or await self.worker.source_outage(
                self._source_folder()
            )
            if self._source_outage is not None and self._source_outage.kind in NON_COUNTING:
                fault = self._source_outage
        outcome = self._outcomes[file.id] = outcome_of(file, fault, self.verified_bytes, time.time())
        if fault.kind is FaultKind.SOURCE_OUTAGE:
            self.separate_routes.discard(self.route.name)
        write = log.debug if fault.kind in REPORTED_ELSEWHERE else log.warning
        event = "interrupted" if isinstance(outcome, Interrupted) else self.failed_event
        write(event, error=str(fault), **self._log_fields(file.path))

    def _warn_once(self, what: str, detail: str) -> None:
        """Warn of a property of the destination."""
        if what not in self.logged_once:
            self.logged_once.add(what)
            log.warning(what, detail=detail, destination=self.route.destination)

    def _log_fields(self, path: str | None = None) -> dict[str, str | int]:
        """`path`: of the file that a log line is about; None: of all of them."""
        if path is None and self.is_batch:
            return {"route": self.route.name, "destination": self.route.destination, "files": len(self.files)}
        path = path or self.file.path
        return log_fields(self.route.name, path, self.route.destination, self._transfer_ids.get(path))
