"""The steps of one transfer, from ready to done; each is in the journal before the next begins."""

import time

import trio
from attrs import define, evolve, field

from agent.actors.copier_pool.resume import ResumeAction
from agent.actors.copier_pool.task import TransferTask, destination_path
from agent.journal import transfers
from agent.journal.database import JournalError
from agent.log import get_logger
from agent.messages.broadcaster import CounterIncremented, StatusChanged
from agent.messages.stability_tracker import FilesRemoved
from agent.model.errors import Fault, FaultKind
from agent.model.multipart import bound_name
from agent.model.transfer import (
    BLOCK_BYTES,
    Delivery,
    PublishedTransfer,
    Status,
    Transfer,
    TransferPhase,
    TransferResult,
    VerifiedTransfer,
)
from agent.model.views import HistoryResult
from agent.protocol.replies import Copied, Copying, PublishedFiles, RemovedSources, Reply
from agent.protocol.requests import (
    Bandwidth,
    CopyFile,
    PartialToPublish,
    PublishFiles,
    RemoveSources,
    SourceToRemove,
)

HASH_PREFIX = "xxh128:"
NOT_READ_BACK = ("hash", "size")
BUSY_RETRY_S = 0.25
log = get_logger(__name__)


@define
class DeliverTask(TransferTask):
    """From ready to delivered."""

    _verifying: bool = field(default=False, init=False)

    async def deliver(self, attempts: int) -> Delivery:
        """Carry the file over, from wherever an earlier attempt got to.

        Raises:
            Fault: any kind; the journal holds what was reached.
        """
        transfer, step = await self._open_or_resume(self.file)
        if step in (ResumeAction.START_OVER, ResumeAction.RESUME, ResumeAction.RECONCILE):
            transfer = await self._copy(transfer)
        while transfer.phase is TransferPhase.VERIFIED:
            transfer = await self._publish(transfer)
            if transfer.phase is TransferPhase.COPYING:  # the name that it was bound to was taken meanwhile
                transfer = await self._copy(transfer)
        return await self._remove_source(transfer, attempts)

    async def _copy(self, transfer: Transfer) -> Transfer:
        try:
            transfer, reply = await self._copy_when_unlocked(transfer)
        except Fault as fault:
            if fault.kind is FaultKind.CORRUPT:
                await self.notify(CounterIncremented("verify_failure", self.route.name))
            raise
        await self._show_verifying()
        if transfer.signature != self.file.signature:
            await self.journal.write(transfers.rebase, transfer.id, self.file.signature)
        digest = HASH_PREFIX + reply.digest.hex()
        if reply.published is not None:
            name, already_there = reply.published.name, reply.published.already_present
            verified = VerifiedTransfer(transfer.id, name, digest, reply.level)
            await self.journal.write(transfers.mark_verified, [verified])
            published = PublishedTransfer(transfer.id, name, already_there)
            await self.journal.write(transfers.mark_published, [published])
            return evolve(
                transfer,
                phase=TransferPhase.PUBLISHED,
                name=name,
                hash=digest,
                level=reply.level,
                already_present=already_there,
            )
        for _ in range(reply.repaired_blocks):
            await self.notify(CounterIncremented("verify_failure", self.route.name))
        log.info(
            "copied",
            read_bytes=reply.read_bytes,
            resumed_bytes=reply.resumed_bytes,
            patched_blocks=reply.patched_blocks,
            **self.log_context,
        )
        name = bound_name(transfer.partial, self._name)
        verified = VerifiedTransfer(transfer.id, name, digest, reply.level)
        await self.journal.write(transfers.mark_verified, [verified])
        return evolve(transfer, phase=TransferPhase.VERIFIED, name=name, hash=digest, level=reply.level)

    async def _copy_when_unlocked(self, transfer: Transfer) -> tuple[Transfer, Copied]:
        """Copy once no killed worker is at work on the partial any more, or else into a fresh one.

        Returns the transfer with the partial in which it arrived.
        """
        # Trusted once: a revision that was cut off may have altered them. One that never began has not.
        proven = self.trusted_blocks.pop(transfer.partial, 0)
        patience_s = trio.current_time() + self.worker.stall_timeout_s
        while trio.current_time() < patience_s:
            try:
                return await self._copy_into(transfer, proven)
            except Fault as fault:
                if fault.kind is not FaultKind.BUSY:
                    raise
            await trio.sleep(BUSY_RETRY_S)
        log.warning("begun again beside a partial that a stuck worker holds", **self.log_context)
        afresh = evolve(transfer, partial=self._fresh_partial(), blocks=())
        await self.journal.write(transfers.restart, transfer.id, afresh.partial)
        return await self._copy_into(afresh, proven=0)

    async def _copy_into(self, transfer: Transfer, proven: int) -> tuple[Transfer, Copied]:
        self.verified_bytes = len(transfer.blocks) * BLOCK_BYTES
        request = CopyFile(
            source=self.route.source,
            path=self.file.path,
            signature=self.file.signature,
            destination=self.destination,
            name=self._name,
            partial=transfer.partial,
            digests=transfer.blocks,
            verify=self.route.verify,
            conflict=self.route.conflict,
            bandwidth=Bandwidth(self.route.bandwidth, self.route.workers),
            source_changed=transfer.signature != self.file.signature,
            trusted_blocks=proven,
        )
        transfer, reply = await self._until_allocated(transfer, request, self._on_copy_reply)
        if not isinstance(reply, Copied):
            raise Fault(FaultKind.WORKER, f"a copy ended with {type(reply).__name__}")
        return transfer, reply

    async def _on_copy_reply(self, transfer: Transfer, reply: Reply) -> None:
        if isinstance(reply, Copying) and reply.copied_bytes == self.file.signature.size_bytes:
            await self._show_verifying()
        await self._on_reply(transfer, reply)

    async def _show_verifying(self) -> None:
        if not self._verifying:
            self._verifying = True
            await self.notify(
                StatusChanged(self.file.id, Status.VERIFYING, time.time(), why="reads back what arrived")
            )

    async def _publish(self, transfer: Transfer) -> Transfer:
        if transfer.phase is TransferPhase.PUBLISHED or transfer.name is None or transfer.hash is None:
            return transfer
        file = PartialToPublish(
            partial=transfer.partial,
            name=transfer.name,
            size_bytes=self.file.signature.size_bytes,
            digest=bytes.fromhex(transfer.hash.removeprefix(HASH_PREFIX)),
            read_back=self.route.verify == "read_back" and transfer.level in NOT_READ_BACK,
        )
        request = PublishFiles(self.destination, self.route.conflict, (file,))
        try:
            [reply] = (await self.worker.ask(request, PublishedFiles)).results
            if isinstance(reply, Fault):
                raise reply
        except Fault as fault:
            taken = fault.kind is FaultKind.CONFLICT and self.route.conflict == "rename"
            if fault.kind is not FaultKind.CORRUPT and not taken:
                raise
            fresh = self._fresh_partial()
            await self.journal.write(transfers.restart, transfer.id, fresh)
            if not taken:
                raise
            return evolve(
                transfer, phase=TransferPhase.COPYING, partial=fresh, blocks=(), name=None, hash=None
            )
        published = PublishedTransfer(transfer.id, reply.name, reply.already_present, reply.level)
        await self.journal.write(transfers.mark_published, [published])
        return evolve(
            transfer,
            phase=TransferPhase.PUBLISHED,
            name=reply.name,
            level=reply.level or transfer.level,
            already_present=reply.already_present,
        )

    async def _remove_source(self, transfer: Transfer, attempts: int) -> Delivery:
        source = SourceToRemove(self.file.path, self.file.signature)
        request = RemoveSources(self.route.source, self.route.after, self.route.archive, (source,))
        kept = await self._remove_or_keep(request)
        delivery = Delivery(
            destination_path=destination_path(self.route.destination, transfer.name or self._name),
            level=transfer.level or "size",
            hash=transfer.hash or "",
            size_bytes=self.file.signature.size_bytes,
            already_present=transfer.already_present,
            kept=kept is not None,
            started_at=transfer.started_at,
        )
        result: HistoryResult = "delivered" if kept is None else "kept"
        error = None if self.route.after == "keep" else kept
        ended = TransferResult(transfer.id, result, attempts, error, time.time(), delivery.destination_path)
        # The source is gone: a halt that comes now must not hide that the file has been delivered.
        with trio.CancelScope(shield=True):
            if kept is None:
                await self.notify(FilesRemoved((self.file,), trio.current_time()))
            try:
                await self.journal.write(transfers.finish, [ended])
            except JournalError as trouble:
                if kept is not None:
                    raise  # it is still there to be settled once more
                log.warning("delivered, but not in the history yet", error=str(trouble), **self.log_context)
        return delivery

    async def _remove_or_keep(self, request: RemoveSources) -> str | None:
        """None when the source is gone, else why it was kept."""
        try:
            reply = await self.worker.ask(request, RemovedSources)
        except Fault as fault:
            if fault.kind is not FaultKind.WORKER:
                raise
            # It may have died after the removal: that must be known before a scan finds the source gone.
            reply = await self.worker.ask(request, RemovedSources)
        [removed] = reply.results
        if isinstance(removed, Fault):
            raise removed
        return removed.kept_because
