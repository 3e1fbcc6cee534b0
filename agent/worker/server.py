"""What runs inside a worker process: read a request, work on the storage, stream the replies.

Its one argument is the local file of partial locks (`agent.worker.destinations.partial_locks`).

A frame (`agent.protocol.frames`) to the worker: (the request, the roots that are known:
`agent.fs.root_folders`). From it: (is it the last reply, the reply or Fault). A thread owns standard input,
so that the worker ends with the agent, even in the middle of a copy.
"""

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, assert_never

from attrs import define, evolve, field

from agent.fs import platform, root_folders
from agent.fs.publisher import Publisher
from agent.model.errors import Fault, FaultKind, shortage
from agent.model.source_file import ScannedFile
from agent.protocol.frames import frame, read_frame
from agent.protocol.replies import (
    Blocked,
    CopiedFiles,
    Discarded,
    Examining,
    Finished,
    Heartbeat,
    NamesTaken,
    OrphansFound,
    PathsChanged,
    PublishedFiles,
    RemovedSources,
    Reply,
    RootFound,
    ScanEnd,
    ScanPart,
    SourceHashed,
    SourcePrepared,
    Started,
)
from agent.protocol.requests import (
    CheckSeparateFiles,
    CheckSeparateRoots,
    ConfirmDelivery,
    CopyFile,
    CopySmallFiles,
    DestinationRef,
    DiscardPartial,
    ExamineSource,
    FindDestination,
    FindOrphans,
    FollowFile,
    HashSource,
    ListSource,
    LookUpNames,
    LookUpSource,
    PrepareSource,
    ProbeDestination,
    PublishFiles,
    PutBackSources,
    RemoveEmptyFolders,
    RemoveSources,
    Request,
    ResolveFolder,
    SourceFolder,
    TryArchive,
    TryBucket,
    TryFolder,
    VerifyFile,
    WatchSource,
)
from agent.worker.copy.batch import copy_small_files
from agent.worker.copy.copy_file import copy_file
from agent.worker.copy.hash_source import hash_source
from agent.worker.copy.io_side import IoSideTracker
from agent.worker.copy.publish import publish_files
from agent.worker.copy.separation import check_files, check_roots
from agent.worker.copy.tail import follow_file
from agent.worker.copy.verify import confirm_delivery, verify_file
from agent.worker.destinations import factory
from agent.worker.destinations.base import Destination
from agent.worker.destinations.partial_locks import PartialLocks
from agent.worker.destinations.write_pace import WritePace
from agent.worker.folder_trial import try_archive, try_folder
from agent.worker.source import source_file, source_folder
from agent.worker.source.empty_folders import remove_empty_folders
from agent.worker.source.remove import put_back_sources, remove_sources
from agent.worker.source.scan import examine, list_files
from agent.worker.source.source_file import signature_of
from agent.worker.source.source_folder import resolve_allowed_folder, wait_for

SCAN_PART_FILES = 500  # a long listing comes in parts, so that each shows that the worker is alive
BLOCKED_AFTER_S = 0.2  # after so long without a reply a copy reports the side that it waits for
HEARTBEAT_S = 0.25
EXAMINE_S = 2.0  # then other requests have their turn


