"""Selects the files of a message that is limited in size: first those that matter, in the page's order."""

from collections import defaultdict
from collections.abc import Iterable
from heapq import nlargest, nsmallest
from itertools import islice
from operator import attrgetter

from agent.model.transfer import Status
from agent.model.views import FileView, Update

WAITING_STATUSES = (
    Status.HELD,
    Status.PAUSED,
    Status.IN_QUEUE,
    Status.READY,
    Status.GROWING,
    Status.DISCOVERED,
)

IDS_FOR_A_FILE = 10  # so many file ids take about as many bytes as one file

_Files = list[FileView]
_discovery_order = attrgetter("discovered_at", "id")


def exceeds(update: Update, limit: int) -> bool:
    """True if a new snapshot of `limit` files is smaller than this update."""
    return len(update.changed) > limit or len(update.removed) > limit * IDS_FOR_A_FILE


def select(files: Iterable[FileView], limit: int) -> _Files:
    """At most `limit` of the files: equal shares for active, waiting, failed and completed ones.

    The rest of a share that is not used goes to the other groups. Held and paused files come first among the
    waiting ones, then the oldest; of the failed and completed ones the latest are taken.
    """
    groups = sorted(_groups(files, limit), key=len)
    chosen: _Files = []
    for number, group in enumerate(groups):
        chosen += group[: (limit - len(chosen)) // (len(groups) - number)]
    return chosen


def _groups(files: Iterable[FileView], limit: int) -> tuple[_Files, ...]:
    """The first of each group, at most `limit`. A paused file is active only if its copy had begun."""
    by_status = defaultdict[Status, _Files](list)
    for file in files:
        by_status[file.current.status].append(file)
    paused = by_status[Status.PAUSED]
    by_status[Status.PAUSED] = [file for file in paused if file.current.started_at is None]
    active = [file for file in paused if file.current.started_at is not None]
    active += by_status[Status.COPYING] + by_status[Status.VERIFYING]
    waiting = (
        file
        for status in WAITING_STATUSES
        for file in nsmallest(limit, by_status[status], key=_discovery_order)
    )
    return (
        nsmallest(limit, active, key=_began_at),
        list(islice(waiting, limit)),
        nlargest(limit, by_status[Status.FAILED], key=_ended_at),
        nlargest(limit, by_status[Status.COMPLETED], key=_ended_at),
    )


def _began_at(file: FileView) -> float:
    return file.current.started_at or 0.0


def _ended_at(file: FileView) -> float:
    return file.current.completed_at or 0.0
