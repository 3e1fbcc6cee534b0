"""The steps of one transfer, from ready to done; each is in the journal before the next begins."""

import time

import trio
from attrs import define, evolve, field

from agent.actors.errand import Errand, under
from agent.faults import Fault, FaultKind
from agent.log import get_logger
from agent.messages import Counted, Moved
from agent.protocol import (
    BLOCK_BYTES,
    Arrived,
    Copied,
    CopyFile,
    Copying,
    Found,
    Pace,
    Placed,
    Published,
    PublishFile,
    Reply,
    SettleSource,
    SourceSettled,
)
from agent.rules.lifecycle import Next
from agent.rules.uploads import bound_name
from agent.stores.journal import JournalError
from agent.terms import Delivery, Status, Step, Transfer
from agent.views import HistoryResult

HASH_PREFIX = "xxh128:"
NOT_READ_BACK = ("hash", "size")
BUSY_LOOK_S = 0.25
log = get_logger(__name__)


@define
class Carrying(Errand):
    """From ready to delivered."""

    _verifying: bool = field(default=False, init=False)

    async def deliver(self, attempts: int) -> Delivery:
        """Carry the file over, from wherever an earlier attempt got to.

        Raises:
            Fault: any kind; the journal holds what was reached.
        """
        transfer, step = await self._opened(self.file)
        if step in (Next.BEGIN, Next.START_OVER, Next.RESUME, Next.REVISE):
            transfer = await self._copy(transfer)
        while transfer.step is Step.INTENT:
            transfer = await self._publish(transfer)
            if transfer.step is Step.COPYING:  # the name that it was bound to was taken meanwhile
                transfer = await self._copy(transfer)
        return await self._settle(transfer, attempts)

    async def _copy(self, transfer: Transfer) -> Transfer:
        try:
            transfer, reply = await self._carry(transfer)
        except Fault as fault:
            if fault.kind is FaultKind.CORRUPT:
                await self.tell(Counted("verify_failure", self.route.name))
            raise
        await self._show_verifying()
        if transfer.signature != self.file.signature:
            await self.ledger.adopt(transfer.id, self.file.signature)
        digest = HASH_PREFIX + reply.digest.hex()
        if isinstance(reply, Found | Placed):
            already_there = isinstance(reply, Found) or reply.already_there
            await self.ledger.intent(transfer.id, reply.name, digest, reply.level)
            await self.ledger.published(transfer.id, reply.name, already_there)
            return evolve(
                transfer,
                step=Step.PUBLISHED,
                name=reply.name,
                hash=digest,
                level=reply.level,
                already_there=already_there,
            )
        if isinstance(reply, Copied):
            for _ in range(reply.repaired_blocks):
                await self.tell(Counted("verify_failure", self.route.name))
            log.info(
                "copied",
                read_bytes=reply.read_bytes,
                resumed_bytes=reply.resumed_bytes,
                patched_blocks=reply.patched_blocks,
                **self.about,
            )
        name = bound_name(transfer.partial, self._name)
        await self.ledger.intent(transfer.id, name, digest, reply.level)
        return evolve(transfer, step=Step.INTENT, name=name, hash=digest, level=reply.level)

    async def _carry(self, transfer: Transfer) -> tuple[Transfer, Arrived]:
        """Copy once no killed worker is at work on the partial any more, or else into a fresh one.

        Returns the transfer with the partial in which it arrived.
        """
        # Trusted once: a revision that was cut off may have altered them. One that never began has not.
        proven = self.proven.pop(transfer.partial, 0)
        patience_s = trio.current_time() + self.hands.stall_timeout_s
        while trio.current_time() < patience_s:
            try:
                return await self._copy_into(transfer, proven)
            except Fault as fault:
                if fault.kind is not FaultKind.BUSY:
                    raise
            await trio.sleep(BUSY_LOOK_S)
        log.warning("begun again beside a partial that a stuck worker holds", **self.about)
        afresh = evolve(transfer, partial=self._fresh_partial(), blocks=())
        await self.ledger.restart(transfer.id, afresh.partial)
        return await self._copy_into(afresh, proven=0)

    async def _copy_into(self, transfer: Transfer, proven: int) -> tuple[Transfer, Arrived]:
        self.verified_bytes = len(transfer.blocks) * BLOCK_BYTES
        request = CopyFile(
            source=self.route.source,
            path=self.file.path,
            signature=self.file.signature,
            place=self.place,
            name=self._name,
            partial=transfer.partial,
            digests=transfer.blocks,
            verify=self.route.verify,
            conflict=self.route.conflict,
            pace=Pace(self.route.bandwidth, self.route.workers),
            revised=transfer.signature != self.file.signature,
            proven_blocks=proven,
        )
        transfer, reply = await self._reserving(transfer, request, self._hear_of_copy)
        if not isinstance(reply, Arrived):
            raise Fault(FaultKind.WORKER, f"a copy ended with {type(reply).__name__}")
        return transfer, reply

    async def _hear_of_copy(self, transfer: Transfer, reply: Reply) -> None:
        if isinstance(reply, Copying) and reply.copied_bytes == self.file.signature.size_bytes:
            await self._show_verifying()
        await self._hear(transfer, reply)

    async def _show_verifying(self) -> None:
        if not self._verifying:
            self._verifying = True
            await self.tell(Moved(self.file.id, Status.VERIFYING, time.time(), why="reads back what arrived"))

    async def _publish(self, transfer: Transfer) -> Transfer:
        if transfer.step is Step.PUBLISHED or transfer.name is None or transfer.hash is None:
            return transfer
        request = PublishFile(
            place=self.place,
            partial=transfer.partial,
            name=transfer.name,
            conflict=self.route.conflict,
            size_bytes=self.file.signature.size_bytes,
            digest=bytes.fromhex(transfer.hash.removeprefix(HASH_PREFIX)),
            read_back=self.route.verify == "read_back" and transfer.level in NOT_READ_BACK,
        )
        try:
            reply = await self.hands.ask(request, Published)
        except Fault as fault:
            taken = fault.kind is FaultKind.CONFLICT and self.route.conflict == "rename"
            if fault.kind is not FaultKind.CORRUPT and not taken:
                raise
            fresh = self._fresh_partial()
            await self.ledger.restart(transfer.id, fresh)
            if not taken:
                raise
            return evolve(transfer, step=Step.COPYING, partial=fresh, blocks=(), name=None, hash=None)
        await self.ledger.published(transfer.id, reply.name, reply.already_there, reply.level)
        return evolve(
            transfer,
            step=Step.PUBLISHED,
            name=reply.name,
            level=reply.level or transfer.level,
            already_there=reply.already_there,
        )

    async def _settle(self, transfer: Transfer, attempts: int) -> Delivery:
        request = SettleSource(
            source=self.route.source,
            path=self.file.path,
            signature=self.file.signature,
            after=self.route.after,
            archive=self.route.archive,
        )
        kept = await self._let_go(request)
        delivery = Delivery(
            destination_path=under(self.route.destination, transfer.name or self._name),
            level=transfer.level or "size",
            hash=transfer.hash or "",
            size_bytes=self.file.signature.size_bytes,
            already_there=transfer.already_there,
            kept=kept is not None,
            started_at=transfer.started_at,
        )
        result: HistoryResult = "delivered" if kept is None else "kept"
        error = None if self.route.after == "keep" else kept
        at = time.time()
        # The source is gone: a halt that comes now must not hide that the file has been delivered.
        with trio.CancelScope(shield=True):
            try:
                await self.ledger.finish(transfer.id, result, attempts, error, at, delivery.destination_path)
            except JournalError as trouble:
                if kept is not None:
                    raise  # it is still there to be settled once more
                log.warning("delivered, but not in the history yet", error=str(trouble), **self.about)
        return delivery

    async def _let_go(self, request: SettleSource) -> str | None:
        """None when the source is gone, else why it was kept."""
        try:
            return (await self.hands.ask(request, SourceSettled)).kept
        except Fault as fault:
            if fault.kind is not FaultKind.WORKER:
                raise
        # It may have died after it had let go of the source: that must be known before a scan sees it gone.
        return (await self.hands.ask(request, SourceSettled)).kept
