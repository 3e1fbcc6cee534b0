"""One file's way to its destination: how it is opened, asked for and put away again."""

import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial

from attrs import Factory, define, evolve, field, frozen

from agent.actors.copier_pool.resume import ResumeAction, resume_action
from agent.config.sections import Route
from agent.journal import transfers
from agent.journal.client import JournalClient
from agent.log import get_logger
from agent.messages.broadcaster import CounterIncremented, StatusChanged, TransferProgress
from agent.messages.dispatcher import Aborted, AttemptFailed, Delivered, Interrupted, TailIdle
from agent.messages.stability_tracker import FilesRemoved
from agent.model.errors import Fault, FaultKind, OutageReason, Side
from agent.model.names import partial_path
from agent.model.source_file import FileVersion
from agent.model.transfer import BLOCK_BYTES, DIGEST_BYTES, Transfer, TransferPhase, TransferResult
from agent.protocol.replies import (
    BlockPatched,
    Checkpoint,
    CopyEnd,
    Copying,
    Finished,
    PartialAllocated,
    Reply,
)
from agent.protocol.requests import (
    CopyFile,
    DestinationRef,
    DiscardPartial,
    FollowFile,
    LookUpSource,
    RemoveSources,
    Request,
)
from agent.worker_pool import OnReply, R, StallTimeout, WorkerPool, ignore

AT_SOURCE = (RemoveSources, LookUpSource)


@frozen
class WorkerClient:
    """A silence of `stall_timeout_s` is an outage of the side that does not answer."""

    workers: WorkerPool
    stall_timeout_s: float

    async def ask(self, request: Request, expected: type[R], on_reply: OnReply = ignore) -> R:
        """Raises: Fault: any kind."""
        try:
            return await self.workers.ask(
                request, expected, stall_timeout_s=self.stall_timeout_s, on_reply=on_reply
            )
        except StallTimeout as silence:
            detail = f"nothing moved for {self.stall_timeout_s:g} s"
            if isinstance(request, AT_SOURCE) or silence.side is Side.SOURCE:
                raise Fault(FaultKind.SOURCE_OUTAGE, f"source: {detail}") from silence
            raise Fault.outage(OutageReason.HUNG, detail) from silence

    @property
    def none_unkillable(self) -> bool:
        """Whether no killed worker is left that may still do what it was asked for."""
        return self.workers.none_unkillable


Outcome = Delivered | TailIdle | Aborted | AttemptFailed | Interrupted


# Not the file's fault, so no attempt is counted.
NON_COUNTING = (FaultKind.DESTINATION, FaultKind.JOURNAL, FaultKind.SOURCE_OUTAGE, FaultKind.BUSY)


def outcome_of(file: FileVersion, fault: Fault, verified_bytes: int) -> Interrupted | AttemptFailed:
    if fault.kind in NON_COUNTING:
        return Interrupted(file, fault, verified_bytes, time.time())
    return AttemptFailed(file, fault, time.time())


log = get_logger(__name__)


Notification = StatusChanged | TransferProgress | CounterIncremented | FilesRemoved
Notify = Callable[[Notification], Awaitable[None]]


@define
class TransferTask:
    """What every errand needs, and how far it has come (`verified_bytes`).

    `trusted_blocks`: by partial, how many blocks were verified while their file grew, and may be trusted
    once.
    """

    file: FileVersion
    route: Route
    destination: DestinationRef
    journal: JournalClient
    worker: WorkerClient
    notify: Notify
    trusted_blocks: dict[str, int] = field(factory=dict)
    verified_bytes: int = field(default=0, init=False)
    _transfer_id: int | None = field(default=None, init=False)
    _name: str = field(
        init=False, default=Factory(lambda it: it.route.key_prefix + it.file.path, takes_self=True)
    )

    async def _open_or_resume(self, as_begun: FileVersion) -> tuple[Transfer, ResumeAction]:
        """What is remembered of the file, else what is begun now, for `as_begun`; and what comes next."""
        transfer = await self._begin_or_resume(as_begun)
        step = resume_action(transfer, self.file, self.route.destination)
        if step is ResumeAction.START_OVER:
            await self._discard_stale(transfer)
            transfer = await self._begin_or_resume(as_begun)
        return transfer, step

    async def _discard_stale(self, transfer: Transfer) -> None:
        """What is remembered is of no use for the file as it stands now: end it."""
        if transfer.phase is TransferPhase.PUBLISHED:
            where = destination_path(transfer.destination, transfer.name or "")
            why = "the source changed after it had been delivered"
            result = TransferResult(transfer.id, "kept", 0, why, time.time(), where)
            await self.journal.write(transfers.finish, [result])
            log.info("kept", to=where, error=why, **self.log_context)
        else:
            is_here = transfer.destination == self.route.destination
            left = not (is_here and await self._discard(transfer))
            await self.journal.write(transfers.drop, transfer.id, left)
        self._transfer_id = None

    async def _begin_or_resume(self, file: FileVersion) -> Transfer:
        files = {self._fresh_partial(): file}
        source, destination = self.route.source, self.route.destination
        opened = await self.journal.write(transfers.begin_or_resume, files, source, destination, time.time())
        transfer = opened[file.path]
        self._transfer_id = transfer.id
        return transfer

    def _fresh_partial(self) -> str:
        return partial_path(self.journal.identity, self.file, self._name, uuid.uuid4().hex)

    async def _until_allocated(
        self,
        transfer: Transfer,
        request: CopyFile | FollowFile,
        hear: Callable[[Transfer, Reply], Awaitable[None]],
    ) -> tuple[Transfer, CopyEnd]:
        """Ask until the partial is as the destination wants it; each is journaled before it is made."""
        while True:
            reply = await self.worker.ask(request, CopyEnd, partial(hear, transfer))
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

    async def _discard(self, transfer: Transfer) -> bool:
        """Whether its partial is gone for good; a name that does not let go is left to the sweep."""
        try:
            await self.worker.ask(DiscardPartial(self.destination, transfer.partial), Finished)
        except Fault as fault:
            log.warning("partial left to the sweep", error=str(fault), **self.log_context)
            return False
        return self.worker.none_unkillable

    @property
    def log_context(self) -> dict[str, str | int]:
        """The fields that every log line of this file has."""
        return line_fields(self.route.name, self.file.path, self.route.destination, self._transfer_id)


def line_fields(route: str, path: str, destination: str, transfer_id: int | None) -> dict[str, str | int]:
    """The fields of a log line about a file; `transfer_id` is the history's, None: no transfer exists yet."""
    known = {} if transfer_id is None else {"transfer_id": transfer_id}
    return {"route": route, "file": path, **known, "destination": destination}


def destination_path(destination: str, name: str) -> str:
    return f"{destination.rstrip('/')}/{name}"
