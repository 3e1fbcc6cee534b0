"""`verify`: re-reads what was delivered, one destination after the other, and compares it with the hashes."""

import time
from collections.abc import Callable

import trio
from attrs import define, field

from agent.actors.copier_pool.transfer import HASH_PREFIX
from agent.actors.storage_monitor.availability import AvailabilityTracker
from agent.config.sections import Config
from agent.journal.delivered_files import Deliveries
from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.storage import S3Access
from agent.model.transfer import DeliveredFile
from agent.offline.verify_report import VerifyReport
from agent.protocol.replies import Probed, VerifyResult
from agent.protocol.requests import DestinationRef, FindDestination, VerifyFile
from agent.worker_pool import WorkerPool

STALL_TIMEOUT_S = 30.0  # for destinations that no route has any more

Tell = Callable[[str], None]


def run(config: Config, since_at: float | None, route: str | None, tell: Tell) -> VerifyReport:
    """Says each thing that is wrong as it is found. Raises: JournalError: the journal cannot be read."""
    return trio.run(_verify, config, since_at, route, tell)


async def _verify(config: Config, since_at: float | None, route: str | None, tell: Tell) -> VerifyReport:
    # The journal is a local file and nothing else runs on this loop: it is read without a thread.
    audit = VerifyReport()
    async with WorkerPool.open(config.agent.partial_locks_file) as workers:
        with Deliveries.open(config.agent.state_dir, since_at, route) as deliveries:
            plans = {plan.destination: plan for plan in config.destinations()}
            mounts = deliveries.mount_points()
            for place in sorted(deliveries.destinations()):
                plan = plans.get(place)
                visit = DestinationVerifier(
                    AvailabilityTracker(
                        place, plan is not None and plan.marker is not None, 0.0, mounts.get(place)
                    ),
                    plan.marker if plan else None,
                    plan.stall_timeout_s if plan else STALL_TIMEOUT_S,
                    config.s3.access(place, STALL_TIMEOUT_S),
                    workers,
                )
                await _compare(visit, deliveries, audit, tell)
    return audit


@define
class DestinationVerifier:
    """One destination; `trouble` says why it can be read no further, empty while it can."""

    reach: AvailabilityTracker
    marker: str | None
    stall_timeout_s: float
    s3: S3Access | None
    workers: WorkerPool
    trouble: str = field(default="", init=False)
    _device: int = field(default=0, init=False)

    @property
    def destination(self) -> str:
        return self.reach.destination

    async def open(self) -> None:
        """Is the destination the one that was delivered to?"""
        request = FindDestination(self.destination, self.marker, self.s3)
        began_s = trio.current_time()
        try:
            probed = await self.workers.ask(request, Probed, stall_timeout_s=self.stall_timeout_s)
        except (Fault, trio.TooSlowError) as error:
            self._stop(error)
            return
        state = self.reach.answered(probed, began_s, time.time())
        self.trouble = f"{state.reason.value}: {state.detail}" if state.reason else ""
        self._device = probed.device

    async def check(self, record: DeliveredFile) -> VerifyResult | None:
        """None: the destination can be read no further."""
        request = VerifyFile(
            destination=DestinationRef(self.destination, self._device, self.s3),
            name=record.destination_path.removeprefix(f"{self.destination.rstrip('/')}/"),
            size_bytes=record.size_bytes,
            digest=bytes.fromhex(record.hash.removeprefix(HASH_PREFIX)),
        )
        try:
            return await self.workers.ask(request, VerifyResult, stall_timeout_s=self.stall_timeout_s)
        except (Fault, trio.TooSlowError) as error:
            if isinstance(error, Fault) and error.kind is not FaultKind.DESTINATION:
                return VerifyResult("unreadable", str(error))
            self._stop(error)
            return None

    def _stop(self, error: Fault | trio.TooSlowError) -> None:
        if isinstance(error, Fault):
            self.trouble = f"{error.reason.value}: {error}" if error.reason else str(error)
        else:
            self.trouble = f"{OutageReason.HUNG.value}: no answer in {self.stall_timeout_s:g} s"


async def _compare(
    visit: DestinationVerifier, deliveries: Deliveries, audit: VerifyReport, tell: Tell
) -> None:
    await visit.open()
    skipped = 0
    for record in deliveries.to(visit.destination):
        checked = None if visit.trouble else await visit.check(record)
        if checked is None:
            audit.skip(record)
            skipped += 1
        elif problem := audit.add(record, checked):
            tell(str(problem))
    if visit.trouble:
        tell(str(audit.stop(visit.destination, visit.trouble, skipped)))
