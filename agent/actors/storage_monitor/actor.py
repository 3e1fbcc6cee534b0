"""The storage monitor of one destination: probes it, and reports when an outage begins and ends."""

import time
import uuid

import trio

from agent.actors.storage_monitor.availability import AvailabilityTracker
from agent.config.sections import DestinationPlan
from agent.journal import routes
from agent.journal.client import JournalClient
from agent.journal.errors import JournalError
from agent.log import get_logger
from agent.messages.channels import DispatcherInbox
from agent.messages.dispatcher import DestinationState
from agent.messages.storage_monitor import ProbeNow
from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.names import probe_path
from agent.model.storage import PublishStrategy
from agent.protocol.replies import Probed
from agent.protocol.requests import ProbeDestination
from agent.worker_pool import StallTimeout, UnkillableWorkers, WorkerPool

log = get_logger(__name__)


async def run(
    inbox: trio.MemoryReceiveChannel[ProbeNow],
    dispatcher: trio.MemorySendChannel[DispatcherInbox],
    plan: DestinationPlan,
    availability: AvailabilityTracker,
    journal: JournalClient,
    workers: WorkerPool,
) -> None:
    """Probe at intervals, and at once when a copy has met an outage, or a fault that may be one."""
    async with inbox, dispatcher:
        before: OutageReason | None = None
        remembered, strategy = availability.mount_point, availability.publish_strategy
        stuck = UnkillableWorkers(plan.destination)
        in_doubt = False
        while True:
            await stuck.wait_until_few()
            state = await _probe(plan, availability, journal.identity, workers, stuck, in_doubt=in_doubt)
            if state is not None:
                in_doubt = False
                before = _report(state, before)
                if availability.mount_point is not None and availability.mount_point != remembered:
                    remembered = await _remember(plan.destination, availability.mount_point, journal)
                if availability.publish_strategy != strategy:
                    strategy = availability.publish_strategy
                    _warn_of_publishing(plan.destination, strategy)
                await dispatcher.send(state)
            with trio.move_on_after(availability.next_probe_s()):
                try:
                    request = await inbox.receive()
                except trio.EndOfChannel:
                    return  # the dispatcher has ended
                in_doubt = True
                if request.fault is not None:
                    state = availability.report_outage(request.fault, trio.current_time(), time.time())
                    before = _report(state, before)


def _warn_of_publishing(destination: str, strategy: PublishStrategy | None) -> None:
    if strategy == "placeholder":
        detail = (
            "this file system has neither hard links nor a rename that does not replace: what another "
            "program writes under the name of a file in the moment of its delivery may be lost, see "
            "docs/limits.md"
        )
        log.warning("names are not protected", destination=destination, detail=detail)


async def _remember(destination: str, mount_point: str, journal: JournalClient) -> str | None:
    """The mount point that is in the journal now; None: none, and it is tried again after the next probe."""
    try:
        await journal.write(routes.remember_mount, destination, mount_point)
    except JournalError as error:
        log.debug("mount not remembered", destination=destination, error=str(error))
        return None
    return mount_point


async def _probe(
    plan: DestinationPlan,
    availability: AvailabilityTracker,
    identity: str,
    workers: WorkerPool,
    stuck: UnkillableWorkers,
    *,
    in_doubt: bool,
) -> DestinationState | None:
    """None: this machine is short of resources, which says nothing about the destination."""
    # While it is usable, reading is enough; after an outage or a fault only writing proves that it is.
    try_writing = try_publishing = None
    if in_doubt or not availability.is_usable:
        try_writing = probe_path(identity, uuid.uuid4().hex)
        try_publishing = probe_path(identity, uuid.uuid4().hex)
    request = ProbeDestination(plan.destination, plan.marker, try_writing, plan.s3, try_publishing)
    began_s = trio.current_time()
    try:
        probed = await workers.ask(request, Probed, stall_timeout_s=plan.probe_timeout_s)
    except StallTimeout as stall:
        stuck.add(stall)
        detail = f"no answer within {plan.probe_timeout_s:g} s"
        return availability.failed(OutageReason.HUNG, detail, began_s, time.time())
    except Fault as fault:
        if fault.kind is FaultKind.SHORTAGE:
            return None
        reason = fault.reason or OutageReason.UNREACHABLE
        return availability.failed(reason, str(fault), began_s, time.time())
    return availability.answered(probed, began_s, time.time())


def _report(state: DestinationState, before: OutageReason | None) -> OutageReason | None:
    """Log a change; the reason as of now."""
    if state.reason is before:
        return before
    if state.reason is None:
        log.info("outage over", destination=state.destination)
    else:
        log.warning("outage", destination=state.destination, reason=state.reason.value, detail=state.detail)
    return state.reason
