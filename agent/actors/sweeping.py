"""After a start or an outage: finish what was half-published, and remove what nobody will come back for."""

import time
from collections.abc import Mapping

import trio
from attrs import define, field

from agent.actors.delivery import HASH_PREFIX, NOT_READ_BACK
from agent.actors.errand import under
from agent.config import DestinationPlan, Route
from agent.faults import Fault, FaultKind
from agent.ledger import Ledger
from agent.log import get_logger
from agent.protocol import (
    DiscardPartial,
    FindStrays,
    Finished,
    LookUpSource,
    Place,
    Presence,
    Published,
    PublishFile,
    Reply,
    Request,
    Strays,
)
from agent.stores.journal import JournalError
from agent.terms import Step, Transfer
from agent.workers import OnReply, R, Workers, ignore

AGAIN_PROBES = 12  # while copies go on, more may be left behind: every so many probes a look at the journal
log = get_logger(__name__)


@define
class Sweeper:
    """One sweep of one destination, and what it did."""

    plan: DestinationPlan
    place: Place
    routes: Mapping[str, Route]
    ledger: Ledger
    workers: Workers
    _finished: int = field(default=0, init=False)
    _removed: int = field(default=0, init=False)
    _left: int = field(default=0, init=False)
    _asked: set[str] = field(factory=set, init=False)
    _hung: bool = field(default=False, init=False)

    async def finish(self) -> None:
        """Look at every transfer the journal remembers here; those whose source stands go the ordinary way.

        No copy may run meanwhile, since a transfer can be dropped here; its partial becomes a leftover.
        """
        try:
            for transfer in await self.ledger.running(self.plan.destination):
                try:
                    await self._settle(transfer)
                except Fault as fault:
                    if fault.kind is FaultKind.DESTINATION:
                        raise
                    await self._leave(transfer, fault)
        except (Fault, JournalError, trio.TooSlowError) as error:
            self._interrupted(error)

    async def clear_away(self) -> None:
        """Remove leftovers, beside the copies."""
        await self._remove_leftovers()
        await self._search()
        await self._remove_leftovers()
        self._report()

    async def keep_clear(self) -> None:
        """Again from time to time, until one hangs."""
        while not self._hung:
            await trio.sleep(AGAIN_PROBES * self.plan.probe_s)
            self._finished = self._removed = self._left = 0
            self._asked.clear()
            await self._remove_leftovers()
            if self._asked:
                self._report()

    async def _settle(self, transfer: Transfer) -> None:
        route = self.routes.get(transfer.route)
        if route is not None:
            look_up = LookUpSource(route.source, transfer.path)
            if (await self._ask(look_up, Presence)).exists:
                return
        if transfer.step is Step.COPYING:
            await self.ledger.drop(transfer.id, leftover=True)
            log.info("orphan dropped", route=transfer.route, file=transfer.path)
            return
        name = transfer.name or transfer.path
        if transfer.step is Step.INTENT:
            # All of it has arrived and the source is gone: what we hold may be the only copy.
            published = await self._ask(_publication(transfer, self.place, route), Published)
            name = published.name
            await self.ledger.published(transfer.id, name, published.already_there)
        where = under(transfer.destination, name)
        await self.ledger.finish(transfer.id, "delivered", 1, None, time.time(), where)
        self._finished += 1
        log.info("delivered", route=transfer.route, file=transfer.path, to=where)

    async def _leave(self, transfer: Transfer, fault: Fault) -> None:
        """To the next sweep, unless what had arrived has vanished too: then nothing is left to finish."""
        if fault.kind is FaultKind.CORRUPT:
            await self.ledger.finish(transfer.id, "failed", 1, fault.detail, time.time(), None)
            log.error("failed", route=transfer.route, file=transfer.path, error=fault.detail)
        else:
            self._left += 1
            log.warning("not swept", route=transfer.route, file=transfer.path, error=fault.detail)

    async def _remove_leftovers(self) -> None:
        """Each with a deadline of its own, and once in a round."""
        try:
            for partial in await self.ledger.leftovers(self.plan.destination):
                if partial not in self._asked:
                    self._asked.add(partial)
                    await self._remove(partial)
        except JournalError as error:
            self._interrupted(error)

    async def _remove(self, partial: str) -> None:
        try:
            await self._ask(DiscardPartial(self.place, partial), Finished)
        except (Fault, trio.TooSlowError) as error:
            self._left += 1
            self._hung |= isinstance(error, trio.TooSlowError)
            where = under(self.plan.destination, partial)
            log.warning("leftover stays", path=where, error=str(error) or "no answer")
            return
        self._removed += 1
        if self.workers.are_quiet:  # else one of them may be about to make it once more
            await self.ledger.forget_leftover(self.plan.destination, partial)

    async def _search(self) -> None:
        """In the root folder for probes; everywhere if a journal was lost that knew of more."""
        try:
            deep = not await self.ledger.is_searched(self.plan.destination)
            if deep:
                log.info("searching for what a lost journal knew", destination=self.plan.destination)
            await self._ask(FindStrays(self.place, self.ledger.identity, deep), Finished, self._hear)
            if deep:
                await self.ledger.note_search(self.plan.destination)
        except (Fault, JournalError, trio.TooSlowError) as error:
            self._interrupted(error)

    async def _hear(self, reply: Reply) -> None:
        if isinstance(reply, Strays) and reply.paths:
            await self.ledger.leave(self.plan.destination, reply.paths)

    async def _ask(self, request: Request, expected: type[R], on_reply: OnReply = ignore) -> R:
        silence_s = self.plan.stall_timeout_s
        return await self.workers.ask(request, expected, silence_s=silence_s, on_reply=on_reply)

    def _interrupted(self, error: Exception) -> None:
        log.warning("sweep interrupted", destination=self.plan.destination, error=str(error) or "no answer")

    def _report(self) -> None:
        log.info(
            "swept",
            destination=self.plan.destination,
            finished=self._finished,
            removed=self._removed,
            left=self._left,
        )


def _publication(transfer: Transfer, place: Place, route: Route | None) -> PublishFile:
    return PublishFile(
        place=place,
        partial=transfer.partial,
        name=transfer.name or transfer.path,
        conflict=route.conflict if route else "rename",
        size_bytes=transfer.signature.size_bytes,
        digest=bytes.fromhex((transfer.hash or "").removeprefix(HASH_PREFIX)),
        read_back=transfer.level in NOT_READ_BACK and (route is None or route.verify == "read_back"),
    )
