"""After a start or an outage: finish what was half-published, and remove what nobody will come back for."""

import time
from collections.abc import Mapping

import trio

from agent.actors.delivery import HASH_PREFIX, under
from agent.config import DestinationPlan, Route
from agent.faults import Fault, FaultKind
from agent.ledger import Ledger
from agent.log import get_logger
from agent.protocol import DiscardPartial, Finished, LookUpSource, Place, Presence, Published, PublishFile
from agent.stores.journal import JournalError
from agent.terms import Step, Transfer
from agent.workers import Workers

log = get_logger(__name__)


async def sweep(
    plan: DestinationPlan, place: Place, routes: Mapping[str, Route], ledger: Ledger, workers: Workers
) -> None:
    """Look at every transfer the journal remembers here; those whose source stands go the ordinary way."""
    try:
        for transfer in await ledger.running(plan.destination):
            route = routes.get(transfer.route)
            try:
                await _settle(transfer, place, route, plan.stall_timeout_s, ledger, workers)
            except Fault as fault:
                if fault.kind is FaultKind.DESTINATION:
                    raise
                await _leave(transfer, fault, ledger)
    except (Fault, JournalError, trio.TooSlowError) as error:
        log.warning("sweep interrupted", destination=plan.destination, error=str(error))


async def _settle(
    transfer: Transfer, place: Place, route: Route | None, silence_s: float, ledger: Ledger, workers: Workers
) -> None:
    if route is not None:
        look_up = LookUpSource(route.source, transfer.path)
        if (await workers.ask(look_up, Presence, silence_s=silence_s)).exists:
            return
    if transfer.step is Step.COPYING:
        await workers.ask(DiscardPartial(place, transfer.partial), Finished, silence_s=silence_s)
        await ledger.drop(transfer.id)
        log.info("orphan removed", route=transfer.route, file=transfer.path)
        return
    name = transfer.name or transfer.path
    if transfer.step is Step.INTENT:
        # All of it has arrived and the source is gone: what we hold may be the only copy.
        published = await workers.ask(_publication(transfer, place, route), Published, silence_s=silence_s)
        name = published.name
        await ledger.published(transfer.id, name, published.already_there)
    where = under(transfer.destination, name)
    await ledger.finish(transfer.id, "delivered", 1, None, time.time(), where)
    log.info("delivered", route=transfer.route, file=transfer.path, to=where)


async def _leave(transfer: Transfer, fault: Fault, ledger: Ledger) -> None:
    """To the next sweep, unless what had arrived has vanished too: then there is nothing left to finish."""
    if fault.kind is FaultKind.CORRUPT:
        await ledger.finish(transfer.id, "failed", 1, fault.detail, time.time(), None)
        log.error("failed", route=transfer.route, file=transfer.path, error=fault.detail)
    else:
        log.warning("not swept", route=transfer.route, file=transfer.path, error=fault.detail)


def _publication(transfer: Transfer, place: Place, route: Route | None) -> PublishFile:
    return PublishFile(
        place=place,
        partial=transfer.partial,
        name=transfer.name or transfer.path,
        conflict=route.conflict if route else "rename",
        size_bytes=transfer.signature.size_bytes,
        digest=bytes.fromhex((transfer.hash or "").removeprefix(HASH_PREFIX)),
    )
