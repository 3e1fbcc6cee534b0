"""A growing file: what stands of it is copied, and its tail as it comes."""

from attrs import define, evolve

from agent.actors.copier_pool.resume import ResumeAction
from agent.actors.copier_pool.task import TransferTask
from agent.model.transfer import BLOCK_BYTES, Transfer
from agent.protocol.replies import Checkpoint, Reply, TrustedBlocks
from agent.protocol.requests import Bandwidth, FollowFile


@define
class FollowTask(TransferTask):
    """As long as it grows."""

    async def follow(self) -> None:
        """Copy what stands of a growing file, and its tail as it comes, until it rests for a while.

        Raises:
            Fault: any kind; the journal holds what was reached.
        """
        transfer, step = await self._open_or_resume(
            evolve(self.file, signature=self.file.signature.placeholder())
        )
        if step in (ResumeAction.PUBLISH, ResumeAction.REMOVE_SOURCE):
            return  # delivered in this very state
        request = FollowFile(
            source=self.route.source,
            path=self.file.path,
            signature=self.file.signature,
            destination=self.destination,
            name=self._name,
            conflict=self.route.conflict,
            partial=transfer.partial,
            digests=transfer.blocks,
            # Until the worker says how much of it is still there.
            trusted_blocks=self.trusted_blocks.pop(transfer.partial, 0),
            verify=self.route.verify,
            bandwidth=Bandwidth(self.route.bandwidth, self.route.workers),
        )
        await self._until_allocated(transfer, request, self._on_follow_reply)

    async def _on_follow_reply(self, transfer: Transfer, reply: Reply) -> None:
        await self._on_reply(transfer, reply)
        if isinstance(reply, TrustedBlocks):
            self.trusted_blocks[transfer.partial] = reply.blocks
        elif isinstance(reply, Checkpoint) and reply.past_cache:
            # Blocks are verified in order, so all before these are too.
            self.trusted_blocks[transfer.partial] = self.verified_bytes // BLOCK_BYTES
