"""`run --dry-run`: examines each file once and says what would happen to it; changes nothing."""

from collections.abc import Sequence
from typing import Self

import trio
from attrs import define

from agent.actors.stability_tracker.hold import hold_reason
from agent.config.sections import Config, Route
from agent.journal.state_folder import read_identity
from agent.model.errors import Fault
from agent.model.source_file import ScannedFile, WriterState
from agent.protocol.replies import NamesTaken, Probed, Reply, ScanEnd
from agent.protocol.requests import (
    DestinationRef,
    ExamineSource,
    FindDestination,
    ListSource,
    LookUpNames,
    SourceFolder,
    SourceMount,
)
from agent.worker_pool import WorkerPool

_TAKEN = {
    "rename": "; that name is taken: with other content it gets the next free one",
    "fail": "; that name is taken: with other content it fails",
}
EXAMINED_AT_ONCE = 200  # examining takes time, and each answer shows that the worker is alive


async def lines(config: Config) -> list[str]:
    """One line for each file that a route includes, and one for each folder that cannot be read."""
    found: list[str] = []
    async with WorkerPool.open(config.agent.partial_locks_file) as workers:
        for route in config.routes:
            try:
                found += await _dry_run_route(route, config, workers)
            except Fault as fault:
                found.append(f"{route.name}: {fault}")
            except trio.TooSlowError:
                found.append(f"{route.name}: source: no answer in {route.stall_timeout_s:g} s")
    return found


async def _dry_run_route(route: Route, config: Config, workers: WorkerPool) -> list[str]:
    identity = read_identity(config.agent.state_dir) or ""  # before the first start nothing is ours
    mount = SourceMount(marker=route.source_marker)
    source = SourceFolder(route.source, route.include, route.exclude, identity, mount)
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
    names = await TakenNames.open(route, config, workers)
    if names.problem:
        found.append(f"{route.name}: nothing would be delivered: {names.problem}")
    for start in range(0, len(paths), EXAMINED_AT_ONCE):
        chunk = tuple(paths[start : start + EXAMINED_AT_ONCE])
        taken = await names.among(chunk)
        examined = await _examined(route, source, chunk, workers)
        found += [_line(route, entry, is_taken=entry.path in taken) for entry in examined]
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


@define
class TakenNames:
    """Which names are taken at a route's destination. `problem`: why it cannot be used; empty: it can."""

    _route: Route
    _workers: WorkerPool
    _destination: DestinationRef
    problem: str = ""

    @classmethod
    async def open(cls, route: Route, config: Config, workers: WorkerPool) -> Self:
        plan = config.plan([route])
        request = FindDestination(plan.destination, plan.marker, plan.s3)
        try:
            found = await workers.ask(request, Probed, stall_timeout_s=plan.probe_timeout_s)
        except Fault as fault:
            return cls(route, workers, DestinationRef(plan.destination, 0, plan.s3), str(fault))
        except trio.TooSlowError:
            problem = f"destination: no answer in {plan.probe_timeout_s:g} s"
            return cls(route, workers, DestinationRef(plan.destination, 0, plan.s3), problem)
        return cls(route, workers, DestinationRef(plan.destination, found.device, plan.s3))

    async def among(self, paths: Sequence[str]) -> frozenset[str]:
        """Those of the paths whose names are taken; none while the destination cannot be used."""
        if self.problem or not paths:
            return frozenset()
        prefix = self._route.key_prefix
        request = LookUpNames(self._destination, tuple(prefix + path for path in paths))
        taken = await self._workers.ask(request, NamesTaken, stall_timeout_s=self._route.stall_timeout_s)
        return frozenset(name.removeprefix(prefix) for name in taken.names)


def _line(route: Route, entry: ScannedFile, *, is_taken: bool) -> str:
    source, target = f"{route.source}/{entry.path}", f"{route.destination.rstrip('/')}/{entry.path}"
    reason = _reason_to_skip(route, entry)
    if reason:
        return f"{route.name}: would leave {source!r}: {reason}"
    verb = {"delete": "move", "keep": "copy", "archive": "deliver and archive"}[route.after]
    condition = f"once unchanged for {route.stable_s:g} s{_TAKEN[route.conflict] if is_taken else ''}"
    return f"{route.name}: would {verb} {source!r} to {target!r} {condition}"


def _reason_to_skip(route: Route, entry: ScannedFile) -> str:
    if entry.signature.size_bytes == 0:
        return "it is empty"
    evidence = entry.evidence
    if evidence is None:
        return ""
    if evidence.unreadable:
        return f"it cannot be read: {evidence.unreadable}"
    if evidence.writer is WriterState.OPEN:
        return "a process holds it open for writing"
    return hold_reason(evidence, route, was_closed=False)
