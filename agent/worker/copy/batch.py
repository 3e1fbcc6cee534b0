"""Copy small files whole: each step for all of them, so that their waits for a device overlap.

The promises are those of `copy_file`. A file that needs more than the plain steps is left to it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import xxhash
from attrs import define, field

from agent.fs import platform
from agent.fs.syscalls import close_unwritten, closing_fd
from agent.model.errors import Fault, FaultKind
from agent.model.source_file import WriterState
from agent.protocol.replies import Copied, NotBatchable, SmallFileResult, Unfinished
from agent.protocol.requests import CopyFile, CopySmallFiles
from agent.worker.copy.io_side import IoSideTracker
from agent.worker.copy.reader import read_exactly
from agent.worker.copy.room import make_room
from agent.worker.copy.unfinished import unless_unfinished
from agent.worker.destinations.base import Destination, Partial
from agent.worker.for_each import for_each
from agent.worker.source.finish_evidence import content_evidence
from agent.worker.source.source_file import check_unchanged_at, open_at
from agent.worker.source.source_folder import calls_at_once, open_root, root_fault

Heartbeat = Callable[[], None]


def copy_small_files(
    request: CopySmallFiles, destination: Destination, heartbeat: Heartbeat, io_side: IoSideTracker
) -> tuple[SmallFileResult, ...]:
    """Copy and verify these files into their partials.

    `io_side` shows another thread on which side this one waits.

    Raises:
        Fault: SOURCE_OUTAGE. DESTINATION: the names of the partials may not outlast a power cut.
    """
    with io_side.at_source():
        folder = open_root(request.files[0].source)
    with closing_fd(folder), destination.durable_together(), ExitStack() as ending:
        copies = [SmallFileCopy(file, folder, destination) for file in request.files]
        for copy in copies:
            ending.callback(copy.close)
        with io_side.at_source():
            at_once = calls_at_once(folder)
            _run_step(copies, SmallFileCopy.open, at_once, heartbeat)
            _look_for_writers(copies)
            _run_step(copies, SmallFileCopy.read, at_once, heartbeat)
        for step in (SmallFileCopy.write, SmallFileCopy.store, SmallFileCopy.compare):
            _run_step(copies, step, destination.calls_at_once, heartbeat)
    return tuple(copy.outcome for copy in copies)


def _run_step(
    copies: "Sequence[SmallFileCopy]",
    step: "Callable[[SmallFileCopy], None]",
    at_once: int,
    heartbeat: Heartbeat,
) -> None:
    """One step for those that are still active."""
    active = [copy for copy in copies if copy.is_active]
    for copy, outcome in zip(active, for_each(active, step, at_once, heartbeat), strict=True):
        if isinstance(outcome, Fault):
            copy.end(unless_unfinished(copy.request, outcome))


def _look_for_writers(copies: "Sequence[SmallFileCopy]") -> None:
    """Of the files that were not examined before; in one search for those on one file system."""
    by_device = defaultdict(list)
    for copy in copies:
        if copy.is_active and copy.request.finish_rule is not None:
            by_device[copy.request.signature.device].append(copy)
    for group in by_device.values():
        try:
            writers = platform.open_writers([copy.source for copy in group])
        except OSError as error:
            raise root_fault(error) from error
        for copy, writer in zip(group, writers, strict=True):
            copy.writer = writer


@define(eq=False)
class SmallFileCopy:
    """One small file, whole in memory. It `is_active` until a step has decided its `outcome`."""

    request: CopyFile
    folder: int
    destination: Destination
    outcome: SmallFileResult = field(factory=NotBatchable, init=False)
    is_active: bool = field(default=True, init=False)
    source: int = field(init=False)
    writer: WriterState = field(default=WriterState.UNKNOWN, init=False)
    _partial: Partial = field(init=False)
    _data: bytes = field(init=False)
    _is_time_set: bool = field(default=True, init=False)
    _repaired_blocks: int = field(default=0, init=False)
    _at_source: ExitStack = field(factory=ExitStack, init=False)
    _at_destination: ExitStack = field(factory=ExitStack, init=False)

    def end(self, outcome: SmallFileResult) -> None:
        self.outcome, self.is_active = outcome, False

    def open(self) -> None:
        request = self.request
        self.source = open_at(self.folder, request.path, request.signature)
        self._at_source.callback(close_unwritten, self.source)
        platform.read_ahead(self.source, request.signature.size_bytes)

    def read(self) -> None:
        request = self.request
        self._data = read_exactly(self.source, 0, request.signature.size_bytes)
        check_unchanged_at(self.folder, request.path, self.source, request.signature)
        self._at_source.close()
        rule = request.finish_rule
        if rule is not None:
            evidence = content_evidence(self._data, self.writer)
            if not rule.allows(evidence):
                self.end(Unfinished(evidence))

    def write(self) -> None:
        request = self.request
        size_bytes = request.signature.size_bytes
        exact = self.destination.allocate_partial(request.partial, request.name, size_bytes, request.conflict)
        if exact != request.partial or self.destination.exists(request.name):
            self.is_active = False
            return
        try:
            self._partial = self.destination.open_partial(exact)
        except Fault as fault:
            if fault.kind is not FaultKind.DISPLACED:
                raise
            self.is_active = False
            return
        self._at_destination.callback(self._partial.close)
        with self._leaving_room():
            self._partial.truncate(0)
            self._partial.write(0, [self._data])

    def store(self) -> None:
        with self._leaving_room():
            self._is_time_set = self._partial.finalize(self.request.signature.mtime_ns)

    @contextmanager
    def _leaving_room(self) -> Iterator[None]:
        try:
            yield
        except Fault as fault:
            make_room(self._partial, fault, known_blocks=0)
            raise

    def compare(self) -> None:
        verify = self.request.verify
        if verify == "read_back" and not self._partial.matches(0, [self._data]):
            self._repair()
        if (arrived_bytes := self._partial.size_bytes) != len(self._data):
            raise Fault(FaultKind.CORRUPT, f"{arrived_bytes} bytes arrived instead of {len(self._data)}")
        self._partial.fsync_parents()
        level, file_identity = self._partial.level(verify), self._partial.file_identity
        self._at_destination.close()  # some mounts report only now that they could not store it
        digest = xxhash.xxh3_128_digest(self._data)
        self.outcome = Copied(
            digest,
            level,
            len(self._data),
            0,
            self._repaired_blocks,
            file_identity=file_identity,
            is_time_set=self._is_time_set,
        )

    def close(self) -> None:
        with suppress(Fault):  # its outcome is known already
            self._at_destination.close()
        self._at_source.close()

    def _repair(self) -> None:
        self._partial.write(0, [self._data])
        self.store()
        if not self._partial.matches(0, [self._data]):
            raise Fault(FaultKind.CORRUPT, f"its {len(self._data)} bytes read back altered, twice")
        self._repaired_blocks = 1
