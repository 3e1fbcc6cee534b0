"""`run --once`: when is everything that was there at rest, and how did it end?"""

import time

import trio

from agent.model.transfer import Status
from agent.model.views import FileView, RouteView, Snapshot
from agent.runtime.runtime import Runtime

POLL_S = 0.25


MOVING = frozenset({Status.READY, Status.IN_QUEUE, Status.COPYING, Status.VERIFYING})


WAITING = frozenset({Status.DISCOVERED, Status.GROWING})


LATE_S = 60.0  # a look that takes longer does not come any more: the file cannot be seen


EXIT_OK = 0


EXIT_FAILED = 1


EXIT_RESUMABLE = 3


def exit_code(snapshot: Snapshot, at: float) -> int | None:
    """The exit code once nothing more will move by itself, None while something may.

    Files that are still being written are left for the next run; what only waits for an outage to end, for
    the operator, for a source that can be read, or for room to write our journal can be resumed.
    """
    if snapshot.journal_error is not None:
        return EXIT_RESUMABLE
    if not snapshot.routes or not all(_is_known(route) for route in snapshot.routes):
        return None  # there is always a route; none is known before the house has been set up
    routes = {route.name: route for route in snapshot.routes}
    if any(
        _may_move(file, routes[file.current.route], at)
        for file in snapshot.files
        if file.current.route in routes
    ):
        return None
    return _exit_code(snapshot)


def _is_known(route: RouteView) -> bool:
    is_swept = route.recovered or route.outage is not None
    return (route.scanned or route.source_error is not None) and route.checked and is_swept


def _may_move(file: FileView, route: RouteView, at: float) -> bool:
    if file.current.status in MOVING:
        return True
    if file.current.status is Status.PAUSED:
        held_up = route.outage is not None or route.paused or route.source_error is not None
        return not held_up  # the dispatcher has not heard of the end yet
    if file.current.status not in WAITING or file.size_bytes == 0:
        return False
    return at < file.discovered_at + _patience_s(route) or _is_about_to_be_judged(file, at)


def _is_about_to_be_judged(file: FileView, at: float) -> bool:
    """A close look is due and has not been answered: that can take its time where there are many files."""
    return file.current.until_at is not None and file.current.until_at <= at < file.current.until_at + LATE_S


def _patience_s(route: RouteView) -> float:
    """Long enough for any file that stands still: `stable`, and the scans around it."""
    stable_s, scan_s = route.rules["stable_s"], route.rules["scan_s"]
    return 2 * (float(str(stable_s)) + float(str(scan_s)))


def _exit_code(snapshot: Snapshot) -> int:
    statuses = {file.current.status for file in snapshot.files}
    if Status.FAILED in statuses:
        return EXIT_FAILED
    is_unread = any(route.source_error is not None for route in snapshot.routes)
    return EXIT_RESUMABLE if is_unread or Status.PAUSED in statuses else EXIT_OK


async def exit_when_idle(house: Runtime) -> None:
    while True:
        await trio.sleep(POLL_S)
        code = exit_code(house.status.snapshot(time.time()), time.time())
        if code is not None:
            house.exit_code = code
            house.stop()
            return
