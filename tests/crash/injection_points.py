"""Where steps are recorded: around the storage calls of a worker and the commits of the agent's journal."""

import errno
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define, field

from agent.fs import linux
from agent.journal.journal import Journal
from agent.model.verification import BLOCK_BYTES, DIGEST_BYTES
from agent.protocol.replies import Checkpoint, Reply
from agent.protocol.requests import (
    CheckSeparateFiles,
    CheckSeparateRoots,
    CopyFile,
    CopySmallFiles,
    DiscardPartial,
    ProbeDestination,
    PublishFiles,
    RemoveSources,
    Request,
)
from agent.worker import server
from agent.worker.copy import pipeline
from agent.worker.destinations import write_pace
from agent.worker.destinations.write_pace import WritePace
from tests.crash.folder_states import FOLDERS
from tests.crash.kills import Trace
from tests.fakes import operation_name

WINDOW_BLOCKS = 2
CHECKPOINT = "copy: report checkpoint"
JOURNALED = "journal: checkpoint"
WRITE = "copy: pwrite nas"
POLL_S = 0.001

REQUESTS: dict[type, str] = {
    CopyFile: "copy",
    CopySmallFiles: "copy",
    PublishFiles: "publish",
    RemoveSources: "remove",
    DiscardPartial: "discard",
    ProbeDestination: "probe",
    CheckSeparateRoots: "separate",
    CheckSeparateFiles: "separate",
}
# Calls that change a file system or move content; the first argument is the descriptor or path.
CALLS = (
    "ftruncate",
    "pread",
    "pwrite",
    "write",
    "fdatasync",
    "fsync",
    "posix_fadvise",
    "utime",
    "mkdir",
    "unlink",
    "link",
    "rename",
    "open",
)
FOR_BATCHES = ("begin_or_resume", "mark_verified", "mark_published", "finish")
JOURNAL_READS = (
    "find",
    "running",
    "partials_of_published",
    "resume_points",
    "orphans.at_destination",
    "orphans.is_scan_done",
    "history.prior_results",
    "routes.paused",
    "routes.mount_points",
    "uploads.needing_cleanup",
    "uploads.files",
    "client._check",
)


@define
class StorageCallPoints:
    """Records the storage calls of one worker process while it handles a request of a transfer."""

    _folder: Path
    _trace: Trace
    _refused: frozenset[str]  # names of calls that this file system does not support
    _save_snapshot: Callable[[], None]
    _request: str | None = field(default=None, init=False)
    _reports: int = field(default=0, init=False)
    _journaled_before: int = field(default=0, init=False)

    def install(self) -> None:
        pipeline.WINDOW_BLOCKS = WINDOW_BLOCKS
        pipeline.REPORT_S = 0.0
        # Each run makes the same syncs, however fast the storage and whichever thread comes first.
        write_pace.SYNC_S = math.inf
        setattr(server, WritePace.__name__, partial(WritePace, write_pace.MOST_BYTES))
        for name in CALLS:
            setattr(os, name, self._counted_call(name, getattr(os, name)))
        linux._renameat2 = self._counted_call("renameat2", linux._renameat2)
        answer, stream = server.WorkerServer._answer, server.WorkerServer.stream

        def handled(worker: server.WorkerServer, request: Request) -> Reply:
            self._request = REQUESTS.get(type(request))
            try:
                return answer(worker, request)
            finally:
                self._request = None

        def streamed(worker: server.WorkerServer, reply: Reply) -> None:
            self._report(reply, lambda: stream(worker, reply))

        server.WorkerServer._answer = handled  # type: ignore[method-assign, assignment]
        server.WorkerServer.stream = streamed  # type: ignore[method-assign, assignment]

    def _report(self, reply: Reply, stream: Callable[[], None]) -> None:
        if not isinstance(reply, Checkpoint):
            stream()
            return
        # In service REPORT_S is far longer than a commit takes: two checkpoints never overlap.
        if not self._reports:
            self._journaled_before = self._trace.count("after", JOURNALED)
        while self._trace.count("after", JOURNALED) < self._journaled_before + self._reports:
            time.sleep(POLL_S)
        self._reports += 1
        size_bytes = len(reply.digests) // DIGEST_BYTES * BLOCK_BYTES
        with self._counted(CHECKPOINT, size_bytes):
            stream()

    def _counted_call(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*values: Any, **named: Any) -> object:  # noqa: ANN401  as the call has them
            if self._request is None or (name == "open" and not values[1] & os.O_CREAT):
                return call(*values, **named)
            where = self._folder_of(named.get("dst_dir_fd", named.get("dir_fd", values[0])))
            if where not in FOLDERS:
                return call(*values, **named)
            size_bytes = len(values[1]) if name == "pwrite" else 0
            with self._counted(f"{self._request}: {_call_name(name, values)} {where}", size_bytes):
                if where == "nas" and name in self._refused:
                    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
                return call(*values, **named)

        return counted

    @contextmanager
    def _counted(self, name: str, size_bytes: int) -> Iterator[None]:
        self._trace.record("before", name, size_bytes, on_kill=self._save_snapshot)
        try:
            yield
        finally:
            self._trace.record("after", name, size_bytes, on_kill=self._save_snapshot)

    def _folder_of(self, where: int | str) -> str:
        """The name of the run's folder that a descriptor or path is in."""
        path = Path(f"/proc/self/fd/{where}").readlink() if isinstance(where, int) else Path(where)
        parts = path.relative_to(self._folder).parts
        return parts[0] if parts else "run"


def _call_name(name: str, values: tuple[Any, ...]) -> str:
    if name == "fsync":
        return "fsync folder" if Path(f"/proc/self/fd/{values[0]}").is_dir() else "fsync"
    return "create" if name == "open" else name


def count_commits(trace: Trace) -> None:
    """Each write operation is a step. Before: it was executed; after: it was committed."""
    waiting: list[str] = []
    write, transaction = Journal.write, Journal.transaction

    def recorded(journal: Journal, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> object:  # noqa: ANN401  as the journal has it
        name = operation_name(operation)
        if name not in JOURNAL_READS:
            waiting.append(_step_name(name, args))
        return write(journal, operation, *args, **kwargs)

    @contextmanager
    def counted(journal: Journal) -> Iterator[None]:
        with transaction(journal):
            yield
            for name in waiting:
                trace.record("before", name)
        committed = waiting.copy()
        waiting.clear()
        for name in committed:
            trace.record("after", name)

    Journal.write = recorded  # type: ignore[method-assign, assignment]
    Journal.transaction = counted  # type: ignore[method-assign, assignment]


def _step_name(name: str, args: tuple[Any, ...]) -> str:
    is_batch = name in FOR_BATCHES and len(args[0]) > 1
    return f"journal: {name} batch" if is_batch else f"journal: {name}"
