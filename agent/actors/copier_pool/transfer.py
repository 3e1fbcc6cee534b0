"""A transfer from ready to done, of one file or of several small files of one route:

    1. begin or resume    in the journal
    2. copy               into the partial, verified; a single file streams with checkpoints
    3. verified           in the journal, with the name that is about to be given
    4. publish            under that name, then in the journal
    5. remove the source  or keep it, as the route says
    6. done               in the journal: the transfer is history

No step begins for any file before the one before it is in the journal.
"""

import time
from collections.abc import Sequence
from typing import TypeVar

import trio
from attrs import define, evolve, field

from agent.actors.copier_pool.decisions import (
    LOST_PARTIAL,
    NON_COUNTING,
    as_published,
    as_verified,
    delivery_before,
    delivery_of,
    digest_of,
    finish_removal_request,
    is_as_journaled,
    is_kept_copy,
    publish_request,
    published_record,
    remove_request,
    result_of,
    verified_record,
)
from agent.actors.copier_pool.task import Task
from agent.journal import history, transfers
from agent.journal.errors import JournalError
from agent.log import get_logger
from agent.messages.broadcaster import CounterIncremented, StatusChanged
from agent.messages.dispatcher import Delivered, FoundUnfinished
from agent.messages.stability_tracker import FilesRemoved, FilesUnfinished
from agent.model.errors import Fault, FaultKind
from agent.model.names import partial_path
from agent.model.source_file import FileVersion
from agent.model.transfer import Status, Transfer, TransferPhase
from agent.model.verification import BLOCK_BYTES
from agent.protocol.replies import (
    Copied,
    CopiedFiles,
    Copying,
    Published,
    PublishedFiles,
    RemovedSources,
    Reply,
    SmallFileResult,
    SourceRemoved,
    Unfinished,
)
from agent.protocol.requests import (
    Bandwidth,
    CheckSeparateFiles,
    CopyFile,
    CopySmallFiles,
)

BUSY_RETRY_S = 0.25
log = get_logger(__name__)

P = TypeVar("P", SmallFileResult, Published | Fault)


