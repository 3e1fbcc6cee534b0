"""After a start or an outage: finish what was half-published, and remove what nobody will come back for."""

import time
from collections.abc import Mapping

import trio
from attrs import define, field

from agent.actors.copier_pool.task import destination_path, line_fields
from agent.actors.copier_pool.transfer import HASH_PREFIX, NOT_READ_BACK
from agent.config.sections import DestinationPlan, Route
from agent.journal import orphans, transfers
from agent.journal.client import JournalClient
from agent.journal.database import JournalError
from agent.log import get_logger
from agent.model.errors import Fault, FaultKind
from agent.model.transfer import PublishedTransfer, Transfer, TransferPhase, TransferResult
from agent.protocol.replies import Finished, OrphansFound, PublishedFiles, Reply, SourceExists
from agent.protocol.requests import (
    DestinationRef,
    DiscardPartial,
    FindOrphans,
    LookUpSource,
    PartialToPublish,
    PublishFiles,
    Request,
)
from agent.worker_pool import OnReply, R, WorkerPool, ignore

AGAIN_PROBES = 12  # while copies go on, more may be left behind: every so many probes a look at the journal
log = get_logger(__name__)


@define
class Recovery:
    """One sweep of one destination, and what it did."""

    plan: DestinationPlan
    destination: DestinationRef
    routes: Mapping[str, Route]
    journal: JournalClient
    workers: WorkerPool
    _finished: int = field(default=0, init=False)
    _removed: int = field(default=0, init=False)
    _postponed: int = field(default=0, init=False)
    _tried: set[str] = field(factory=set, init=False)
    _hung: bool = field(default=False, init=False)

    async def complete_published(self) -> None:
        """Look at every transfer the journal remembers here; those whose source stands go the ordinary way.

        No copy may run meanwhile, since a transfer can be dropped here; its partial becomes a leftover.
        """
        try:
            for transfer in await self.journal.write(transfers.running, self.plan.destination):
                try:
                    await self._complete(transfer)
                except Fault as fault:
                    if fault.kind is FaultKind.DESTINATION:
                        raise
                    await self._postpone(transfer, fault)
        except (Fault, JournalError, trio.TooSlowError) as error:
            self._interrupted(error)

    async def collect_orphans(self) -> None:
        """Remove leftovers, beside the copies."""
        await self._remove_orphans()
        await self._scan_for_orphans()
        await self._remove_orphans()
        self._report()

    async def run_periodically(self) -> None:
        """Again from time to time, until one hangs."""
        while not self._hung:
            await trio.sleep(AGAIN_PROBES * self.plan.probe_s)
            self._finished = self._removed = self._postponed = 0
            self._tried.clear()
            await self._remove_orphans()
            if self._tried:
                self._report()

    async def _complete(self, transfer: Transfer) -> None:
        route = self.routes.get(transfer.route)
        if route is not None:
            look_up = LookUpSource(route.source, transfer.path)
            if (await self._ask(look_up, SourceExists)).exists:
                return
        if transfer.phase is TransferPhase.COPYING:
            await self.journal.write(transfers.drop, transfer.id, leaves_orphan=True)
            log.info("orphan dropped", **_about(transfer))
            return
        name = transfer.name or transfer.path
        if transfer.phase is TransferPhase.VERIFIED:
            # All of it has arrived and the source is gone: what we hold may be the only copy.
            request = _publish_request(transfer, self.destination, route)
            [published] = (await self._ask(request, PublishedFiles)).results
            if isinstance(published, Fault):
                raise published
            name = published.name
            fact = PublishedTransfer(transfer.id, name, published.already_present)
            await self.journal.write(transfers.mark_published, [fact])
        where = destination_path(transfer.destination, name)
        result = TransferResult(transfer.id, "delivered", 1, None, time.time(), where)
        await self.journal.write(transfers.finish, [result])
        self._finished += 1
        log.info("delivered", to=where, **_about(transfer))

    async def _postpone(self, transfer: Transfer, fault: Fault) -> None:
        """To the next sweep, unless what had arrived has vanished too: then nothing is left to finish."""
        if fault.kind is FaultKind.CORRUPT:
            result = TransferResult(transfer.id, "failed", 1, fault.detail, time.time(), None)
            await self.journal.write(transfers.finish, [result])
            log.error("failed", error=fault.detail, **_about(transfer))
        else:
            self._postponed += 1
            log.warning("not swept", error=fault.detail, **_about(transfer))

    async def _remove_orphans(self) -> None:
        """Each with a deadline of its own, and once in a round."""
        try:
            for partial in await self.journal.write(orphans.at_destination, self.plan.destination):
                if partial not in self._tried:
                    self._tried.add(partial)
                    await self._remove(partial)
        except JournalError as error:
            self._interrupted(error)

    async def _remove(self, partial: str) -> None:
        try:
            await self._ask(DiscardPartial(self.destination, partial), Finished)
        except (Fault, trio.TooSlowError) as error:
            self._postponed += 1
            self._hung |= isinstance(error, trio.TooSlowError)
            where = destination_path(self.plan.destination, partial)
            log.warning("leftover stays", path=where, error=str(error) or "no answer")
            return
        self._removed += 1
        if self.workers.none_unkillable:  # else one of them may be about to make it once more
            await self.journal.write(orphans.forget, self.plan.destination, partial)

    async def _scan_for_orphans(self) -> None:
        """In the root folder for probes; everywhere if a journal was lost that knew of more."""
        try:
            identity, destination = self.journal.identity, self.plan.destination
            deep = not await self.journal.write(orphans.is_scan_done, identity, destination)
            if deep:
                log.info("searching for what a lost journal knew", destination=destination)
            await self._ask(FindOrphans(self.destination, identity, deep), Finished, self._on_reply)
            if deep:
                await self.journal.write(orphans.mark_scan_done, identity, destination)
        except (Fault, JournalError, trio.TooSlowError) as error:
            self._interrupted(error)

    async def _on_reply(self, reply: Reply) -> None:
        if isinstance(reply, OrphansFound) and reply.paths:
            await self.journal.write(orphans.add, self.plan.destination, reply.paths)

    async def _ask(self, request: Request, expected: type[R], on_reply: OnReply = ignore) -> R:
        stall_timeout_s = self.plan.stall_timeout_s
        return await self.workers.ask(request, expected, stall_timeout_s=stall_timeout_s, on_reply=on_reply)

    def _interrupted(self, error: Exception) -> None:
        log.warning("sweep interrupted", destination=self.plan.destination, error=str(error) or "no answer")

    def _report(self) -> None:
        log.info(
            "swept",
            destination=self.plan.destination,
            finished=self._finished,
            removed=self._removed,
            left=self._postponed,
        )


def _about(transfer: Transfer) -> dict[str, str | int]:
    return line_fields(transfer.route, transfer.path, transfer.destination, transfer.id)


def _publish_request(transfer: Transfer, destination: DestinationRef, route: Route | None) -> PublishFiles:
    file = PartialToPublish(
        partial=transfer.partial,
        name=transfer.name or transfer.path,
        size_bytes=transfer.signature.size_bytes,
        digest=bytes.fromhex((transfer.hash or "").removeprefix(HASH_PREFIX)),
        read_back=transfer.level in NOT_READ_BACK and (route is None or route.verify == "read_back"),
    )
    return PublishFiles(destination, route.conflict if route else "rename", (file,))
