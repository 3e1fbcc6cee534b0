"""The state of an upload job and when it has ended, decided from the events of its route."""

import math
from itertools import islice

from attrs import define, evolve, field, frozen

from agent.config.uploads import UploadRoute
from agent.messages.broadcaster import StatusChanged, Untracked
from agent.messages.dispatcher import DestinationState, SourceState, TransferProgress
from agent.model.names import file_id
from agent.model.source_file import FileVersion
from agent.model.transfer import Status
from agent.model.upload import UploadFile, UploadFileState, UploadJob, UploadState

ACTIVE_STATES = (UploadFileState.PENDING, UploadFileState.IN_PROGRESS)


@define
class UploadCounters:
    """Files of 0 bytes do not count: they are never uploaded."""

    files: int = field(default=0, init=False)
    moving_files: int = field(default=0, init=False)
    uploaded_files: int = field(default=0, init=False)
    _bytes: int = field(default=0, init=False)
    _uploaded_bytes: int = field(default=0, init=False)

    def add(self, file: UploadFile) -> None:
        self._count(file, 1)

    def remove(self, file: UploadFile) -> None:
        self._count(file, -1)

    def progress(self, copied_bytes: int) -> float:
        """From 0 to 1, with `copied_bytes` of files that are being copied."""
        return min(1.0, (self._uploaded_bytes + copied_bytes) / self._bytes) if self._bytes else 0.0

    def _count(self, file: UploadFile, by: int) -> None:
        if file.size_bytes == 0:
            return
        self.files += by
        self._bytes += by * file.size_bytes
        if file.state in ACTIVE_STATES:
            self.moving_files += by
        elif file.state is UploadFileState.UPLOADED:
            self.uploaded_files += by
            self._uploaded_bytes += by * file.size_bytes


GONE_AFTER_S = 60.0  # a share that is away for a moment does not end its jobs
MAX_FILES_PER_WRITE = 5000  # a journal that is busy for longer delays the copies
MIN_SCANS = 2  # files may still be on their way into the folder when the job is created
OBSERVED_STATUSES = (Status.DISCOVERED, Status.GROWING, Status.HELD, Status.READY)
EMPTY = "empty: a file of 0 bytes is not uploaded"
UploadJobEvent = StatusChanged | Untracked | TransferProgress | DestinationState | SourceState


@frozen
class UploadChanges:
    """Changes that are not in the journal yet."""

    job: UploadJob
    files: tuple[UploadFile, ...]
    gone: tuple[str, ...]


