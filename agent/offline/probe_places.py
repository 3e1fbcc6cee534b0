"""`check-config --probe`: tries every source, destination and archive, and says what each place can do."""

import uuid

import trio
from attrs import frozen

from agent.actors.storage_monitor.availability import AvailabilityTracker
from agent.config.sections import Config, DestinationPlan, Route
from agent.model.errors import Fault
from agent.model.names import probe_path
from agent.protocol.replies import FolderTried, Probed
from agent.protocol.requests import ProbeDestination, Request, TryArchive, TryBucket, TryFolder
from agent.worker_pool import R, WorkerPool


async def lines(config: Config) -> list[str]:
    """A line for each thing that was tried."""
    found: list[str] = []
    async with WorkerPool.open(config.agent.partial_locks_file) as workers:
        for route in config.routes:
            places = _Places(route, workers)
            found += await places.try_source()
            found += await places.try_destination(config.plan([route]))
            found += await places.try_archive()
    return found


@frozen
class _Places:
    """The places of one route."""

    _route: Route
    _workers: WorkerPool

    async def try_source(self) -> list[str]:
        source = self._route.source
        return await self._try("source", source, TryFolder(source, _temporary_name()))

    async def try_archive(self) -> list[str]:
        archive = self._route.archive
        if archive is None:
            return []
        return await self._try("archive", archive, TryArchive(archive, _temporary_name(), self._route.source))

    async def try_destination(self, plan: DestinationPlan) -> list[str]:
        root = plan.destination
        probed = await self._ask(ProbeDestination(root, plan.marker, None, plan.s3), Probed)
        if isinstance(probed, str):
            return [self._line("destination", root, probed)]
        if plan.s3 is not None:
            return await self._try("destination", root, TryBucket(root, _temporary_name(), plan.s3))
        mounted = self._line("destination", root, f"mounted: {mount_finding(plan, probed)}")
        return [mounted, *await self._try("destination", root, TryFolder(root, _temporary_name()))]

    async def _try(self, side: str, root: str, request: Request) -> list[str]:
        tried = await self._ask(request, FolderTried)
        if isinstance(tried, str):
            return [self._line(side, root, tried)]
        return [self._line(side, root, f"{what}: {finding}") for what, finding in tried.findings]

    def _line(self, side: str, root: str, finding: str) -> str:
        return f"{self._route.name}: {side} {root}: {finding}"

    async def _ask(self, request: Request, expected: type[R]) -> R | str:
        """A string says why there is no answer."""
        timeout_s = self._route.stall_timeout_s
        try:
            return await self._workers.ask(request, expected, stall_timeout_s=timeout_s)
        except Fault as fault:
            return str(fault)
        except trio.TooSlowError:
            return f"no answer in {timeout_s:g} s"


def mount_finding(plan: DestinationPlan, probed: Probed) -> str:
    """Whether the destination lies on a mount, if it has to."""
    availability = AvailabilityTracker(
        plan.destination, plan.marker is not None, plan.probe_s, mounted=plan.mounted
    )
    state = availability.answered(probed, 0.0, 0.0)
    return f"no: {state.detail}" if state.reason is not None else f"on {probed.mount_point}"


def _temporary_name() -> str:
    nonce = uuid.uuid4().hex
    return probe_path(nonce, nonce)
