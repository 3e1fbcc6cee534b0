"""The copy engine: read and hash, write, flush and read back, each in its own thread, a window at a time.

While one window is read from the source, the one before it is written and the one before that is flushed,
dropped from the cache, read back and compared. What a checkpoint names is therefore durable and verified.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator

import xxhash
from attrs import define, field

from agent.faults import Fault, FaultKind, Side, classify
from agent.protocol import BLOCK_BYTES, Checkpoint, Copying, VerifyMode
from agent.stores.destination import Partial
from agent.terms import VerifyLevel

WINDOW_BLOCKS = 8
WINDOWS_IN_FLIGHT = 2  # between two stages; bounds the memory of a copy to about 6 windows
REPORT_S = 0.25

Report = Callable[[Copying | Checkpoint], None]


@define
class Window:
    """Consecutive blocks, the last one of the file perhaps shorter, with the digest of each."""

    first_block: int
    blocks: list[bytes]
    digests: list[bytes]

    @property
    def offset(self) -> int:
        return self.first_block * BLOCK_BYTES

    @property
    def end(self) -> int:
        return self.offset + sum(map(len, self.blocks))


@define
class Tally:
    """What happened so far; each field is written by one stage alone."""

    report: Report
    copied_bytes: int = 0
    verified_bytes: int = 0
    read_bytes: int = 0
    repaired_blocks: int = 0
    _reported: tuple[int, int] = (0, 0)
    _report_s: float = 0.0

    def progress(self) -> None:
        """Report, at most every `REPORT_S`, and only when there is something new: silence means a stall."""
        now_s = time.monotonic()
        figures = (self.copied_bytes, self.verified_bytes)
        if figures != self._reported and now_s - self._report_s >= REPORT_S:
            self._reported, self._report_s = figures, now_s
            self.report(Copying(*figures))


@define
class Stage:
    """A thread that works off windows; after a failure it only drains its queue, so nobody waits for it."""

    _work: Callable[[Window], None]
    _windows: "queue.Queue[Window | None]" = field(factory=lambda: queue.Queue(WINDOWS_IN_FLIGHT), init=False)
    _thread: threading.Thread = field(init=False)
    error: BaseException | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, window: Window) -> None:
        self._windows.put(window)

    def finish(self) -> None:
        """Wait until all is worked off. Raises what the stage met."""
        self._windows.put(None)
        self._thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        while (window := self._windows.get()) is not None:
            if self.error is None:
                try:
                    self._work(window)
                except BaseException as error:  # noqa: BLE001  finish() raises it where it is awaited
                    self.error = error


@define
class Engine:
    """Copies one open source into one partial, no faster than `limit_bytes_s` (None: as fast as it goes)."""

    source: int
    size_bytes: int
    partial: Partial
    verify: VerifyMode
    limit_bytes_s: int | None
    tally: Tally
    _content: "xxhash.xxh3_128" = field(factory=xxhash.xxh3_128, init=False)
    _unreported: list[bytes] = field(factory=list, init=False)
    _checkpoint_s: float = field(default=0.0, init=False)
    _checkpointed_blocks: int = field(default=0, init=False)

    def run(self, believed: tuple[bytes, ...]) -> tuple[bytes, VerifyLevel]:
        """Copy from the first block that is not proven to be there already; `believed` are its digests.

        Returns the xxh3_128 digest of the whole content and the level of verification that was reached.

        Raises:
            Fault: SOURCE, DESTINATION, REFUSED or CORRUPT.
        """
        first_block = self._resume(believed)
        self._checkpointed_blocks = first_block
        verifying = Stage(self._verify)
        writing = Stage(lambda window: self._write(window, verifying))
        try:
            for window in self._windows(first_block):
                writing.put(window)
                if writing.error is not None or verifying.error is not None:
                    break
        finally:
            failures = _finish(writing, verifying)
        if failures:
            raise failures[0]
        self._flush_checkpoint()
        return self._content.digest(), self._level()

    def _level(self) -> VerifyLevel:
        return self.partial.read_back_level if self.verify == "read_back" else self.verify

    def _resume(self, believed: tuple[bytes, ...]) -> int:
        """Read back what an earlier attempt left; how many blocks of it are what the journal says."""
        proven = 0
        for digest in believed[: self.partial.size_bytes // BLOCK_BYTES]:
            data = self.partial.read_back(proven * BLOCK_BYTES, BLOCK_BYTES)
            if len(data) != BLOCK_BYTES or xxhash.xxh3_128_digest(data) != digest:
                break
            self._content.update(data)
            proven += 1
            self.tally.copied_bytes = self.tally.verified_bytes = proven * BLOCK_BYTES
            self.tally.progress()
        self.partial.truncate(proven * BLOCK_BYTES)
        return proven

    def _windows(self, first_block: int) -> Iterator[Window]:
        offset = first_block * BLOCK_BYTES
        started_s, started_at = time.monotonic(), offset
        while offset < self.size_bytes:
            window = self._read_window(offset)
            offset = window.end
            self.tally.read_bytes += offset - window.offset
            yield window
            if self.limit_bytes_s is not None:
                ahead_s = (offset - started_at) / self.limit_bytes_s - (time.monotonic() - started_s)
                time.sleep(max(0.0, ahead_s))

    def _read_window(self, offset: int) -> Window:
        window = Window(offset // BLOCK_BYTES, [], [])
        for _ in range(WINDOW_BLOCKS):
            wanted = min(BLOCK_BYTES, self.size_bytes - offset)
            if not wanted:
                break
            block = read_exactly(self.source, offset, wanted)
            window.blocks.append(block)
            window.digests.append(xxhash.xxh3_128_digest(block))
            self._content.update(block)
            offset += wanted
        return window

    def _write(self, window: Window, verifying: Stage) -> None:
        offset = window.offset
        for block in window.blocks:
            self.partial.write(offset, block)
            offset += len(block)
            self.tally.copied_bytes = offset
            self.tally.progress()
        verifying.put(window)

    def _verify(self, window: Window) -> None:
        self.partial.flush()
        if self.verify == "read_back":
            offset = window.offset
            for index, block in enumerate(window.blocks):
                self._verify_block(window.first_block + index, offset, block, window.digests[index])
                offset += len(block)
        self.tally.verified_bytes = window.end
        self.tally.progress()
        self._unreported += window.digests
        if time.monotonic() - self._checkpoint_s >= REPORT_S:
            self._flush_checkpoint()

    def _verify_block(self, number: int, offset: int, block: bytes, digest: bytes) -> None:
        if xxhash.xxh3_128_digest(self.partial.read_back(offset, len(block))) == digest:
            return
        self.partial.write(offset, block)
        self.partial.flush()
        if xxhash.xxh3_128_digest(self.partial.read_back(offset, len(block))) != digest:
            raise Fault(
                FaultKind.CORRUPT,
                f"block {number} (bytes {offset} to {offset + len(block) - 1}) reads back altered, twice",
            )
        self.tally.repaired_blocks += 1

    def _flush_checkpoint(self) -> None:
        """Only whole blocks are worth resuming from; a short last one is copied again."""
        self._checkpoint_s = time.monotonic()
        whole = min(len(self._unreported), self.size_bytes // BLOCK_BYTES - self._checkpointed_blocks)
        if whole > 0:
            self.tally.report(Checkpoint(self._checkpointed_blocks, b"".join(self._unreported[:whole])))
            self._checkpointed_blocks += whole
        self._unreported = self._unreported[whole:]


def _finish(*stages: Stage) -> list[BaseException]:
    failures: list[BaseException] = []
    for stage in stages:
        try:
            stage.finish()
        except BaseException as error:  # noqa: BLE001  the caller raises the first
            failures.append(error)
    return failures


def read_exactly(source: int, offset: int, length: int) -> bytes:
    """Raises: Fault: SOURCE, or SOURCE_CHANGED when the source ends before that."""
    try:
        data = os.pread(source, length, offset)
        while len(data) < length:
            more = os.pread(source, length - len(data), offset + len(data))
            if not more:
                raise Fault(FaultKind.SOURCE_CHANGED, "the source became shorter while it was being copied")
            data += more
    except OSError as error:
        raise classify(error, Side.SOURCE) from error
    return data
