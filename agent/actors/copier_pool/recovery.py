"""After a start or an outage: finish what was half-published, and remove the orphans that are left."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence

import trio
from attrs import define, evolve, field

from agent.actors.copier_pool.decisions import (
    LOST_PARTIAL,
    as_published,
    confirm_request,
    destination_path,
    finish_removal_request,
    log_fields,
    look_up_request,
    publish_request,
    published_record,
    result_of,
)
from agent.config.sections import DestinationPlan, Route
from agent.journal import orphans, transfers
from agent.journal.client import JournalClient
from agent.journal.errors import JournalError
from agent.log import get_logger
from agent.model.errors import Fault, FaultKind
from agent.model.names import path_at, split_path
from agent.model.transfer import Transfer, TransferPhase, TransferResult
from agent.protocol.replies import (
    Discarded,
    Finished,
    OrphansFound,
    PublishedFiles,
    RemovedSources,
    Reply,
    SourceExists,
    VerifyResult,
)
from agent.protocol.requests import DestinationRef, DiscardPartial, FindOrphans, Request
from agent.worker_pool import OnReply, R, WorkerPool, ignore

AGAIN_PROBES = 12  # copies can leave more orphans: the journal is asked for them again after so many probes
ROUTES_AT_ONCE = 8
SEARCH_REST_FACTOR = 100  # a search for moved partials rests for so many times what the last one took
log = get_logger(__name__)


@define
class CopyGate:
    """Lets the copies of a route through while none of its transfers is being completed."""

    _known: trio.Event = field(factory=trio.Event, init=False)  # which routes have transfers to complete
    _closed: dict[str, trio.Event] = field(factory=dict, init=False)

    async def wait(self, route: str) -> None:
        await self._known.wait()
        while route in self._closed:
            await self._closed[route].wait()

    def close_only(self, routes: Collection[str]) -> None:
        self._closed.update((route, trio.Event()) for route in routes)
        self._known.set()

    def open(self, route: str) -> None:
        if route in self._closed:
            self._closed.pop(route).set()

    def open_all(self) -> None:
        self._known.set()
        for route in tuple(self._closed):
            self.open(route)


@define
class Recovery:
    """One recovery of one destination, and how much it did.

    `mounts`: where each source was mounted when it was last accepted. `gate`: holds up the copies of a route
    meanwhile. `is_idle`: whether no copy of a route runs.
    """

    plan: DestinationPlan
    destination: DestinationRef
    routes: Mapping[str, Route]
    journal: JournalClient
    workers: WorkerPool
    mounts: Mapping[str, str] = field(factory=dict)
    gate: CopyGate = field(factory=CopyGate)
    is_idle: Callable[[str], bool] = lambda _: True
    _left: set[str] = field(factory=set, init=False)  # routes with transfers that are not completed
    _finished: int = field(default=0, init=False)
    _removed: int = field(default=0, init=False)
    _postponed: int = field(default=0, init=False)
    _tried: set[str] = field(factory=set, init=False)
    _missing: set[str] = field(factory=set, init=False)  # orphans that are not under their names
    _search_not_before_s: float = field(default=-math.inf, init=False)
    _hung: bool = field(default=False, init=False)

    async def complete_published(self) -> None:
        """Finish transfers to this destination whose source is gone; the others go the ordinary way.

        No copy of the same route may run meanwhile: a transfer can be dropped here, and its partial becomes
        an orphan. Each route has a task of its own, because its source may not answer.
        """
        try:
            await self._complete_routes(await self._running_by_route())
        except JournalError as error:
            self._interrupted(error)
        finally:
            self.gate.open_all()

    async def _running_by_route(self) -> dict[str, list[Transfer]]:
        by_route = defaultdict[str, list[Transfer]](list)
        for transfer in await self.journal.read_latest(transfers.running, self.plan.destination):
            by_route[transfer.route].append(transfer)
        return by_route

    async def _complete_routes(self, running: Mapping[str, Sequence[Transfer]]) -> None:
        self.gate.close_only(running)
        limit = trio.CapacityLimiter(ROUTES_AT_ONCE)  # each uses a worker process
        async with trio.open_nursery() as nursery:
            for route, its_transfers in running.items():
                nursery.start_soon(self._complete_route, route, its_transfers, limit)

    async def _complete_route(
        self, route: str, its_transfers: Sequence[Transfer], limit: trio.CapacityLimiter
    ) -> None:
        async with limit:
            try:
                for transfer in its_transfers:
                    try:
                        await self._complete(transfer)
                    except Fault as fault:
                        if fault.kind in (FaultKind.DESTINATION, FaultKind.SOURCE_OUTAGE):
                            raise
                        await self._postpone(transfer, fault)
            except (Fault, JournalError, trio.TooSlowError) as error:
                self._left.add(route)
                self._interrupted(error, route)
        self.gate.open(route)

    async def _complete_left(self) -> None:
        """Again, for sources that did not answer; routes with running copies wait for another time."""
        routes = {route for route in self._left if self.is_idle(route)}
        if not routes:
            return
        self._left -= routes
        self.gate.close_only(routes)
        try:
            running = await self._running_by_route()
            await self._complete_routes({route: running[route] for route in routes if route in running})
        except JournalError as error:
            self._left |= routes
            self._interrupted(error)
        finally:
            self.gate.open_all()

    async def collect_orphans(self) -> None:
        """Remove orphans while copies run."""
        await self._remove_orphans()
        await self._scan_for_orphans()
        await self._remove_orphans()
        self._report()

    async def run_periodically(self) -> None:
        """From time to time complete what was left, and remove orphans until a removal hangs."""
        while True:
            await trio.sleep(AGAIN_PROBES * self.plan.probe_s)
            self._finished = self._removed = self._postponed = 0
            self._tried.clear()
            self._missing.clear()
            await self._complete_left()
            if not self._hung:
                await self._remove_orphans()
            if self._may_search():
                await self._scan_for_orphans()
                await self._remove_orphans()
            if self._tried or self._finished:
                self._report()

    async def _complete(self, transfer: Transfer) -> None:
        route = self.routes.get(transfer.route)
        if route is not None:
            look_up = look_up_request(self.journal.identity, route, transfer, self.mounts.get(route.source))
            found = await self._ask(look_up, SourceExists)
            if found.exists and not found.is_renamed:
                return
            if transfer.phase is TransferPhase.PUBLISHED:
                is_delivered = not found.is_renamed or await self._is_delivered(transfer)
                await self._finish_removal(transfer, route, is_delivered=is_delivered)
                return
        if transfer.phase is TransferPhase.COPYING:
            await self.journal.write(transfers.drop, transfer.id, leaves_orphan=True)
            log.info("transfer discarded, its source is gone", **_fields(transfer))
            return
        if transfer.phase is TransferPhase.VERIFIED:
            transfer = await self._publish_wherever(transfer, route)
        where = destination_path(transfer)
        await self._finish(TransferResult(transfer.id, "delivered", 1, None, time.time(), where))
        self._finished += 1
        log.info("delivered", to=where, **_fields(transfer))

    async def _is_delivered(self, transfer: Transfer) -> bool:
        """Whether the destination still has what was published there; its source may not be gone yet."""
        verdict = await self._ask(confirm_request(self.destination, transfer), VerifyResult)
        if verdict.verdict != "verified":
            log.warning("no longer delivered", to=destination_path(transfer), **_fields(transfer))
        return verdict.verdict == "verified"

    async def _finish_removal(self, transfer: Transfer, route: Route, *, is_delivered: bool) -> None:
        """The source has lost its name to a removal that was cut off, or is gone, perhaps not durably.

        If it is not delivered any more it gets its name back, and the next copy begins again.
        """
        identity = self.journal.identity
        request = finish_removal_request(identity, route, transfer, is_delivered=is_delivered)
        [removed] = (await self._ask(request, RemovedSources)).results
        if isinstance(removed, Fault):
            raise removed
        if not is_delivered:
            return
        await self._finish(result_of(transfer, route, removed.kept_because, 1, time.time()))
        self._finished += 1
        put_back = {} if removed.put_back_as is None else {"put_back_as": removed.put_back_as}
        event = "delivered" if removed.kept_because is None else "kept"
        log.info(event, to=destination_path(transfer), **put_back, **_fields(transfer))

    async def _publish_wherever(self, transfer: Transfer, route: Route | None) -> Transfer:
        """The content has arrived and its source is gone: the partial may be the only copy.

        If its folder was renamed meanwhile, the file is published there.
        """
        try:
            return await self._publish(transfer, route)
        except Fault as fault:
            found = await self._find_moved(transfer) if fault.kind is FaultKind.PARTIAL_GONE else None
            if found is None:
                raise
        name = split_path(found)[0] + split_path(transfer.name or transfer.path)[1]
        await self.journal.write(transfers.move, transfer.id, found, name)
        log.warning("partial was moved", path=path_at(self.plan.destination, found), **_fields(transfer))
        return await self._publish(evolve(transfer, partial=found, name=name), route)

    async def _find_moved(self, transfer: Transfer) -> str | None:
        """Where this partial is now, under its old name in another folder."""
        name, found = split_path(transfer.partial)[1], list[str]()

        async def on_reply(reply: Reply) -> None:
            await trio.lowlevel.checkpoint()
            if isinstance(reply, OrphansFound):
                found.extend(path for path in reply.paths if split_path(path)[1] == name)

        request = FindOrphans(self.destination, self.journal.identity, deep=True)
        await self._ask(request, Finished, on_reply)
        return found[0] if found else None

    async def _publish(self, transfer: Transfer, route: Route | None) -> Transfer:
        request = publish_request(self.destination, route, [transfer])
        [result] = (await self._ask(request, PublishedFiles)).results
        if isinstance(result, Fault):
            raise result
        published = as_published(transfer, result)
        await self.journal.write(transfers.mark_published, [published_record(published)])
        return published

    async def _postpone(self, transfer: Transfer, fault: Fault) -> None:
        """Until the next recovery, unless the partial has vanished too: then nothing is left to finish."""
        if fault.kind in (FaultKind.CORRUPT, *LOST_PARTIAL):
            await self._finish(TransferResult(transfer.id, "failed", 1, fault.detail, time.time(), None))
            log.error("failed", error=fault.detail, **_fields(transfer))
        else:
            self._postponed += 1
            log.warning("recovery postponed", error=fault.detail, **_fields(transfer))

    async def _finish(self, result: TransferResult) -> None:
        await self.journal.write(transfers.finish, [result])

    async def _remove_orphans(self) -> None:
        """Each with a deadline of its own, and once in a round."""
        try:
            for partial in await self.journal.read_latest(orphans.at_destination, self.plan.destination):
                if partial not in self._tried:
                    self._tried.add(partial)
                    await self._remove(partial)
        except JournalError as error:
            self._interrupted(error)

    async def _remove(self, partial: str) -> None:
        try:
            reply = await self._ask(DiscardPartial(self.destination, partial), Discarded)
        except (Fault, trio.TooSlowError) as error:
            self._postponed += 1
            self._hung |= isinstance(error, trio.TooSlowError)
            where = path_at(self.plan.destination, partial)
            log.warning("orphan stays", path=where, error=str(error) or "no answer")
            return
        if not reply.is_gone:  # it was moved, or never made
            self._missing.add(partial)
            return
        self._removed += 1
        if self.workers.none_unkillable:  # else one of them may create it once more
            await self.journal.write(orphans.forget, self.plan.destination, partial)

    async def _scan_for_orphans(self) -> None:
        """Look for probes in the root; in every folder if a journal was lost, or orphans were moved."""
        identity, destination = self.journal.identity, self.plan.destination
        try:
            is_lost = not await self.journal.read_latest(orphans.is_scan_done, identity, destination)
            deep, began_s = is_lost or self._may_search(), trio.current_time()
            if is_lost:
                log.info("scanning for the orphans of a lost journal", destination=destination)
            elif deep:
                number = len(self._missing)
                log.info("scanning for orphans not under their names", destination=destination, number=number)
            request = FindOrphans(self.destination, identity, deep)
            await self._ask(request, Finished, self._on_reply)
            if deep:
                took_s = trio.current_time() - began_s
                self._search_not_before_s = began_s + SEARCH_REST_FACTOR * took_s
                await self._forget_missing()
            if is_lost:
                await self.journal.write(orphans.mark_scan_done, identity, destination)
        except (Fault, JournalError, trio.TooSlowError) as error:
            self._interrupted(error)

    def _may_search(self) -> bool:
        """Whether orphans were moved; searches of a large destination are far between."""
        return bool(self._missing) and trio.current_time() >= self._search_not_before_s

    async def _forget_missing(self) -> None:
        """Wherever they were, they have been found by now, and are journaled as what they are there."""
        while self._missing and self.workers.none_unkillable:
            await self.journal.write(orphans.forget, self.plan.destination, self._missing.pop())

    async def _on_reply(self, reply: Reply) -> None:
        if isinstance(reply, OrphansFound) and reply.paths:
            await self.journal.write(orphans.add, self.plan.destination, reply.paths)

    async def _ask(self, request: Request, expected: type[R], on_reply: OnReply = ignore) -> R:
        stall_timeout_s = self.plan.stall_timeout_s
        return await self.workers.ask(request, expected, stall_timeout_s=stall_timeout_s, on_reply=on_reply)

    def _interrupted(self, error: Exception, route: str | None = None) -> None:
        where = {"destination": self.plan.destination, **({} if route is None else {"route": route})}
        log.warning("recovery interrupted", **where, error=str(error) or "no answer")

    def _report(self) -> None:
        log.info(
            "recovered",
            destination=self.plan.destination,
            finished=self._finished,
            removed=self._removed,
            left=self._postponed,
        )


def _fields(transfer: Transfer) -> dict[str, str | int]:
    return log_fields(transfer.route, transfer.path, transfer.destination, transfer.id)
