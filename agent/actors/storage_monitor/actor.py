"""The storage monitor of one destination: probes it, and says when an outage begins and ends."""

import time
import uuid

import trio

from agent.actors.storage_monitor.availability import AvailabilityTracker
from agent.config.sections import DestinationPlan
from agent.journal import routes
from agent.journal.client import JournalClient
from agent.journal.database import JournalError
from agent.log import get_logger
from agent.messages.channels import DispatcherInbox
from agent.messages.dispatcher import DestinationState
from agent.messages.storage_monitor import ProbeNow
from agent.model.errors import Fault, OutageReason
from agent.model.names import probe_path
from agent.protocol.replies import Probed
from agent.protocol.requests import ProbeDestination
from agent.worker_pool import StallTimeout, UnkillableWorkers, WorkerPool

log = get_logger(__name__)


async def run(
    doubts: trio.MemoryReceiveChannel[ProbeNow],
    dispatcher: trio.MemorySendChannel[DispatcherInbox],
    plan: DestinationPlan,
    reach: AvailabilityTracker,
    journal: JournalClient,
    workers: WorkerPool,
) -> None:
    """Probe for ever, and at once when a copy has met an outage."""
    async with doubts, dispatcher:
        before: OutageReason | None = None
        remembered = reach.mount_point
        stuck = UnkillableWorkers()
        while True:
            await stuck.wait_until_few()
            state = await _probe(plan, reach, journal.identity, workers, stuck)
            before = _report(state, before)
            if reach.mount_point is not None and reach.mount_point != remembered:
                remembered = await _remember(plan.destination, reach.mount_point, journal)
            await dispatcher.send(state)
            with trio.move_on_after(reach.next_probe_s()):
                try:
                    doubt = await doubts.receive()
                except trio.EndOfChannel:
                    return  # the dispatcher has fallen, and says itself why
                before = _report(reach.report_outage(doubt.fault, trio.current_time(), time.time()), before)


async def _remember(destination: str, mount_point: str, journal: JournalClient) -> str | None:
    """What is remembered now; None: nothing, so that it is tried again after the next probe."""
    try:
        await journal.write(routes.remember_mount, destination, mount_point)
    except JournalError as error:
        log.debug("mount not remembered", destination=destination, error=str(error))
        return None
    return mount_point


async def _probe(
    plan: DestinationPlan,
    reach: AvailabilityTracker,
    identity: str,
    workers: WorkerPool,
    stuck: UnkillableWorkers,
) -> DestinationState:
    # Between outages a look is enough; after one, only writing proves that it is over.
    try_writing = None if reach.is_usable else probe_path(identity, uuid.uuid4().hex)
    request = ProbeDestination(plan.destination, plan.marker, try_writing, plan.s3)
    began_s = trio.current_time()
    try:
        probed = await workers.ask(request, Probed, stall_timeout_s=plan.probe_timeout_s)
    except StallTimeout as silence:
        stuck.add(silence)
        detail = f"no answer within {plan.probe_timeout_s:g} s"
        return reach.failed(OutageReason.HUNG, detail, began_s, time.time())
    except Fault as fault:
        reason = fault.reason or OutageReason.UNREACHABLE
        return reach.failed(reason, str(fault), began_s, time.time())
    return reach.answered(probed, began_s, time.time())


def _report(state: DestinationState, before: OutageReason | None) -> OutageReason | None:
    """Log a change; the reason as of now."""
    if state.reason is before:
        return before
    if state.reason is None:
        log.info("outage over", destination=state.destination)
    else:
        log.warning("outage", destination=state.destination, reason=state.reason.value, detail=state.detail)
    return state.reason
