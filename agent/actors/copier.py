"""The copier pool of one destination: a task, a cancel scope and a worker process for each running copy."""

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar, assert_never

import trio
from attrs import define, field

from agent.actors.delivery import Carrying
from agent.actors.errand import Errand
from agent.actors.following import Following
from agent.actors.giving_up import GivingUp
from agent.actors.hands import Hands
from agent.actors.lot import Lot
from agent.actors.outcomes import Outcome, faulted
from agent.actors.sweeping import Sweeper
from agent.config import DestinationPlan, Route
from agent.faults import Fault, FaultKind
from agent.ledger import Ledger
from agent.log import get_logger
from agent.messages import (
    Abandon,
    Abandoned,
    Advanced,
    BroadcasterInbox,
    CaughtUp,
    Copy,
    CopyLot,
    Counted,
    DispatcherInbox,
    Done,
    Follow,
    Halt,
    Interrupted,
    LaneMessage,
    Moved,
    Progress,
    Several,
    Sweep,
    Swept,
)
from agent.protocol import Place
from agent.stores.journal import JournalError
from agent.workers import Workers

log = get_logger(__name__)

E = TypeVar("E", bound=Errand)


@define(eq=False)
class Pool:
    """The running tasks of one destination by file id, and what they need.

    `proven`: how many blocks of a followed partial were verified since the destination last came back.
    """

    plan: DestinationPlan
    routes: Mapping[str, Route]
    ledger: Ledger
    workers: Workers
    dispatcher: trio.MemorySendChannel[DispatcherInbox]
    broadcaster: trio.MemorySendChannel[BroadcasterInbox]
    scopes: dict[str, trio.CancelScope] = field(factory=dict, init=False)
    sweeping: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    swept: trio.Event = field(factory=trio.Event, init=False)
    proven: dict[str, int] = field(factory=dict, init=False)

    async def carry(self, order: Copy | Follow | Abandon, scope: trio.CancelScope) -> None:
        """One task of the pool: carry out the order and report exactly one outcome."""
        errand, work = self._task(order)
        outcome: Outcome | None = None
        with scope:
            await self.swept.wait()
            outcome = await _outcome(errand, work, is_copy=isinstance(order, Copy))
        del self.scopes[order.file.id]
        await self.dispatcher.send(
            outcome or Interrupted(order.file, None, errand.verified_bytes, time.time())
        )

    async def carry_lot(self, order: CopyLot, scope: trio.CancelScope) -> None:
        """As `carry`, for files that have one place together."""
        route, place = self.routes[order.files[0].route], self._place(order.device)
        lot = Lot(order.files, route, place, self.ledger, self._hands, self._tell)
        with scope:
            await self.swept.wait()
            await lot.deliver()
        for file in order.files:
            del self.scopes[file.id]
        await self.dispatcher.send(Several(lot.outcomes()))

    async def sweep(self, device: int, scope: trio.CancelScope, done: trio.Event) -> None:
        """Copies wait only for its first half."""
        sweeper = Sweeper(self.plan, self._place(device), self.routes, self.ledger, self.workers)
        with scope:
            try:
                await sweeper.finish()
            finally:
                done.set()
            await sweeper.clear_away()
            await self.broadcaster.send(Swept(self.plan.destination))
            await sweeper.keep_clear()

    def _task(self, order: Copy | Follow | Abandon) -> tuple[Errand, Callable[[], Awaitable[Outcome]]]:
        match order:
            case Copy():
                carrying = self._errand(Carrying, order)
                return carrying, partial(_deliver, carrying, order.attempt)
            case Follow():
                following = self._errand(Following, order)
                return following, partial(_follow, following)
            case Abandon():
                giving_up = self._errand(GivingUp, order)
                return giving_up, partial(_abandon, giving_up, order)
            case _ as never:
                assert_never(never)

    def _errand(self, kind: type[E], order: Copy | Follow | Abandon) -> E:
        return kind(
            file=order.file,
            route=self.routes[order.file.route],
            place=self._place(order.device),
            ledger=self.ledger,
            hands=self._hands,
            tell=self._tell,
            proven=self.proven,
        )

    @property
    def _hands(self) -> Hands:
        return Hands(self.workers, self.plan.stall_timeout_s)

    def _place(self, device: int) -> Place:
        return Place(self.plan.destination, device, self.plan.s3)

    async def _tell(self, fact: Moved | Progress | Counted) -> None:
        if not isinstance(fact, Progress):
            await self.broadcaster.send(fact)
            return
        for channel, figures in (
            (self.broadcaster, fact),
            (self.dispatcher, Advanced(fact.file_id, fact.copied_bytes)),
        ):
            try:
                channel.send_nowait(figures)  # type: ignore[arg-type]
            except trio.WouldBlock:
                await trio.lowlevel.checkpoint()


async def run(lane: trio.MemoryReceiveChannel[LaneMessage], pool: Pool) -> None:
    """Start, halt and sweep as the dispatcher orders; its tasks report to it themselves."""
    async with lane, pool.dispatcher, pool.broadcaster, trio.open_nursery() as nursery:
        async for message in lane:
            match message:
                case Copy() | Follow() | Abandon():
                    scope = pool.scopes[message.file.id] = trio.CancelScope()
                    nursery.start_soon(pool.carry, message, scope)
                case CopyLot(files):
                    scope = trio.CancelScope()
                    pool.scopes.update((file.id, scope) for file in files)
                    nursery.start_soon(pool.carry_lot, message, scope)
                case Halt(file_ids):
                    for file_id in tuple(pool.scopes) if file_ids is None else file_ids:
                        if file_id in pool.scopes:
                            pool.scopes[file_id].cancel()
                case Sweep(device):
                    pool.proven.clear()
                    pool.sweeping.cancel()  # one that an outage held up must not go on beside this one
                    pool.sweeping, pool.swept = trio.CancelScope(), trio.Event()
                    nursery.start_soon(pool.sweep, device, pool.sweeping, pool.swept)
                case _ as never:
                    assert_never(never)
        pool.sweeping.cancel()


async def _outcome(errand: Errand, work: Callable[[], Awaitable[Outcome]], *, is_copy: bool) -> Outcome:
    try:
        return await work()
    except JournalError as error:
        fault = Fault(FaultKind.JOURNAL, str(error))
    except Fault as caught:
        fault = caught
    # Trouble with the journal meets every file on every attempt: the ledger has said it once for all.
    say = log.debug if fault.kind is FaultKind.JOURNAL else log.warning
    event = "attempt failed" if is_copy else "not followed any further"
    outcome = faulted(errand.file, fault, errand.verified_bytes)
    say("interrupted" if isinstance(outcome, Interrupted) else event, error=str(fault), **errand.about)
    return outcome


async def _deliver(errand: Carrying, attempt: int) -> Done:
    delivery = await errand.deliver(attempt)
    event = "kept" if delivery.kept else "delivered"
    log.info(event, to=delivery.destination_path, verified=delivery.level, **errand.about)
    return Done(errand.file, delivery, time.time())


async def _follow(errand: Following) -> CaughtUp:
    await errand.follow()
    return CaughtUp(errand.file, time.time())


async def _abandon(errand: GivingUp, order: Abandon) -> Abandoned:
    await errand.give_up(order.attempts, order.error)
    if order.error is not None:
        log.error("failed", error=order.error, attempts=order.attempts, **errand.about)
    return Abandoned(order.file, time.time())
