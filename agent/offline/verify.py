"""`verify`: re-reads delivered files, one destination after the other, and compares their hashes."""

import time
from collections.abc import Callable

import trio
from attrs import define, field

from agent.actors.copier_pool.decisions import HASH_PREFIX
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

STALL_TIMEOUT_S = 30.0  # for destinations that are in no route any more

OnProblem = Callable[[str], None]


def run(config: Config, since_at: float | None, route: str | None, on_problem: OnProblem) -> VerifyReport:
    """Reports each problem as it is found. Raises: JournalError: the journal cannot be read."""
    return trio.run(_verify, config, since_at, route, on_problem)


async def _verify(
    config: Config, since_at: float | None, route: str | None, on_problem: OnProblem
) -> VerifyReport:
    # The journal is a local file and nothing else runs on this loop: it is read without a thread.
    verify_report = VerifyReport()
    async with WorkerPool.open(config.agent.partial_locks_file) as workers:
        with Deliveries.open(config.agent.state_dir, since_at, route) as deliveries:
            plans = {plan.destination: plan for plan in config.destinations()}
            mounts = deliveries.mount_points()
            for destination in sorted(deliveries.destinations()):
                plan = plans.get(destination)
                verifier = DestinationVerifier(
                    AvailabilityTracker(
                        destination,
                        plan is not None and plan.marker is not None,
                        0.0,
                        mounts.get(destination),
                        plan.mounted if plan else "no",
                    ),
                    plan.marker if plan else None,
                    plan.stall_timeout_s if plan else STALL_TIMEOUT_S,
                    config.s3.access(destination, STALL_TIMEOUT_S),
                    workers,
                )
                await _compare(verifier, deliveries, verify_report, on_problem)
    return verify_report


@define
class DestinationVerifier:
    """One destination; `problem` says why it cannot be read any more, empty while it can."""

    availability: AvailabilityTracker
    marker: str | None
    stall_timeout_s: float
    s3: S3Access | None
    workers: WorkerPool
    problem: str = field(default="", init=False)
    _device: int = field(default=0, init=False)

    @property
    def destination(self) -> str:
        return self.availability.destination

    async def open(self) -> None:
        """Probe the destination, and check that it is the one that was delivered to."""
        request = FindDestination(self.destination, self.marker, self.s3)
        began_s = trio.current_time()
        try:
            probed = await self.workers.ask(request, Probed, stall_timeout_s=self.stall_timeout_s)
        except (Fault, trio.TooSlowError) as error:
            self._stop(error)
            return
        state = self.availability.answered(probed, began_s, time.time())
        self.problem = f"{state.reason.value}: {state.detail}" if state.reason else ""
        self._device = probed.device

    async def check(self, record: DeliveredFile) -> VerifyResult | None:
        """None: the destination cannot be read any more."""
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
            self.problem = f"{error.reason.value}: {error}" if error.reason else str(error)
        else:
            self.problem = f"{OutageReason.HUNG.value}: no answer in {self.stall_timeout_s:g} s"


async def _compare(
    verifier: DestinationVerifier, deliveries: Deliveries, verify_report: VerifyReport, on_problem: OnProblem
) -> None:
    await verifier.open()
    skipped = 0
    for record in deliveries.to(verifier.destination):
        checked = None if verifier.problem else await verifier.check(record)
        if checked is None:
            verify_report.skip(record)
            skipped += 1
        elif mismatch := verify_report.add(record, checked):
            on_problem(str(mismatch))
    if verifier.problem:
        on_problem(str(verify_report.stop(verifier.destination, verifier.problem, skipped)))
