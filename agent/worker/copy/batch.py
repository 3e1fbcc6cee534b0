"""Several small files at once: each step for all of them, so that a device is waited for once, not for each.

The promises are those of one file alone. What turns out not to be plain is declined, and then carried alone.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from typing import TypeVar

import xxhash
from attrs import define, field

from agent.fs import platform
from agent.fs.safe_open import DirSync
from agent.fs.syscalls import closing_fd
from agent.model.errors import Fault, FaultKind
from agent.protocol.replies import Copied, NotBatchable, Published, SourceRemoved
from agent.protocol.requests import CopyFile, PublishFile, RemoveSource
from agent.worker.copy.io_side import IoSideTracker
from agent.worker.copy.publish import publish_file
from agent.worker.copy.reader import read_exactly
from agent.worker.destinations.base import Destination, Partial
from agent.worker.source.remove import remove_source_at
from agent.worker.source.source_file import check_unchanged_at, open_at, source_fault
from agent.worker.source.source_folder import open_root, root_fault

Moving = Callable[[], None]
T = TypeVar("T")
R = TypeVar("R")


def copy_batch(
    requests: Sequence[CopyFile], destination: Destination, moving: Moving, whereabouts: IoSideTracker
) -> tuple[Copied | NotBatchable | Fault, ...]:
    """Copy and verify small files of one source, none of which was begun before, into their partials.

    `moving` hears from any thread whenever something has; `whereabouts` tells on which side this one is.

    Raises:
        Fault: SOURCE_OUTAGE. DESTINATION: their names may not outlast a power cut.
    """
    with whereabouts.at_source():
        folder = open_root(requests[0].source)
    with closing_fd(folder), destination.durable_together(), ExitStack() as ending:
        copies = [SmallFileCopy(request, folder, destination) for request in requests]
        for copy in copies:
            ending.callback(copy.close)
        with whereabouts.at_source():
            there = BatchRunner(calls_at_once(folder), moving)
            there.run_step(copies, SmallFileCopy.open)
            there.run_step(copies, SmallFileCopy.read)
        here = BatchRunner(destination.calls_at_once, moving)
        for step in (SmallFileCopy.write, SmallFileCopy.store, SmallFileCopy.compare):
            here.run_step(copies, step)
    return tuple(copy.outcome for copy in copies)


def publish_batch(
    requests: Sequence[PublishFile], destination: Destination, moving: Moving
) -> tuple[Published | Fault, ...]:
    """Give each verified partial its name, or the first free one. Raises: Fault: as `copy_batch`."""

    def publish(request: PublishFile) -> Published:
        return publish_file(request, destination, lambda _: moving())

    with destination.durable_together():
        return BatchRunner(destination.calls_at_once, moving).run_each(requests, publish)


def remove_batch(
    root: str, requests: Sequence[RemoveSource], moving: Moving
) -> tuple[SourceRemoved | Fault, ...]:
    """Let go of delivered sources below this root.

    Raises:
        Fault: SOURCE: the removal of some of them may not outlast a power cut; SOURCE_OUTAGE.
    """

    def settle(ways: DirSync, request: RemoveSource) -> SourceRemoved:
        after, archive = request.after, request.archive
        return SourceRemoved(remove_source_at(ways, request.path, request.signature, after, archive))

    with closing_fd(open_root(root)) as folder:
        ways = DirSync(folder)
        try:
            with ways.batched():
                return BatchRunner(calls_at_once(folder), moving).run_each(requests, partial(settle, ways))
        except OSError as error:
            raise source_fault(error) from error


def calls_at_once(source: int) -> int:
    """Raises: Fault: SOURCE_OUTAGE."""
    try:
        return platform.calls_at_once(source)
    except OSError as error:
        raise root_fault(error) from error


@define
class BatchRunner:
    """Takes files through a step, `_size` of them side by side; a fault is that file's alone."""

    _size: int
    _moving: Moving

    def run_step(self, copies: Sequence["SmallFileCopy"], step: Callable[["SmallFileCopy"], None]) -> None:
        """One step further with those that still go on."""
        going_on = [copy for copy in copies if copy.is_active]
        for copy, outcome in zip(going_on, self.run_each(going_on, step), strict=True):
            if isinstance(outcome, Fault):
                copy.outcome, copy.is_active = outcome, False

    def run_each(self, items: Sequence[T], work: Callable[[T], R]) -> tuple[R | Fault, ...]:
        def attempt(item: T) -> R | Fault:
            try:
                return work(item)
            except Fault as fault:
                return fault
            finally:
                self._moving()

        if self._size == 1:
            return tuple(map(attempt, items))
        with ThreadPoolExecutor(self._size) as pool:
            return tuple(pool.map(attempt, items))


@define(eq=False)
class SmallFileCopy:
    """One of them, all of it in memory. It `is_active` until a step has decided its `outcome`."""

    request: CopyFile
    folder: int
    destination: Destination
    outcome: Copied | NotBatchable | Fault = field(factory=NotBatchable, init=False)
    is_active: bool = field(default=True, init=False)
    _source: int = field(init=False)
    _partial: Partial = field(init=False)
    _data: bytes = field(init=False)
    _repaired_blocks: int = field(default=0, init=False)
    _at_source: ExitStack = field(factory=ExitStack, init=False)
    _at_destination: ExitStack = field(factory=ExitStack, init=False)

    def open(self) -> None:
        request = self.request
        self._source = open_at(self.folder, request.path, request.signature)
        self._at_source.callback(os.close, self._source)
        platform.read_ahead(self._source, request.signature.size_bytes)

    def read(self) -> None:
        request = self.request
        self._data = read_exactly(self._source, 0, request.signature.size_bytes)
        check_unchanged_at(self.folder, request.path, self._source, request.signature)
        self._at_source.close()

    def write(self) -> None:
        request = self.request
        size_bytes = request.signature.size_bytes
        exact = self.destination.allocate_partial(request.partial, request.name, size_bytes, request.conflict)
        if exact != request.partial or self.destination.exists(request.name):
            self.is_active = False
            return
        self._partial = self.destination.open_partial(exact)
        self._at_destination.callback(self._partial.close)
        self._partial.truncate(0)
        self._partial.write(0, [self._data])

    def store(self) -> None:
        self._partial.finalize(self.request.signature.mtime_ns)

    def compare(self) -> None:
        verify = self.request.verify
        if verify == "read_back" and not self._partial.matches(0, [self._data]):
            self._repair()
        if (arrived_bytes := self._partial.size_bytes) != len(self._data):
            raise Fault(FaultKind.CORRUPT, f"{arrived_bytes} bytes arrived instead of {len(self._data)}")
        self._partial.fsync_parents()
        level = self._partial.level(verify)
        self._at_destination.close()  # some only tell now that they could not store it
        digest = xxhash.xxh3_128_digest(self._data)
        self.outcome = Copied(digest, level, len(self._data), 0, self._repaired_blocks)

    def close(self) -> None:
        with suppress(Fault):  # what it ended with is known
            self._at_destination.close()
        self._at_source.close()

    def _repair(self) -> None:
        self._partial.write(0, [self._data])
        self.store()
        if not self._partial.matches(0, [self._data]):
            raise Fault(FaultKind.CORRUPT, f"its {len(self._data)} bytes read back altered, twice")
        self._repaired_blocks = 1
