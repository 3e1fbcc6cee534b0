"""The steps of one transfer, from ready to done; each is in the journal before the next begins."""

import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial

import trio
from attrs import Factory, define, evolve, field

from agent.config import Route
from agent.faults import Fault, FaultKind, OutageReason, Side
from agent.ledger import Ledger
from agent.log import get_logger
from agent.messages import Counted, Moved, Progress
from agent.protocol import (
    BLOCK_BYTES,
    DIGEST_BYTES,
    Arrived,
    Checkpoint,
    Copied,
    CopyEnd,
    CopyFile,
    Copying,
    DiscardPartial,
    Finished,
    FollowFile,
    Found,
    LookUpSource,
    Pace,
    Patch,
    Place,
    Placed,
    Presence,
    Proven,
    Published,
    PublishFile,
    Reply,
    Request,
    Reserved,
    SettleSource,
    SourceSettled,
)
from agent.rules.lifecycle import Next, opening
from agent.rules.naming import partial_path
from agent.rules.uploads import bound_name
from agent.stores.journal import JournalError
from agent.terms import Delivery, SourceFile, Status, Step, Transfer
from agent.views import HistoryResult
from agent.workers import OnReply, R, Silence, Workers, ignore

HASH_PREFIX = "xxh128:"
NOT_READ_BACK = ("hash", "size")
BUSY_LOOK_S = 0.25
log = get_logger(__name__)

Tell = Callable[[Moved | Progress | Counted], Awaitable[None]]


