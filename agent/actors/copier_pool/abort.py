"""The end of a transfer that is not carried any further."""

import time

from attrs import define

from agent.actors.copier_pool.task import TransferTask, destination_path
from agent.journal import transfers
from agent.log import get_logger
from agent.model.transfer import Transfer, TransferPhase, TransferResult
from agent.protocol.replies import SourceExists
from agent.protocol.requests import LookUpSource

log = get_logger(__name__)


@define
class AbortTask(TransferTask):
    """A file that was given up or cancelled, or whose source has vanished."""

    async def abort(self, attempts: int, error: str | None) -> None:
        """Remove the partial and close the journal's entry; `error` None: forget the transfer altogether."""
        transfer = await self._find()
        source, destination = self.route.source, self.route.destination
        if transfer is None and error is not None:
            self._transfer_id = await self.journal.write(
                transfers.record_failure, self.file, source, destination, attempts, error, time.time()
            )
            log.error("failed", error=error, attempts=attempts, **self.log_context)
        elif transfer is not None and transfer.phase is TransferPhase.PUBLISHED:
            await self._finish_published(transfer, attempts, error)
        elif transfer is not None and transfer.phase is TransferPhase.VERIFIED and error is None:
            return  # the source may be gone and this the only whole copy: the next sweep decides
        elif transfer is not None:
            left = not await self._discard(transfer)
            if error is None:
                await self.journal.write(transfers.drop, transfer.id, left)
            else:
                await self._finish(
                    TransferResult(transfer.id, "failed", attempts, error, time.time(), None, left)
                )
                log.error("failed", error=error, attempts=attempts, **self.log_context)

    async def _find(self) -> Transfer | None:
        found = await self.journal.write(transfers.find, self.file.route, [self.file.path])
        transfer = found.get(self.file.path)
        self._transfer_id = None if transfer is None else transfer.id
        return transfer

    async def _finish(self, result: TransferResult) -> None:
        await self.journal.write(transfers.finish, [result])

    async def _finish_published(self, transfer: Transfer, attempts: int, error: str | None) -> None:
        """It has arrived; the last try to let go of its source may have done so and not come to say it."""
        where = destination_path(transfer.destination, transfer.name or "")
        if (await self.worker.ask(LookUpSource(self.route.source, self.file.path), SourceExists)).exists:
            await self._finish(TransferResult(transfer.id, "kept", attempts, error, time.time(), where))
            say = log.info if error is None else log.error
            say("kept", to=where, error=error, attempts=attempts, **self.log_context)
        else:
            await self._finish(TransferResult(transfer.id, "delivered", attempts, None, time.time(), where))
            log.info("delivered", to=where, **self.log_context)
