"""Bodies that are made of all files. They run in threads and must leave the event loop its turns.

One `sorted` of 100,000 files would hold the interpreter's lock throughout. So parts of a thousand files are
sorted and then merged; a page of files needs no sort, only its smallest entries.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge, nsmallest
from operator import attrgetter
from unicodedata import normalize

from attrs import frozen

from agent.control.errors import NotFound
from agent.model.exclusion import exclusions
from agent.model.text import as_unicode
from agent.model.transfer import Status
from agent.model.views import FileView, Snapshot
from web import query, schemas, serializers

SORTED_AT_ONCE = 1000
IN_PROGRESS = (Status.COPYING, Status.VERIFYING)
ENDED = (Status.COMPLETED, Status.FAILED)

_position: Callable[[FileView], query.FilePosition] = attrgetter("discovered_at", "id")


@frozen(kw_only=True)
class FileQuery:
    """Selects at most `limit` files by status, route and position in the list, oldest first.

    `search` is part of their path or route. `verbose`: entries are LiveFiles, as in the live feed.
    """

    limit: int
    status: Status | None = None
    route: str | None = None
    search: str = ""
    after: query.FilePosition | None = None
    verbose: bool = False

    def body(self, files: Sequence[FileView]) -> schemas.FilesBody:
        found = self._found(files)
        shown = found[: self.limit]
        to_entry = serializers.live_file if self.verbose else serializers.file_entry
        body: schemas.FilesBody = {"files": [to_entry(file) for file in shown]}
        if len(found) > len(shown):
            body["next_cursor"] = query.write_file_cursor(_position(shown[-1]))
        return body

    def _found(self, files: Sequence[FileView]) -> list[FileView]:
        """One more than the limit, if there are more."""
        wanted = searchable(self.search)
        included = (file for file in files if self._includes(file, wanted))
        return nsmallest(self.limit + 1, included, key=_position)

    def _includes(self, file: FileView, wanted: str) -> bool:
        return (
            self.status in (None, file.current.status)
            and self.route in (None, file.current.route)
            and (self.after is None or _position(file) > self.after)
            and (not wanted or wanted in searchable(f"{file.path}\n{file.current.route}"))
        )


def searchable(name: str) -> str:
    """For comparisons as the page makes them: case ignored, and NFC, because macOS stores NFD."""
    return (name if name.isascii() else normalize("NFC", as_unicode(name))).lower()


def find(path: str, files: Iterable[FileView]) -> FileView:
    """The newest file with that path; U+FFFD stands for bytes that are not UTF-8, as on the page.

    Raises:
        NotFound: there is none.
    """
    found = [file for file in files if path in (as_unicode(file.path), as_unicode(file.file_path))]
    if not found:
        raise NotFound(f"no tracked file is named {path!r}")
    return max(found, key=_position)


def explanation(path: str, snapshot: Snapshot) -> schemas.LiveFile | schemas.ExcludedBody:
    """The file with that path, or else the rules that keep it from being taken.

    Raises:
        NotFound: it is not tracked, and no rule excludes it.
    """
    try:
        return serializers.live_file(find(path, snapshot.files))
    except NotFound:
        excluded = exclusions(path, snapshot.routes)
        if not excluded:
            raise
    return {
        "excluded": [
            {"route": each.route, "file_path": each.file_path, "rule": each.rule} for each in excluded
        ]
    }


def status_body(files: Iterable[FileView]) -> schemas.StatusBody:
    by_status = defaultdict[Status, list[FileView]](list)
    for file in files:
        by_status[file.current.status].append(file)
    running = sorted(by_status[Status.COPYING] + by_status[Status.VERIFYING], key=_began_at)
    waiting = [
        file for status, some in by_status.items() if status not in (*IN_PROGRESS, *ENDED) for file in some
    ]
    pending = [file.path for file in _in_order(waiting, _began_at)]
    progresses = [_in_progress(file) for file in running]
    body: schemas.StatusBody = {
        "pendingFilesCount": len(pending),
        "pendingFiles": pending,
        "inProgress": progresses[0] if progresses else None,
        "recentlyCompleted": [
            {"file": file.path, "completedAt": serializers.rfc3339(file.current.completed_at)}
            for file in _in_order(by_status[Status.COMPLETED], _ended_before)
        ],
        "failedFiles": [
            {
                "file": file.path,
                "error": file.current.error or "",
                "failedAt": serializers.rfc3339(file.current.completed_at),
            }
            for file in _in_order(by_status[Status.FAILED], _ended_before)
        ],
    }
    if len(progresses) > 1:
        body["allInProgress"] = progresses
    return body


def _in_progress(file: FileView) -> schemas.InProgress:
    return {
        "file": file.path,
        "progressPercentage": int(serializers.progress(file)),
        "status": file.current.status.value,
        "startTime": serializers.rfc3339(_began_at(file)),
    }


def _began_at(file: FileView) -> float:
    return file.discovered_at if file.current.started_at is None else file.current.started_at


def _ended_before(file: FileView) -> float:
    """A sort key: the latest first."""
    return 0.0 if file.current.completed_at is None else -file.current.completed_at


def _in_order(files: list[FileView], key: Callable[[FileView], float]) -> Iterator[FileView]:
    parts = (files[start : start + SORTED_AT_ONCE] for start in range(0, len(files), SORTED_AT_ONCE))
    return merge(*(sorted(part, key=key) for part in parts), key=key)
