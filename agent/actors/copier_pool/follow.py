"""A file that grows, followed by its tail until it stops growing; what is copied so is compared later."""

import time

from attrs import define, evolve

from agent.actors.copier_pool.decisions import LOST_PARTIAL
from agent.actors.copier_pool.task import Task
from agent.journal import transfers
from agent.messages.dispatcher import TailIdle
from agent.model.errors import Fault
from agent.model.transfer import Transfer, TransferPhase
from agent.model.verification import BLOCK_BYTES
from agent.protocol.replies import Checkpoint, Reply, TrustedBlocks
from agent.protocol.requests import Bandwidth, FollowFile


@define
class FollowTask(Task):
    """Copies what a writer has left behind of one growing file, and its tail as it comes."""

    failed_event = "not followed any further"

    async def _run(self) -> None:
        """Until the file does not grow for a while."""
        await self._check_separate()
        transfer = await self._begin_or_resume_one(
            evolve(self.file, signature=self.file.signature.placeholder())
        )
        if transfer.phase is TransferPhase.COPYING:  # else this very state is delivered
            await self._follow(await self._as_growing(transfer))
        self._outcomes[self.file.id] = TailIdle(self.file, time.time())

    async def _as_growing(self, transfer: Transfer) -> Transfer:
        """Begun while the file was ready: what is copied from now on is of no state that it ever had."""
        if transfer.signature == transfer.signature.placeholder():
            return transfer
        growing = self.file.signature.placeholder()
        await self.journal.write(transfers.update_signature, transfer.id, growing)
        return evolve(transfer, signature=growing)

    async def _follow(self, transfer: Transfer) -> None:
        try:
            await self._stream(transfer, self._follow_request(transfer), self._on_follow_reply)
        except Fault as fault:
            if fault.kind not in LOST_PARTIAL:
                raise
            await self._follow(await self._restart_without_partial(transfer, fault))

    def _follow_request(self, transfer: Transfer) -> FollowFile:
        return FollowFile(
            source=self.route.source,
            path=self.file.path,
            signature=self.file.signature,
            destination=self.destination,
            name=self._name(self.file.path),
            conflict=self.route.conflict,
            partial=transfer.partial,
            digests=transfer.blocks,
            # Until the worker reports how many of them are still there.
            trusted_blocks=self.trusted_blocks.pop(transfer.partial, 0),
            verify=self.route.verify,
            bandwidth=Bandwidth(self.route.bandwidth, self.route.workers),
        )

    async def _on_follow_reply(self, transfer: Transfer, reply: Reply) -> None:
        await self._on_reply(transfer, reply)
        if isinstance(reply, TrustedBlocks):
            self.trusted_blocks[transfer.partial] = reply.blocks
        elif isinstance(reply, Checkpoint) and reply.past_cache:
            # Blocks are verified in order, so all before these are too.
            self.trusted_blocks[transfer.partial] = self.verified_bytes // BLOCK_BYTES