@define
class UploadJobTracker:
    """One job and its files by id, as of the events so far.

    It has ended when all files are uploaded or failed and a whole scan has found nothing else. That scan must
    have begun after the last file was done, and `stable` after the last one appeared, changed or vanished.
    """

    job: UploadJob
    route: UploadRoute
    files: dict[str, UploadFile] = field(factory=dict, init=False)
    _counters: UploadCounters = field(factory=UploadCounters, init=False)
    _copied: dict[str, int] = field(factory=dict, init=False)
    _remembered: set[str] = field(factory=set, init=False)
    _scans: int = field(default=0, init=False)
    _last_done_s: float = field(default=-math.inf, init=False)
    _last_change_s: float = field(default=-math.inf, init=False)
    _unreadable_since_s: float | None = field(default=None, init=False)
    _problems: dict[str, str] = field(factory=dict, init=False)
    _dirty: set[str] = field(factory=set, init=False)
    _gone: set[str] = field(factory=set, init=False)
    _is_dirty: bool = field(default=False, init=False)

    @classmethod
    def resumed(cls, job: UploadJob, route: UploadRoute, files: tuple[UploadFile, ...]) -> "UploadJobTracker":
        """As the journal has it; the first scan shows which of the files are still there."""
        upload = cls(job, route)
        for file in files:
            upload._keep(file_id(route.name, file.path), file)
        upload._remembered = set(upload.files)
        return upload

    @property
    def has_ended(self) -> bool:
        return self.job.state.is_end

    @property
    def is_dirty(self) -> bool:
        """Whether there are changes to write into the journal."""
        return self._is_dirty or bool(self._dirty or self._gone)

    def on_event(self, event: UploadJobEvent, now_s: float, at: float) -> None:
        """Take in an event, which may be about another route."""
        match event:
            case StatusChanged():
                self._status_changed(event, now_s, at)
            case Untracked(file_ids):
                for each_id in file_ids:
                    self._vanished(each_id, now_s)
            case TransferProgress(file_id=moving, copied_bytes=copied) if moving in self.files:
                self._copied[moving] = copied
                self._is_dirty = True
            case DestinationState(destination=name) if name == self.route.destination:
                self._set_problem("destination", "" if event.reason is None else _outage_text(event))
            case SourceState(route=name) if name == self.route.name and not self.has_ended:
                self._scanned(event, now_s)

    def is_suspect(self, now_s: float) -> bool:
        """Whether its folder could not be read for so long that it may be gone."""
        return self._unreadable_since_s is not None and now_s - self._unreadable_since_s >= GONE_AFTER_S

    def stop(self, reason: str, at: float) -> None:
        """End it as failed; what was uploaded stays."""
        if self.has_ended:
            return
        self._end(UploadState.FAILED, reason)
        for each_id, file in list(self.files.items()):
            if file.state in ACTIVE_STATES:
                self._put(each_id, evolve(file, state=UploadFileState.FAILED, error=reason, updated_at=at))

    def drain(self, at: float) -> UploadChanges:
        """The present job, and the changes since the last call, or the first part of them."""
        problems = "; ".join(self._problems.values()) or None
        self.job = evolve(
            self.job,
            progress=self._progress(),
            total_files=self._counters.files,
            completed_files=self._counters.uploaded_files,
            error=self.job.error if self.has_ended else problems,
            updated_at=at,
        )
        part = set(islice(self._dirty, MAX_FILES_PER_WRITE))
        changes = UploadChanges(self.job, tuple(self.files[each_id] for each_id in part), tuple(self._gone))
        self._dirty -= part
        self._gone, self._is_dirty = set(), False
        return changes

    def requeue(self, changes: UploadChanges) -> None:
        """They could not be written: `drain` returns them again."""
        ids = {file_id(self.route.name, file.path) for file in changes.files}
        self._dirty |= ids & self.files.keys()
        present = {file.path for file in self.files.values()} if changes.gone else set()
        self._gone |= {path for path in changes.gone if path not in present}
        self._is_dirty = True

    def write_all(self) -> None:
        """The journal was set aside: everything has to be written again."""
        self._dirty, self._is_dirty = set(self.files), True

    def _status_changed(self, event: StatusChanged, now_s: float, at: float) -> None:
        row, file = self.files.get(event.file_id), event.file
        if file is not None and file.route == self.route.name and not self.has_ended:
            is_observed = event.status in OBSERVED_STATUSES
            if is_observed:
                self._remembered.discard(event.file_id)
            if row is None or (is_observed and not _is_as(row, file)):
                row = self._seen(event.file_id, row, file, now_s, at)
        # The event of a copy may be about an earlier state of the file.
        if row is not None and (file is None or _is_as(row, file)):
            self._progressed(event, row, now_s, at)

    def _seen(
        self, each_id: str, row: UploadFile | None, file: FileVersion, now_s: float, at: float
    ) -> UploadFile:
        """A file is new, or has changed."""
        self._last_change_s = now_s
        self._copied.pop(each_id, None)
        self._gone.discard(file.path)
        size_bytes = file.signature.size_bytes
        fresh = UploadFile(
            path=file.path,
            state=UploadFileState.PENDING,
            size_bytes=size_bytes,
            mtime_ns=file.signature.mtime_ns,
            created_at=at if row is None else row.created_at,
            updated_at=at,
            key=None if row is None else row.key,
            error=None if size_bytes else EMPTY,
        )
        return self._put(each_id, fresh)

    def _progressed(self, event: StatusChanged, row: UploadFile, now_s: float, at: float) -> None:
        key, error = row.key, event.error
        match event.status:
            case Status.COMPLETED:
                state = UploadFileState.UPLOADED
                if event.delivery is not None:
                    key = event.delivery.destination_path.removeprefix(f"{self.route.destination}/")
            case _ if self.has_ended:
                return  # it was stopped: all of its files are failed or uploaded
            case Status.FAILED:
                state = UploadFileState.FAILED
            case Status.COPYING | Status.VERIFYING:
                state = UploadFileState.IN_PROGRESS
            case _ if row.state is UploadFileState.UPLOADED:
                return  # the same state again
            case _:
                state, error = UploadFileState.PENDING, error or row.error
        if state not in ACTIVE_STATES:
            self._last_done_s = now_s
            self._copied.pop(event.file_id, None)
        after = evolve(row, state=state, key=key, error=error)
        if after != row:
            self._put(event.file_id, evolve(after, updated_at=at))

    def _vanished(self, each_id: str, now_s: float) -> None:
        """A file is no longer there; one that was uploaded before still counts."""
        file = self.files.get(each_id)
        if file is None or file.state is UploadFileState.UPLOADED or self.has_ended:
            return
        self._counters.remove(file)
        del self.files[each_id]
        self._copied.pop(each_id, None)
        self._dirty.discard(each_id)
        self._gone.add(file.path)
        self._last_change_s = now_s

    def _scanned(self, state: SourceState, now_s: float) -> None:
        self._set_problem("source", state.error or "")
        if state.error is not None:
            self._unreadable_since_s = now_s if self._unreadable_since_s is None else self._unreadable_since_s
            return
        self._unreadable_since_s = None
        self._scans += 1
        for each_id in self._remembered:
            self._vanished(each_id, now_s)
        self._remembered = set()
        if self.job.state is UploadState.PENDING:
            self.job = evolve(self.job, state=UploadState.IN_PROGRESS)
            self._is_dirty = True
        is_stable = state.began_s >= self._last_change_s + self.route.stable_s
        nothing_changed = is_stable and state.began_s > self._last_done_s
        if self._scans >= MIN_SCANS and nothing_changed and not self._counters.moving_files:
            self._finish(state)

    def _finish(self, state: SourceState) -> None:
        failed = [file for file in self.files.values() if file.state is UploadFileState.FAILED]
        if state.unreadable:
            first = state.unreadable[0]
            self._end(UploadState.FAILED, f"a folder cannot be read: {first.folder} ({first.reason})")
        elif failed:
            how_many = f"{len(failed)} of {self._counters.files} files failed"
            self._end(UploadState.FAILED, f"{how_many}, the first: {failed[0].path}: {failed[0].error}")
        else:
            self._end(UploadState.COMPLETED, None)

    def _end(self, state: UploadState, error: str | None) -> None:
        self.job = evolve(self.job, state=state, error=error)
        self._is_dirty = True

    def _progress(self) -> float:
        if self.job.state is UploadState.COMPLETED:
            return 1.0
        copied = sum(min(copied, self.files[each_id].size_bytes) for each_id, copied in self._copied.items())
        return self._counters.progress(copied)

    def _set_problem(self, side: str, problem: str) -> None:
        if self._problems.get(side, "") != problem:
            self._problems.pop(side, None)
            if problem:
                self._problems[side] = problem
            self._is_dirty = True

    def _put(self, each_id: str, file: UploadFile) -> UploadFile:
        self._dirty.add(each_id)
        return self._keep(each_id, file)

    def _keep(self, each_id: str, file: UploadFile) -> UploadFile:
        if each_id in self.files:
            self._counters.remove(self.files[each_id])
        self._counters.add(file)
        self.files[each_id] = file
        return file


def _is_as(row: UploadFile, file: FileVersion) -> bool:
    """Whether this is the state of the file that was seen last."""
    return (row.size_bytes, row.mtime_ns) == (file.signature.size_bytes, file.signature.mtime_ns)


def _outage_text(outage: DestinationState) -> str:
    return f"outage: {outage.reason.value if outage.reason else ''}: {outage.detail}"
