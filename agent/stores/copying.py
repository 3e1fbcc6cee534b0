"""The copy engine: read and hash, write, flush and read back, each in its own thread, a window at a time.

While one window is read from the source, the one before it is written and the one before that is flushed,
dropped from the cache, read back and compared. What a checkpoint names is therefore durable and verified.
"""

import os
import time
from collections.abc import Callable, Iterator

import xxhash
from attrs import define, field

from agent.faults import Fault, FaultKind, Side, classify
from agent.protocol import BLOCK_BYTES, Checkpoint, Copying, Pace, VerifyMode
from agent.rules import pace
from agent.stores.destination import Partial
from agent.stores.stages import Stage
from agent.stores.whereabouts import Whereabouts
from agent.terms import VerifyLevel

WINDOW_BLOCKS = 8  # about 7 windows are in memory at a time
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
    whereabouts: Whereabouts = field(factory=Whereabouts)
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
class Engine:
    """Copies one open source into one partial."""

    source: int
    size_bytes: int
    partial: Partial
    verify: VerifyMode
    pace: Pace
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
        writing: Stage[Window] = Stage(lambda window: self._write(window, verifying))
        self.tally.whereabouts.beside(writing, verifying)
        try:
            for window in self._windows(first_block):
                writing.put(window)
                if writing.error is not None or verifying.error is not None:
                    break
        finally:
            writing.finish()
            verifying.finish()
        self._flush_checkpoint()  # also after a failure: what was verified need not be copied again
        failure = writing.error or verifying.error
        if failure is not None:
            raise failure
        self._check_size()
        return self._content.digest(), self._level()

    def _check_size(self) -> None:
        if (arrived_bytes := self.partial.size_bytes) != self.size_bytes:
            raise Fault(FaultKind.CORRUPT, f"{arrived_bytes} bytes arrived instead of {self.size_bytes}")

    def _level(self) -> VerifyLevel:
        return self.partial.read_back_level if self.verify == "read_back" else self.verify

    def _resume(self, believed: tuple[bytes, ...]) -> int:
        """Read back what an earlier attempt left; how many blocks of it are what the journal says."""
        proven = 0
        for digest in believed[: min(self.partial.size_bytes, self.size_bytes) // BLOCK_BYTES]:
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
        while offset < self.size_bytes:
            began_s = time.monotonic()
            window = self._read_window(offset)
            self.tally.read_bytes += window.end - offset
            yield window
            self._keep_pace(window.end - offset, time.monotonic() - began_s)
            offset = window.end

    def _keep_pace(self, moved_bytes: int, took_s: float) -> None:
        now = time.localtime()
        limit_bytes_s = pace.limit_bytes_s(self.pace, now.tm_hour * 60 + now.tm_min)
        if limit_bytes_s is not None:
            self._wait(moved_bytes / limit_bytes_s - took_s)

    def _wait(self, left_s: float) -> None:
        """Report meanwhile: this silence is meant and no stall."""
        until_s = time.monotonic() + left_s
        while (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, REPORT_S))
            self.tally.report(Copying(self.tally.copied_bytes, self.tally.verified_bytes))

    def _read_window(self, offset: int) -> Window:
        window = Window(offset // BLOCK_BYTES, [], [])
        for _ in range(WINDOW_BLOCKS):
            wanted = min(BLOCK_BYTES, self.size_bytes - offset)
            if not wanted:
                break
            with self.tally.whereabouts.at_source():
                block = read_exactly(self.source, offset, wanted)
            window.blocks.append(block)
            window.digests.append(xxhash.xxh3_128_digest(block))
            self._content.update(block)
            offset += wanted
        return window

    def _write(self, window: Window, verifying: Stage[Window]) -> None:
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
