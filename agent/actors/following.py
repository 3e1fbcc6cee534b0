"""A growing file: what stands of it is copied, and its tail as it comes."""

from attrs import define, evolve

from agent.actors.errand import Errand
from agent.protocol import BLOCK_BYTES, Checkpoint, FollowFile, Pace, Proven, Reply
from agent.rules.lifecycle import Next
from agent.terms import Transfer


@define
class Following(Errand):
    """As long as it grows."""

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

    async def _hear_of_follow(self, transfer: Transfer, reply: Reply) -> None:
        await self._hear(transfer, reply)
        if isinstance(reply, Proven):
            self.proven[transfer.partial] = reply.blocks
        elif isinstance(reply, Checkpoint) and reply.past_cache:
            # Blocks are verified in order, so all before these are too.
            self.proven[transfer.partial] = self.verified_bytes // BLOCK_BYTES
