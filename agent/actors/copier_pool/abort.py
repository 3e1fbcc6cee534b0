"""The end of a transfer that is not copied any further."""

import time

from attrs import define, field

from agent.actors.copier_pool.task import Task
from agent.journal import transfers
from agent.log import get_logger
from agent.messages.dispatcher import Aborted
from agent.model.transfer import Transfer, TransferPhase, TransferResult

log = get_logger(__name__)


@define
class AbortTask(Task):
    """A file that failed or was cancelled, or whose source has vanished (`error` None: forget it)."""

    failed_event = "not aborted"
    attempts: int = field(kw_only=True)
    error: str | None = field(kw_only=True)

    async def _run(self) -> None:
        """Remove the partial and end the transfer in the journal."""
        await self._abort()
        self._outcomes[self.file.id] = Aborted(self.file, time.time())

    async def _abort(self) -> None:
        file, error = self.file, self.error
        transfer = (await self.journal.read_latest(transfers.find, file.route, [file.path])).get(file.path)
        if transfer is None and error is not None:
            source, destination = self.route.source, self.route.destination
            self._transfer_ids[file.path] = await self.journal.write(
                transfers.record_failure, file, source, destination, self.attempts, error, time.time()
            )
            log.error("failed", error=error, attempts=self.attempts, **self._log_fields())
        elif transfer is not None:
            self._transfer_ids[file.path] = transfer.id
            await self._end(transfer)

    async def _end(self, transfer: Transfer) -> None:
        if transfer.phase is TransferPhase.PUBLISHED:
            ended = await self._finish_published(transfer, self.error, attempts=self.attempts)
            write = log.info if ended.error is None else log.error
            details = {} if ended.result == "delivered" else {"error": ended.error, "attempts": self.attempts}
            write(ended.result, to=ended.destination_path, **details, **self._log_fields())
            return
        if transfer.phase is TransferPhase.VERIFIED and self.error is None:
            return  # the source may be gone and this the only whole copy: the next recovery decides
        leaves_orphan = not await self._discard(transfer)
        if self.error is None:
            await self.journal.write(transfers.drop, transfer.id, leaves_orphan=leaves_orphan)
            return
        result = TransferResult(
            transfer.id, "failed", self.attempts, self.error, time.time(), None, leaves_orphan
        )
        await self.journal.write(transfers.finish, [result])
        log.error("failed", error=self.error, attempts=self.attempts, **self._log_fields())