@define
class DeliverTask(Task):
    """From ready to delivered. What does not go smoothly in a batch is copied alone the next time."""

    failed_event = "attempt failed"
    attempt: int = field(kw_only=True)
    _is_verifying: bool = field(default=False, init=False)
    _by_path: dict[str, FileVersion] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._by_path = {file.path: file for file in self.files}

    async def _run(self) -> None:
        await self._check_separate()
        if self.route.after == "keep":
            await self._recognize_kept()
        running = await self._still_delivered(await self._begin())
        while any(each.phase is not TransferPhase.PUBLISHED for each in running):
            running = await self._publish(await self._copy(running))
        await self._finish(await self._remove_sources(running))

    # 1. Begin or resume

    async def _recognize_kept(self) -> None:
        """Files that were delivered and kept, and have other attributes since, are not delivered again.

        The journal remembers them as they are now, if their content has the recorded hash.
        """
        paths = [file.path for file in self.files]
        for prior in await self.journal.read_latest(history.prior_results, self.route.name, paths):
            file = self._by_path[prior.path]
            if is_kept_copy(prior, file) and await self._hash_source(file) == digest_of(prior):
                await self.journal.write(history.remember_kept, file)
                self._outcomes[file.id] = Delivered(file, delivery_before(prior, file), prior.ended_at)
                log.info("kept, with other attributes", **self._log_fields(file.path))

    async def _begin(self) -> list[Transfer]:
        """What a batch has of running transfers, and of delivered files, is left to be copied alone."""
        files = [file for file in self.files if file.id not in self._outcomes]
        if not files:
            return []
        if not self.is_batch:
            return [await self._begin_or_resume_one(self.file)]
        partials = {self._fresh_partial(file): file for file in files}
        found = await self._begin_or_resume(partials)
        copying = (each for each in found.values() if each.phase is TransferPhase.COPYING)
        return [transfer for transfer in copying if transfer.partial in partials]

    async def _still_delivered(self, running: list[Transfer]) -> list[Transfer]:
        """What had been published before this run began is looked at again, and copied again if it is gone.

        A batch has none of these.
        """
        if self.is_batch or [each.phase for each in running] != [TransferPhase.PUBLISHED]:
            return running
        [transfer] = running
        await self._show_verifying()
        if await self._is_delivered(transfer):
            if transfer.already_present:
                await self._check_found(transfer)
            return running
        identity, route = self.journal.identity, self.route
        found = await self._look_up(transfer)
        if found.is_renamed:
            put_back = finish_removal_request(identity, route, transfer, is_delivered=False)
            [removed] = (await self.worker.ask(put_back, RemovedSources)).results
            if isinstance(removed, Fault):
                raise removed
        elif not found.exists:
            return running  # it was removed when it was delivered; whoever came for the copy has it
        return [await self._restart(transfer)]

    async def _check_found(self, transfer: Transfer) -> None:
        """A file that was found at the destination must not be the source, seen through another mount.

        Raises:
            Fault: CONFLICT: it is.
        """
        file = self._file(transfer)
        nonce = str(transfer.id)  # the same again, so that the next check removes what a killed one left
        temporary = partial_path(self.journal.identity, file, self._name(file.path), nonce)
        at_source = self.route.after != "keep"
        request = CheckSeparateFiles(self.route.source, file.path, self.destination, temporary, at_source)
        await self._check(request, temporary)

    async def _unless_source(self, transfer: Transfer, result: P) -> P | Fault:
        """The result, or a fault where the file that was found with this content is the source itself."""
        published = result.published if isinstance(result, Copied) else result
        if isinstance(published, Published) and published.already_present:
            try:
                await self._check_found(transfer)
            except Fault as fault:
                if fault.kind in NON_COUNTING:
                    raise
                return fault
        return result

    # 2. Copy, 3. verified

    async def _copy(self, running: Sequence[Transfer]) -> list[Transfer]:
        """Those that are verified now or were before; the others have a fault, or are left."""
        copying = [each for each in running if each.phase is TransferPhase.COPYING]
        if not copying:
            return list(running)
        began_s = trio.current_time()
        verified: list[tuple[Transfer, Published | None]] = []
        unfinished: list[tuple[Transfer, Unfinished]] = []
        copies = await self._copy_small(copying) if self.is_batch else [await self._copy_alone(copying[0])]
        for transfer, copied in copies:
            await self._count_altered(copied)
            result = await self._unless_source(transfer, copied)
            if isinstance(result, Copied):
                self._warn_of_times(result)
                verified.append((as_verified(transfer, result, self._name(transfer.path)), result.published))
            elif isinstance(result, Unfinished):
                unfinished.append((transfer, result))
            elif isinstance(result, Fault):
                await self._fail(self._file(transfer), result)
        await self._withdraw(unfinished, began_s)
        if verified:
            records = [verified_record(transfer) for transfer, _ in verified]
            await self.journal.write(transfers.mark_verified, records)
        at_name = [as_published(transfer, published) for transfer, published in verified if published]
        await self._mark_published(at_name)
        others = [each for each in running if each.phase is not TransferPhase.COPYING]
        return others + at_name + [transfer for transfer, published in verified if not published]

    async def _withdraw(self, unfinished: Sequence[tuple[Transfer, Unfinished]], began_s: float) -> None:
        """They are the tracker's again. A transfer that goes on after a restart may have a partial."""
        if not unfinished:
            return
        if self.is_batch:
            await self.journal.write(transfers.withdraw, [transfer.id for transfer, _ in unfinished])
        else:
            [(transfer, _)] = unfinished
            is_gone = await self._discard(transfer)
            await self.journal.write(transfers.drop, transfer.id, leaves_orphan=not is_gone)
        at = time.time()
        found = tuple((self._file(transfer), result.evidence) for transfer, result in unfinished)
        for file, _ in found:
            self._outcomes[file.id] = FoundUnfinished(file, at)
            log.debug("not finished", **self._log_fields(file.path))
        await self.notify(FilesUnfinished(found, began_s, at))

    def _warn_of_times(self, copied: Copied) -> None:
        if not copied.is_time_set:
            why = "the destination refuses to set modification times: files have the time of their copy there"
            self._warn_once("times are not kept", why)

    async def _copy_small(self, copying: Sequence[Transfer]) -> list[tuple[Transfer, SmallFileResult]]:
        request = CopySmallFiles(tuple(self._copy_request(transfer) for transfer in copying))
        reply = await self.worker.ask(request, CopiedFiles)
        return list(zip(copying, reply.results, strict=True))

    async def _copy_alone(self, transfer: Transfer) -> tuple[Transfer, SmallFileResult]:
        try:
            transfer, copied = await self._copy_when_unlocked(transfer)
        except Fault as fault:
            return transfer, fault
        if isinstance(copied, Unfinished):
            return transfer, copied
        await self._show_verifying()
        if transfer.signature != self.file.signature:
            await self.journal.write(transfers.update_signature, transfer.id, self.file.signature)
            transfer = evolve(transfer, signature=self.file.signature)
        if copied.published is None:
            log.info(
                "copied",
                read_bytes=copied.read_bytes,
                resumed_bytes=copied.resumed_bytes,
                patched_blocks=copied.patched_blocks,
                **self._log_fields(),
            )
        return transfer, copied

    async def _copy_when_unlocked(self, transfer: Transfer) -> tuple[Transfer, Copied | Unfinished]:
        """Copy when no killed worker holds the partial any more, or else into a fresh one.

        Returns the transfer with the partial that it was copied into.
        """
        # Trusted once: a copy that was cut off may have altered them. One that never began has not.
        trusted = self.trusted_blocks.pop(transfer.partial, 0)
        deadline_s = trio.current_time() + self.worker.stall_timeout_s
        while trio.current_time() < deadline_s:
            try:
                return await self._copy_into_partial(transfer, trusted)
            except Fault as fault:
                if fault.kind in LOST_PARTIAL:
                    transfer, trusted = await self._restart_without_partial(transfer, fault), 0
                    deadline_s = trio.current_time() + self.worker.stall_timeout_s
                    continue
                if fault.kind is not FaultKind.BUSY:
                    raise
            await trio.sleep(BUSY_RETRY_S)
        log.warning("begun again beside a partial that a stuck worker holds", **self._log_fields())
        return await self._copy_into_partial(await self._restart(transfer), trusted=0)

    async def _copy_into_partial(
        self, transfer: Transfer, trusted: int
    ) -> tuple[Transfer, Copied | Unfinished]:
        self.verified_bytes = len(transfer.blocks) * BLOCK_BYTES
        request = evolve(
            self._copy_request(transfer),
            bandwidth=Bandwidth(self.route.bandwidth, self.route.workers),
            source_changed=bool(transfer.blocks) and not is_as_journaled(transfer, self.file),
            trusted_blocks=trusted,
        )
        transfer, reply = await self._stream(transfer, request, self._on_copy_reply)
        if not isinstance(reply, Copied | Unfinished):
            raise Fault(FaultKind.WORKER, f"a copy ended with {type(reply).__name__}")
        return transfer, reply

    def _copy_request(self, transfer: Transfer) -> CopyFile:
        return CopyFile(
            source=self.route.source,
            path=transfer.path,
            signature=self._file(transfer).signature,
            destination=self.destination,
            name=self._name(transfer.path),
            partial=transfer.partial,
            digests=transfer.blocks,
            verify=self.route.verify,
            conflict=self.route.conflict,
            bandwidth=Bandwidth(),
            finish_rule=self._file(transfer).finish_rule,
        )

    async def _on_copy_reply(self, transfer: Transfer, reply: Reply) -> None:
        if isinstance(reply, Copying) and reply.copied_bytes == self.file.signature.size_bytes:
            await self._show_verifying()
        await self._on_reply(transfer, reply)

    async def _show_verifying(self) -> None:
        if not self._is_verifying:
            self._is_verifying = True
            why = "reads back what arrived"
            await self.notify(StatusChanged(self.file.id, Status.VERIFYING, time.time(), why=why))

    async def _count_altered(self, result: SmallFileResult) -> None:
        altered = int(isinstance(result, Fault) and result.kind is FaultKind.CORRUPT)
        if isinstance(result, Copied):
            altered = result.repaired_blocks
        for _ in range(altered):
            await self.notify(CounterIncremented("verify_failure", self.route.name))

    # 4. Publish

    async def _publish(self, running: Sequence[Transfer]) -> list[Transfer]:
        """Those that are published now or were before; and one that has to be copied again."""
        verified = [each for each in running if each.phase is TransferPhase.VERIFIED]
        if not verified:
            return list(running)
        request = publish_request(self.destination, self.route, verified)
        reply = await self.worker.ask(request, PublishedFiles)
        going_on = [each for each in running if each.phase is TransferPhase.PUBLISHED]
        published = []
        for transfer, result in zip(verified, reply.results, strict=True):
            checked = await self._unless_source(transfer, result)
            if isinstance(checked, Published):
                published.append(as_published(transfer, checked))
            elif isinstance(result, Fault):
                going_on += await self._not_published(transfer, result)
            else:
                await self._leave(transfer, checked)
        await self._mark_published(published)
        return going_on + published

    async def _not_published(self, transfer: Transfer, fault: Fault) -> list[Transfer]:
        """The transfer, if it has to be copied again at once.

        The only name that its partial can get is taken, or the partial has lost its own.
        """
        if not self.is_batch and fault.kind in LOST_PARTIAL:
            return [await self._restart_without_partial(transfer, fault)]
        is_taken = fault.kind is FaultKind.CONFLICT and self.route.conflict == "rename"
        if not self.is_batch and (is_taken or fault.kind is FaultKind.CORRUPT):
            transfer = await self._restart(transfer)
            if is_taken:
                return [transfer]
        await self._leave(transfer, fault)
        return []

    async def _mark_published(self, published: Sequence[Transfer]) -> None:
        if published:
            records = [published_record(transfer) for transfer in published]
            await self.journal.write(transfers.mark_published, records)

    # 5. Remove the source, 6. done

    async def _remove_sources(self, published: Sequence[Transfer]) -> list[tuple[Transfer, SourceRemoved]]:
        if not published:
            return []
        request = remove_request(self.journal.identity, self.route, published)
        try:
            reply = await self.worker.ask(request, RemovedSources)
        except Fault as fault:
            if fault.kind is not FaultKind.WORKER:
                raise
            # It may have died after a removal: that must be known before a scan finds the source gone.
            reply = await self.worker.ask(request, RemovedSources)
        removed = []
        for transfer, result in zip(published, reply.results, strict=True):
            if isinstance(result, SourceRemoved):
                self._log_put_back(transfer, result)
                removed.append((transfer, result))
            elif result.kind is FaultKind.SOURCE and self.attempt >= self.route.max_attempts:
                removed.append((transfer, SourceRemoved(result.detail)))
            else:
                await self._leave(transfer, result)
        return removed

    async def _finish(self, removed: Sequence[tuple[Transfer, SourceRemoved]]) -> None:
        if not removed:
            return
        at = time.time()
        results = [result_of(each, self.route, kept.kept_because, self.attempt, at) for each, kept in removed]
        gone = [each for each in removed if each[1].kept_because is None]
        # Sources are gone: a cancellation now must not hide that their files are delivered.
        with trio.CancelScope(shield=True):
            if gone:
                files = tuple(self._file(transfer) for transfer, _ in gone)
                await self.notify(FilesRemoved(files, trio.current_time()))
            try:
                await self.journal.write(transfers.finish, results)
            except JournalError as error:
                if gone:
                    fields = self._log_fields()
                    log.warning("delivered, but not in the history yet", error=str(error), **fields)
                self._deliver(gone)
                raise  # the others are still at the source: their last steps are repeated
        self._deliver(removed)

    def _deliver(self, removed: Sequence[tuple[Transfer, SourceRemoved]]) -> None:
        for transfer, result in removed:
            file = self._file(transfer)
            delivery = delivery_of(transfer, self.route, result.kept_because)
            self._outcomes[file.id] = Delivered(file, delivery, time.time())
            event = "kept" if delivery.kept else "delivered"
            fields = self._log_fields(transfer.path)
            if delivery.kept_because is not None:
                fields["error"] = delivery.kept_because
            log.info(event, to=delivery.destination_path, verified=delivery.level, **fields)

    async def _leave(self, transfer: Transfer, fault: Fault) -> None:
        """In a batch, a fault of this file alone is met again, and counted, when it is copied alone."""
        if not self.is_batch or fault.kind in NON_COUNTING:
            await self._fail(self._file(transfer), fault)

    def _file(self, transfer: Transfer) -> FileVersion:
        return self._by_path[transfer.path]