@define
class Errand:
    """One file's way to its destination: what it needs, and how far it has come (`verified_bytes`).

    `proven`: by partial, how many blocks were verified while their file grew, and may be trusted once.
    """

    file: SourceFile
    route: Route
    place: Place
    stall_timeout_s: float
    ledger: Ledger
    workers: Workers
    tell: Tell
    proven: dict[str, int] = field(factory=dict)
    verified_bytes: int = field(default=0, init=False)
    _verifying: bool = field(default=False, init=False)
    _name: str = field(init=False, default=Factory(lambda it: it.route.below + it.file.path, takes_self=True))

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

    async def follow(self) -> None:
        """Copy what stands of a growing file, and its tail as it comes, until it rests for a while.

        Raises:
            Fault: any kind; the journal holds what was reached.
        """
        transfer, step = await self._opened(evolve(self.file, signature=self.file.signature.provisional()))
        if step in (Next.PUBLISH, Next.SETTLE):
            return  # delivered in this very state
        request = FollowFile(
            source=self.route.source,
            path=self.file.path,
            signature=self.file.signature,
            place=self.place,
            name=self._name,
            conflict=self.route.conflict,
            partial=transfer.partial,
            digests=transfer.blocks,
            # Until the worker says how much of it is still there.
            proven_blocks=self.proven.pop(transfer.partial, 0),
            verify=self.route.verify,
            pace=Pace(self.route.bandwidth, self.route.workers),
        )
        await self._reserving(transfer, request, self._hear_of_follow)

    async def _opened(self, as_begun: SourceFile) -> tuple[Transfer, Next]:
        """What is remembered of the file, else what is begun now, for `as_begun`; and what comes next."""
        transfer = await self.ledger.find(self.file.route, self.file.path)
        step = opening(transfer, self.file, self.route.destination)
        if transfer is not None and step is Next.START_OVER:
            await self._put_away(transfer)
        if transfer is None or step is Next.START_OVER:
            transfer = await self._begin(as_begun)
        return transfer, step

    async def give_up(self, attempts: int, error: str | None) -> None:
        """Remove the partial and close the journal's entry; `error` None: forget the transfer altogether."""
        transfer = await self.ledger.find(self.file.route, self.file.path)
        source, destination = self.route.source, self.route.destination
        if transfer is None and error is not None:
            await self.ledger.fail_unstarted(self.file, source, destination, attempts, error, time.time())
        elif transfer is not None and transfer.step is Step.PUBLISHED:
            await self._close(transfer, attempts, error)
        elif transfer is not None and transfer.step is Step.INTENT and error is None:
            return  # the source may be gone and this the only whole copy: the next sweep decides
        elif transfer is not None:
            left = not await self._discard(transfer)
            if error is None:
                await self.ledger.drop(transfer.id, left)
            else:
                await self.ledger.finish(transfer.id, "failed", attempts, error, time.time(), None, left)

    async def _close(self, transfer: Transfer, attempts: int, error: str | None) -> None:
        """It has arrived; the last try to let go of its source may have done so and not come to say it."""
        where = under(transfer.destination, transfer.name or "")
        if (await self._ask(LookUpSource(self.route.source, self.file.path), Presence)).exists:
            await self.ledger.finish(transfer.id, "kept", attempts, error, time.time(), where)
        else:
            await self.ledger.finish(transfer.id, "delivered", attempts, None, time.time(), where)
            log.info("delivered", to=where, **self.about)

    async def _put_away(self, transfer: Transfer) -> None:
        """What is remembered is of no use for the file as it stands now: end it."""
        if transfer.step is Step.PUBLISHED:
            where = under(transfer.destination, transfer.name or "")
            why = "the source changed after it had been delivered"
            await self.ledger.finish(transfer.id, "kept", 0, why, time.time(), where)
            return
        is_here = transfer.destination == self.route.destination
        left = not (is_here and await self._discard(transfer))
        await self.ledger.drop(transfer.id, left)

    async def _begin(self, file: SourceFile) -> Transfer:
        partial = self._fresh_partial()
        source, destination = self.route.source, self.route.destination
        return await self.ledger.begin(file, source, destination, partial, time.time())

    def _fresh_partial(self) -> str:
        return partial_path(self.ledger.identity, self.file, self._name, uuid.uuid4().hex)

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
        patience_s = trio.current_time() + self.stall_timeout_s
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

    async def _reserving(
        self,
        transfer: Transfer,
        request: CopyFile | FollowFile,
        hear: Callable[[Transfer, Reply], Awaitable[None]],
    ) -> tuple[Transfer, CopyEnd]:
        """Ask until the partial is as the destination wants it; each is journaled before it is made."""
        while True:
            reply = await self._ask(request, CopyEnd, partial(hear, transfer))
            if not isinstance(reply, Reserved):
                return transfer, reply
            await self.ledger.reserve(transfer.id, reply.partial)
            transfer = evolve(transfer, partial=reply.partial)
            request = evolve(request, partial=reply.partial, proven_blocks=0)

    async def _hear(self, transfer: Transfer, reply: Reply) -> None:
        if isinstance(reply, Checkpoint):
            await self.ledger.checkpoint(transfer.id, reply.first_block, reply.digests)
            blocks = reply.first_block + len(reply.digests) // DIGEST_BYTES
            self.verified_bytes = blocks * BLOCK_BYTES
        elif isinstance(reply, Patch):
            await self.ledger.patch(transfer.id, reply.block, reply.digest)
        elif isinstance(reply, Copying):
            await self.tell(Progress(self.file.id, reply.copied_bytes, reply.verified_bytes, time.time()))

    async def _hear_of_copy(self, transfer: Transfer, reply: Reply) -> None:
        if isinstance(reply, Copying) and reply.copied_bytes == self.file.signature.size_bytes:
            await self._show_verifying()
        await self._hear(transfer, reply)

    async def _hear_of_follow(self, transfer: Transfer, reply: Reply) -> None:
        await self._hear(transfer, reply)
        if isinstance(reply, Proven):
            self.proven[transfer.partial] = reply.blocks
        elif isinstance(reply, Checkpoint) and reply.past_cache:
            # Blocks are verified in order, so all before these are too.
            self.proven[transfer.partial] = self.verified_bytes // BLOCK_BYTES

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
            reply = await self._ask(request, Published)
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
            return (await self._ask(request, SourceSettled)).kept
        except Fault as fault:
            if fault.kind is not FaultKind.WORKER:
                raise
        # It may have died after it had let go of the source: that must be known before a scan sees it gone.
        return (await self._ask(request, SourceSettled)).kept

    async def _discard(self, transfer: Transfer) -> bool:
        """Whether its partial is gone for good; a name that does not let go is left to the sweep."""
        try:
            await self._ask(DiscardPartial(self.place, transfer.partial), Finished)
        except Fault as fault:
            log.warning("partial left to the sweep", error=str(fault), **self.about)
            return False
        return self.workers.are_quiet

    async def _ask(self, request: Request, expected: type[R], on_reply: OnReply = ignore) -> R:
        try:
            return await self.workers.ask(
                request, expected, silence_s=self.stall_timeout_s, on_reply=on_reply
            )
        except Silence as silence:
            detail = f"nothing moved for {self.stall_timeout_s:g} s"
            if isinstance(request, SettleSource | LookUpSource) or silence.side is Side.SOURCE:
                raise Fault(FaultKind.SOURCE_OUTAGE, f"source: {detail}") from silence
            raise Fault.outage(OutageReason.HUNG, detail) from silence

    @property
    def about(self) -> dict[str, str]:
        """What every log line of this file carries."""
        return {
            "route": self.route.name,
            "file": self.file.path,
            "transfer_id": self.file.id,
            "destination": self.route.destination,
        }


def under(destination: str, name: str) -> str:
    return f"{destination.rstrip('/')}/{name}"