@define
class WorkerServer:
    """Serves one request after the other; replies may come from any of its threads."""

    _output: BinaryIO
    _partial_locks: PartialLocks
    _publisher: Publisher = field(factory=Publisher)
    _paces: dict[str, WritePace] = field(factory=dict, init=False)  # by the root of the destination
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _io_side: IoSideTracker | None = field(default=None, init=False)
    _sent_s: float = field(default=0.0, init=False)

    def serve(self, request: Request) -> None:
        try:
            last: Reply | Fault = self._answer(request)
        except Fault as fault:
            last = fault
        except Exception as error:  # noqa: BLE001  a bug here must not look like a dead worker
            last = shortage(error) or Fault(FaultKind.WORKER, f"{type(error).__name__}: {error}")
        self._send(last, is_last=True)

    def stream(self, reply: Reply) -> None:
        self._send(reply, is_last=False)

    def report_root(self, path: str, real_path: str) -> None:
        self.stream(RootFound(path, real_path))

    def heartbeat(self) -> None:
        """Bytes are on their way; called from any thread, sent at most every `HEARTBEAT_S`."""
        if time.monotonic() - self._sent_s >= HEARTBEAT_S:
            self.stream(Heartbeat())

    def report_blocked_side(self) -> None:
        """For ever, for a thread of its own: report the side that a copy waits for in which nothing moves."""
        while True:
            time.sleep(BLOCKED_AFTER_S)
            self.report_if_blocked(time.monotonic())

    def report_if_blocked(self, now_s: float) -> None:
        with self._lock:
            if self._io_side is not None and now_s - self._sent_s >= BLOCKED_AFTER_S:
                self._write(Blocked(self._io_side.side()), is_last=False)

    def _send(self, reply: Reply | Fault, *, is_last: bool) -> None:
        with self._lock:
            if is_last:
                self._io_side = None  # under the lock: nothing may follow the last reply
            self._sent_s = time.monotonic()
            self._write(reply, is_last=is_last)

    def _write(self, reply: Reply | Fault, *, is_last: bool) -> None:
        try:
            self._output.write(frame((is_last, reply)))
            self._output.flush()
        except BrokenPipeError:
            os._exit(0)  # the agent has gone while we were stuck

    def _answer(self, request: Request) -> Reply:  # noqa: C901, PLR0911, PLR0912  one line per request
        match request:
            case PrepareSource(root):
                return SourcePrepared(source_folder.prepare(root))
            case ListSource(folder):
                return self._list(folder)
            case ExamineSource():
                return self._examine(request)
            case WatchSource(root):
                return self._listen(root)
            case ProbeDestination():
                return factory.probe(request, self.heartbeat)
            case FindDestination():
                return factory.find(request, self.heartbeat)
            case CopyFile() | FollowFile() | CopySmallFiles() | CheckSeparateRoots() | CheckSeparateFiles():
                return self._work_on_both_sides(request)
            case PublishFiles(destination=ref, files=files):
                with self._locked(ref, [file.partial for file in files]) as destination:
                    return PublishedFiles(publish_files(request, destination, self.heartbeat))
            case RemoveSources():
                return RemovedSources(remove_sources(request, self._publisher, self.heartbeat))
            case PutBackSources():
                return put_back_sources(request, self._publisher, self.heartbeat)
            case RemoveEmptyFolders():
                return remove_empty_folders(request, self.heartbeat)
            case VerifyFile(destination=ref):
                with self._destination(ref) as destination:
                    return verify_file(request, destination, self.stream)
            case ConfirmDelivery(file):
                with self._destination(file.destination) as destination:
                    return confirm_delivery(file, destination, self.stream)
            case DiscardPartial(ref, partial):
                with self._destination(ref) as destination:
                    return Discarded(destination.discard(partial))
            case FindOrphans(ref, identity, deep):
                with self._destination(ref) as destination:
                    for paths in destination.find_orphans(identity, deep=deep):
                        self.stream(OrphansFound(paths))
                return Finished()
            case TryFolder():
                return try_folder(request)
            case TryArchive():
                return try_archive(request)
            case TryBucket():
                return factory.try_bucket(request, self.heartbeat)
            case LookUpNames(ref, names):
                with self._destination(ref) as destination:
                    return NamesTaken(tuple(filter(destination.exists, names)))
            case HashSource(root, path, signature):
                return SourceHashed(hash_source(root, path, signature, self.heartbeat))
            case LookUpSource(root, path, private_path, mount):
                return source_file.look_up(root, path, private_path, mount)
            case ResolveFolder(path, roots):
                return resolve_allowed_folder(path, roots)
            case _ as never:
                assert_never(never)

    def _work_on_both_sides(
        self, request: CopyFile | FollowFile | CopySmallFiles | CheckSeparateRoots | CheckSeparateFiles
    ) -> Reply:
        """While nothing moves, the side that it waits for is reported."""
        self._io_side = io_side = IoSideTracker()
        match request:
            case CopyFile(destination=ref, partial=partial):
                with self._locked(ref, [partial]) as destination:
                    return copy_file(request, destination, self.stream, io_side)
            case FollowFile(destination=ref, partial=partial):
                with self._locked(ref, [partial]) as destination:
                    return follow_file(request, destination, self.stream, io_side)
            case CopySmallFiles(files):
                with self._locked(files[0].destination, [file.partial for file in files]) as destination:
                    return CopiedFiles(copy_small_files(request, destination, self.heartbeat, io_side))
            case CheckSeparateRoots(destination=ref):
                with self._destination(ref) as destination:
                    check_roots(request, destination, io_side)
            case CheckSeparateFiles(destination=ref):
                with self._destination(ref) as destination:
                    check_files(request, destination, io_side)
            case _ as never:
                assert_never(never)
        return Finished()

    def _destination(self, ref: DestinationRef) -> AbstractContextManager[Destination]:
        pace = self._paces.setdefault(ref.root, WritePace())
        return factory.destination(ref, self._publisher, pace, self.heartbeat)

    @contextmanager
    def _locked(self, ref: DestinationRef, partials: Sequence[str]) -> Iterator[Destination]:
        """The destination, with the sole right to work on these partials."""
        with self._partial_locks.all_locked(ref.root, partials), self._destination(ref) as destination:
            yield destination

    def _list(self, folder: SourceFolder) -> ScanEnd:
        source_folder.status(folder.root, folder.mount)
        unreadable: list[tuple[str, str]] = []
        private_paths: list[str] = []
        part = []
        for entry in list_files(folder, unreadable, private_paths, self.heartbeat):
            part.append(entry)
            if len(part) == SCAN_PART_FILES:
                self.stream(ScanPart(tuple(part)))
                part = []
        return evolve(_scan_end(folder, tuple(part), unreadable), private_paths=tuple(private_paths))

    def _examine(self, request: ExamineSource) -> ScanEnd:
        """Examine some of the files; each is named first, so that the one that hangs is known."""
        folder, paths, until_s = request.source, request.paths, time.monotonic() + EXAMINE_S
        source_folder.status(folder.root, folder.mount)
        entries: list[ScannedFile] = []
        unreadable: list[tuple[str, str]] = []
        begun = 0

        def in_time() -> Iterator[str]:
            nonlocal begun
            for path in paths:
                if begun > 0 and time.monotonic() >= until_s:
                    return
                self.stream(Examining(path, tuple(entries), tuple(unreadable)))
                entries.clear()
                unreadable.clear()
                begun += 1
                yield path

        for entry in examine(folder, in_time(), request.closely, unreadable, self.heartbeat):
            entries.append(entry)  # noqa: PERF402  it is emptied meanwhile
        return evolve(_scan_end(folder, tuple(entries), unreadable), left=paths[begun:])

    def _listen(self, root: str) -> Finished:
        from agent.worker.source.events import watch_source  # noqa: PLC0415  one worker of a route listens

        wait_for(root)
        with watch_source(root) as events:
            while events.active:
                paths = events.wait(None)
                if paths is not None:
                    found = events.take_closed().items()
                    closed = tuple(ScannedFile(path, signature_of(status)) for path, status in found)
                    self.stream(PathsChanged(paths, events.overflowed, events.complete, closed))
        return Finished()


