"""One file's way to its destination: how it is opened, asked for and put away again."""

import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial

from attrs import Factory, define, evolve, field

from agent.actors.hands import Hands
from agent.config import Route
from agent.faults import Fault
from agent.ledger import Ledger
from agent.log import get_logger
from agent.messages import Counted, Moved, Progress
from agent.protocol import (
    BLOCK_BYTES,
    DIGEST_BYTES,
    Checkpoint,
    CopyEnd,
    CopyFile,
    Copying,
    DiscardPartial,
    Finished,
    FollowFile,
    Patch,
    Place,
    Reply,
    Reserved,
)
from agent.rules.lifecycle import Next, opening
from agent.rules.naming import partial_path
from agent.terms import SourceFile, Step, Transfer

log = get_logger(__name__)

Tell = Callable[[Moved | Progress | Counted], Awaitable[None]]


@define
class Errand:
    """What every errand needs, and how far it has come (`verified_bytes`).

    `proven`: by partial, how many blocks were verified while their file grew, and may be trusted once.
    """

    file: SourceFile
    route: Route
    place: Place
    ledger: Ledger
    hands: Hands
    tell: Tell
    proven: dict[str, int] = field(factory=dict)
    verified_bytes: int = field(default=0, init=False)
    _name: str = field(init=False, default=Factory(lambda it: it.route.below + it.file.path, takes_self=True))

    async def _opened(self, as_begun: SourceFile) -> tuple[Transfer, Next]:
        """What is remembered of the file, else what is begun now, for `as_begun`; and what comes next."""
        transfer = await self.ledger.find(self.file.route, self.file.path)
        step = opening(transfer, self.file, self.route.destination)
        if transfer is not None and step is Next.START_OVER:
            await self._put_away(transfer)
        if transfer is None or step is Next.START_OVER:
            transfer = await self._begin(as_begun)
        return transfer, step

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

    async def _reserving(
        self,
        transfer: Transfer,
        request: CopyFile | FollowFile,
        hear: Callable[[Transfer, Reply], Awaitable[None]],
    ) -> tuple[Transfer, CopyEnd]:
        """Ask until the partial is as the destination wants it; each is journaled before it is made."""
        while True:
            reply = await self.hands.ask(request, CopyEnd, partial(hear, transfer))
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

    async def _discard(self, transfer: Transfer) -> bool:
        """Whether its partial is gone for good; a name that does not let go is left to the sweep."""
        try:
            await self.hands.ask(DiscardPartial(self.place, transfer.partial), Finished)
        except Fault as fault:
            log.warning("partial left to the sweep", error=str(fault), **self.about)
            return False
        return self.hands.are_quiet

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
