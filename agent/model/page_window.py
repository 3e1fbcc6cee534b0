"""A window on many files, for visitors who look at some: what concerns them first, in the page's order."""

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

IDS_FOR_A_FILE = 10  # take about as many bytes

_Files = list[FileView]
_found_at = attrgetter("discovered_at", "id")


def exceeds(update: Update, limit: int) -> bool:
    """Whether the update tells of so much that a window of `limit` files is better shown anew."""
    return len(update.changed) > limit or len(update.removed) > limit * IDS_FOR_A_FILE


def select(files: Iterable[FileView], limit: int) -> _Files:
    """At most `limit` of the files: fair parts of those under way, waiting, failed and completed.

    A part that is not used up is for the others. Of the waiting ones first those held and paused, then the
    oldest; of the failed and completed ones the latest.
    """
    groups = sorted(_groups(files, limit), key=len)
    chosen: _Files = []
    for number, group in enumerate(groups):
        chosen += group[: (limit - len(chosen)) // (len(groups) - number)]
    return chosen


def _groups(files: Iterable[FileView], limit: int) -> tuple[_Files, ...]:
    """The first of each group, at most `limit`. A paused file is under way only if its copy had begun."""
    by_status = defaultdict[Status, _Files](list)
    for file in files:
        by_status[file.current.status].append(file)
    paused = by_status[Status.PAUSED]
    by_status[Status.PAUSED] = [file for file in paused if file.current.started_at is None]
    active = [file for file in paused if file.current.started_at is not None]
    active += by_status[Status.COPYING] + by_status[Status.VERIFYING]
    waiting = (
        file for status in WAITING_STATUSES for file in nsmallest(limit, by_status[status], key=_found_at)
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