def _scan_end(
    folder: SourceFolder, entries: tuple[ScannedFile, ...], unreadable: Sequence[tuple[str, str]]
) -> ScanEnd:
    """The end of a scan, if the source is still mounted: else what was not found may be there."""
    status = source_folder.status(folder.root, folder.mount)
    return ScanEnd(
        entries,
        tuple(unreadable),
        status.free_bytes,
        mount_point=status.mount_point,
        may_remove=status.may_remove,
    )


def _read_requests(requests: "queue.Queue[tuple[Request, dict[str, str]]]") -> None:
    try:
        while (request := read_frame(sys.stdin.buffer)) is not None:
            requests.put(request)  # type: ignore[arg-type]
    finally:
        os._exit(0)  # the agent is gone, or wants us gone


def main() -> None:
    # A terminal's Ctrl-C or hang-up and a supervisor's TERM reach the whole group; the agent alone decides.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    platform.prepare_process()
    requests: queue.Queue[tuple[Request, dict[str, str]]] = queue.Queue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()
    server = WorkerServer(sys.stdout.buffer, PartialLocks(sys.argv[1]))
    server.stream(Started())
    threading.Thread(target=server.report_blocked_side, daemon=True).start()
    while True:
        request, roots = requests.get()
        root_folders.begin(roots, server.report_root)
        server.serve(request)


if __name__ == "__main__":
    main()
