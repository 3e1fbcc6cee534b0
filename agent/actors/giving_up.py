"""The end of a transfer that is not carried any further."""

import time

from attrs import define

from agent.actors.errand import Errand, under
from agent.log import get_logger
from agent.protocol import LookUpSource, Presence
from agent.terms import Step, Transfer

log = get_logger(__name__)


@define
class GivingUp(Errand):
    """A file that was given up or cancelled, or whose source has vanished."""

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
        if (await self.hands.ask(LookUpSource(self.route.source, self.file.path), Presence)).exists:
            await self.ledger.finish(transfer.id, "kept", attempts, error, time.time(), where)
        else:
            await self.ledger.finish(transfer.id, "delivered", attempts, None, time.time(), where)
            log.info("delivered", to=where, **self.about)
