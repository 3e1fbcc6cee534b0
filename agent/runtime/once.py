"""`run --once`: the agent exits once nothing more can be done; the exit code says how it ended."""

import time

import trio

from agent.model.transfer import Status
from agent.model.views import FileView, RouteView, Snapshot
from agent.runtime.runtime import Runtime

POLL_S = 0.25
MOVING = frozenset({Status.READY, Status.IN_QUEUE, Status.COPYING, Status.VERIFYING})
WAITING = frozenset({Status.DISCOVERED, Status.GROWING})
LATE_S = 60.0  # an examination that takes longer does not end any more: the file cannot be read

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_RESUMABLE = 3


def exit_code(snapshot: Snapshot, at: float) -> int | None:
    """The exit code once nothing more will be transferred by itself, None while something may be.

    Files that are still being written are left for the next run. The run can be resumed where something only
    waits for an outage to end, for the operator, for a source that can be read or for space for the journal.
    """
    if snapshot.journal_error is not None:
        return EXIT_RESUMABLE
    if not snapshot.routes or not all(_is_known(route) for route in snapshot.routes):
        return None  # there is always a route; none is known before the generation has started
    routes = {route.name: route for route in snapshot.routes}
    if any(
        _may_move(file, routes[file.current.route], at)
        for file in snapshot.files
        if file.current.route in routes
    ):
        return None
    return _exit_code(snapshot)


def _is_known(route: RouteView) -> bool:
    is_recovered = route.recovered or route.outage is not None
    return (route.scanned or route.source_error is not None) and route.checked and is_recovered


def _may_move(file: FileView, route: RouteView, at: float) -> bool:
    if file.current.status in MOVING:
        return True
    if file.current.status is Status.PAUSED:
        waits = route.outage is not None or route.paused or route.source_error is not None
        return not waits  # the dispatcher resumes it soon
    if file.current.status not in WAITING or file.size_bytes == 0:
        return False
    return at < file.discovered_at + _patience_s(route) or _is_being_examined(file, at)


def _is_being_examined(file: FileView, at: float) -> bool:
    """An examination is due and has not ended: that takes a while where there are many files."""
    return file.current.until_at is not None and file.current.until_at <= at < file.current.until_at + LATE_S


def _patience_s(route: RouteView) -> float:
    """Long enough for any file that does not change: `stable`, and the scans around it."""
    stable_s, scan_s = route.rules["stable_s"], route.rules["scan_s"]
    return 2 * (float(str(stable_s)) + float(str(scan_s)))


def _exit_code(snapshot: Snapshot) -> int:
    statuses = {file.current.status for file in snapshot.files}
    if Status.FAILED in statuses:
        return EXIT_FAILED
    is_unread = any(route.source_error is not None for route in snapshot.routes)
    return EXIT_RESUMABLE if is_unread or Status.PAUSED in statuses else EXIT_OK


async def exit_when_idle(runtime: Runtime) -> None:
    """Stop the agent once nothing more can be done."""
    while True:
        await trio.sleep(POLL_S)
        code = exit_code(runtime.status.snapshot(time.time()), time.time())
        if code is not None:
            runtime.exit_code = code
            runtime.stop()
            return
