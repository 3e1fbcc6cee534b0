"""`run --dry-run`: examines each file once and says what would happen to it; changes nothing."""

import trio

from agent.actors.stability_tracker.hold import hold_reason
from agent.config.sections import Config, Route
from agent.model.errors import Fault
from agent.model.source_file import ScannedFile, WriterState
from agent.protocol.replies import Reply, ScanEnd
from agent.protocol.requests import ExamineSource, ListSource, SourceFolder, SourceMount
from agent.worker_pool import WorkerPool

EXAMINED_AT_ONCE = 200  # examining takes time, and each answer shows that the worker is alive


async def lines(config: Config) -> list[str]:
    """One line for each file that a route includes, and one for each folder that cannot be read."""
    found: list[str] = []
    async with WorkerPool.open(config.agent.partial_locks_file) as workers:
        for route in config.routes:
            try:
                found += await _dry_run_route(route, workers)
            except Fault as fault:
                found.append(f"{route.name}: {fault}")
            except trio.TooSlowError:
                found.append(f"{route.name}: source: no answer in {route.stall_timeout_s:g} s")
    return found


async def _dry_run_route(route: Route, workers: WorkerPool) -> list[str]:
    source = SourceFolder(
        route.source, route.include, route.exclude, mount=SourceMount(marker=route.source_marker)
    )
    paths: list[str] = []

    async def collect(reply: Reply) -> None:
        await trio.lowlevel.checkpoint()
        paths.extend(entry.path for entry in getattr(reply, "entries", ()))

    stall_timeout_s = route.stall_timeout_s
    scan_end = await workers.ask(
        ListSource(source), ScanEnd, stall_timeout_s=stall_timeout_s, on_reply=collect
    )
    paths = sorted((*paths, *(entry.path for entry in scan_end.entries)))
    found = [
        f"{route.name}: would not see into {route.source}/{path}: {why}" for path, why in scan_end.unreadable
    ]
    for start in range(0, len(paths), EXAMINED_AT_ONCE):
        chunk = tuple(paths[start : start + EXAMINED_AT_ONCE])
        found += [_line(route, entry) for entry in await _examined(route, source, chunk, workers)]
    return found


async def _examined(
    route: Route, source: SourceFolder, paths: tuple[str, ...], workers: WorkerPool
) -> list[ScannedFile]:
    """The files at these paths, in as many requests as that takes."""
    found: list[ScannedFile] = []

    async def collect(reply: Reply) -> None:
        await trio.lowlevel.checkpoint()
        found.extend(getattr(reply, "entries", ()))

    while paths:
        request = ExamineSource(source, paths, frozenset(paths))
        end = await workers.ask(request, ScanEnd, stall_timeout_s=route.stall_timeout_s, on_reply=collect)
        found += end.entries
        paths = end.left
    return found


def _line(route: Route, entry: ScannedFile) -> str:
    source, target = f"{route.source}/{entry.path}", f"{route.destination.rstrip('/')}/{entry.path}"
    reason = _reason_to_skip(route, entry)
    if reason:
        return f"{route.name}: would leave {source!r}: {reason}"
    verb = {"delete": "move", "keep": "copy", "archive": "deliver and archive"}[route.after]
    return f"{route.name}: would {verb} {source!r} to {target!r} once unchanged for {route.stable_s:g} s"


def _reason_to_skip(route: Route, entry: ScannedFile) -> str:
    if entry.signature.size_bytes == 0:
        return "it is empty"
    evidence = entry.evidence
    if evidence is None:
        return ""
    if evidence.writer is WriterState.OPEN:
        return "a process holds it open for writing"
    return hold_reason(evidence, route, was_closed=False)
