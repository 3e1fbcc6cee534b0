"""`check-config --probe`: tries every source and destination, and says what each place can and cannot do."""

import uuid
from collections.abc import Iterator

import trio

from agent.config.sections import Config, Route
from agent.model.errors import Fault
from agent.model.names import probe_path
from agent.protocol.replies import FolderTried, Probed
from agent.protocol.requests import ProbeDestination, TryFolder
from agent.worker_pool import WorkerPool


async def lines(config: Config) -> list[str]:
    """A line for each thing that was tried."""
    found: list[str] = []
    async with WorkerPool.open(config.agent.partial_locks_file) as workers:
        for route in config.routes:
            found += await _try(route, "source", route.source, workers)
            found += await _try_destination(route, config, workers)
    return found


async def _try_destination(route: Route, config: Config, workers: WorkerPool) -> list[str]:
    plan = config.plan([route])
    problem = await _problem(ProbeDestination(plan.destination, plan.marker, None, plan.s3), route, workers)
    if problem:
        return [f"{route.name}: destination {plan.destination}: {problem}"]
    if plan.s3 is not None:
        return [f"{route.name}: destination {plan.destination}: can be reached"]
    return await _try(route, "destination", plan.destination, workers)


async def _problem(request: ProbeDestination, route: Route, workers: WorkerPool) -> str:
    try:
        await workers.ask(request, Probed, stall_timeout_s=route.stall_timeout_s)
    except Fault as fault:
        return str(fault)
    except trio.TooSlowError:
        return f"no answer in {route.stall_timeout_s:g} s"
    return ""


async def _try(route: Route, side: str, root: str, workers: WorkerPool) -> list[str]:
    nonce = uuid.uuid4().hex
    request = TryFolder(root, probe_path(nonce, nonce))
    try:
        tried = await workers.ask(request, FolderTried, stall_timeout_s=route.stall_timeout_s)
    except Fault as fault:
        return [f"{route.name}: {side} {root}: {fault}"]
    except trio.TooSlowError:
        return [f"{route.name}: {side} {root}: no answer in {route.stall_timeout_s:g} s"]
    return list(_findings(f"{route.name}: {side} {root}", tried))


def _findings(place: str, tried: FolderTried) -> Iterator[str]:
    for what, finding in tried.findings:
        yield f"{place}: {what}: {finding}"
