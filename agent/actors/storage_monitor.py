"""The storage monitor of one destination: probes it, and says when an outage begins and ends."""

import time

import trio

from agent.config import DestinationPlan
from agent.faults import Fault, OutageReason
from agent.ledger import Ledger
from agent.log import get_logger
from agent.messages import BroadcasterInbox, DispatcherInbox, StorageState
from agent.protocol import Probed, ProbeDestination
from agent.rules.reach import Reach
from agent.stores.journal import JournalError
from agent.workers import Workers

log = get_logger(__name__)


async def run(
    dispatcher: trio.MemorySendChannel[DispatcherInbox],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    plan: DestinationPlan,
    reach: Reach,
    ledger: Ledger,
    workers: Workers,
) -> None:
    """Probe for ever; the broadcaster hears of a state before the dispatcher acts on it."""
    async with dispatcher, broadcaster:
        before: OutageReason | None = None
        remembered = reach.mount_point
        while True:
            state = await _probe(plan, reach, workers)
            if state.reason is not before:
                _report(state)
                before = state.reason
            if reach.mount_point is not None and reach.mount_point != remembered:
                remembered = await _remember(plan.destination, reach.mount_point, ledger)
            await broadcaster.send(state)
            await dispatcher.send(state)
            await trio.sleep(plan.probe_s)


async def _remember(destination: str, mount_point: str, ledger: Ledger) -> str | None:
    """What is remembered now; None: nothing, so that it is tried again after the next probe."""
    try:
        await ledger.remember_mount(destination, mount_point)
    except JournalError as error:
        log.debug("mount not remembered", destination=destination, error=str(error))
        return None
    return mount_point


async def _probe(plan: DestinationPlan, reach: Reach, workers: Workers) -> StorageState:
    # Between outages a look is enough; after one, only writing proves that it is over.
    request = ProbeDestination(plan.destination, plan.marker, try_writing=not reach.is_usable)
    began_s = trio.current_time()
    try:
        probed = await workers.ask(request, Probed, silence_s=plan.probe_timeout_s)
    except trio.TooSlowError:
        detail = f"no answer within {plan.probe_timeout_s:g} s"
        return reach.failed(OutageReason.HUNG, detail, began_s, time.time())
    except Fault as fault:
        reason = fault.reason or OutageReason.UNREACHABLE
        return reach.failed(reason, str(fault), began_s, time.time())
    return reach.answered(probed, began_s, time.time())


def _report(state: StorageState) -> None:
    if state.reason is None:
        log.info("outage over", destination=state.destination)
    else:
        log.warning("outage", destination=state.destination, reason=state.reason.value, detail=state.detail)
