"""Blocks on their way into a partial: written, flushed, read back and compared, a window at a time.

While one window is read from the source, the one before it is written and the one before that is flushed,
dropped from the cache, read back and compared. What a checkpoint names is therefore durable and verified.
"""

import enum
import math
import time
from collections.abc import Callable, Iterator

from attrs import define, field, frozen

from agent.model.errors import Fault, FaultKind
from agent.model.verification import BLOCK_BYTES
from agent.protocol.replies import BlockPatched, Checkpoint, Copying, TrustedBlocks
from agent.protocol.requests import VerifyMode
from agent.worker.copy.io_side import IoSideTracker
from agent.worker.copy.threads import InlineStage, PipelineThread
from agent.worker.destinations.base import Partial

WINDOW_BLOCKS = 8  # about 7 windows are in memory at a time
REPORT_S = 0.25

Report = Callable[[Copying | Checkpoint | BlockPatched | TrustedBlocks], None]


class BlockAction(enum.Enum):
    """The work that a block needs at the destination, the most first."""

    WRITE = "write"
    CHECK = "check"  # it should be there already: read it back, and write it if it is not
    NOTHING = "nothing"  # it is there


@frozen
class Block:
    """One block of the source, the last one of the file perhaps shorter."""

    number: int
    data: bytes
    digest: bytes
    action: BlockAction = BlockAction.WRITE

    @property
    def offset(self) -> int:
        return self.number * BLOCK_BYTES

    @property
    def end(self) -> int:
        return self.offset + len(self.data)

    @property
    def is_whole(self) -> bool:
        return len(self.data) == BLOCK_BYTES


Window = list[Block]  # consecutive blocks, at least one


@define
class CopyProgress:
    """Progress of one copy; each field is written by one stage alone.

    `resumed_bytes` were at the destination before; `patched_blocks` had other content there.
    """

    report: Report
    io_side: IoSideTracker = field(factory=IoSideTracker)
    copied_bytes: int = 0
    verified_bytes: int = 0
    read_bytes: int = 0
    resumed_bytes: int = 0
    patched_blocks: int = 0
    repaired_blocks: int = 0
    _reported: tuple[int, int] = (0, 0)
    _report_s: float = -math.inf

    def report_if_due(self) -> None:
        """Report, at most every `REPORT_S`, and only when there is something new: no report means a stall."""
        now_s = time.monotonic()
        figures = (self.copied_bytes, self.verified_bytes)
        if figures != self._reported and now_s - self._report_s >= REPORT_S:
            self._reported, self._report_s = figures, now_s
            self.report(Copying(*figures))

    def report_moved(self) -> None:
        """Report a block that has moved without a new figure, at most every `REPORT_S`."""
        now_s = time.monotonic()
        if now_s - self._report_s >= REPORT_S:
            self._report_s = now_s
            self.report_alive()

    def report_alive(self) -> None:
        """Report although nothing has moved: the copy pauses on purpose and is no stall."""
        self.report(Copying(self.copied_bytes, self.verified_bytes))


@define
class Pipeline:
    """Two threads behind the reader of the source, none for a `single` window.

    `known_blocks`: so many digests are in the journal.
    """

    partial: Partial
    verify: VerifyMode
    progress: CopyProgress
    known_blocks: int
    single: bool = False
    _writing: PipelineThread[Window] | InlineStage[Window] = field(init=False)
    _verifying: PipelineThread[Window] | InlineStage[Window] = field(init=False)
    _unreported: list[bytes] = field(factory=list, init=False)
    _checkpoint_s: float = field(default=-math.inf, init=False)

    def __attrs_post_init__(self) -> None:
        stage = InlineStage if self.single else PipelineThread
        self._verifying = stage(self._verify)
        self._writing = stage(self._write)
        self.progress.io_side.set_stages(self._writing, self._verifying)

    @property
    def is_busy(self) -> bool:
        return self._writing.is_busy or self._verifying.is_busy

    @property
    def has_failed(self) -> bool:
        return self._writing.error is not None or self._verifying.error is not None

    def put(self, window: Window) -> None:
        self._writing.put(window)

    def finish(self) -> None:
        """Process all windows that were put, and report what was verified, also after a failure."""
        self._writing.finish()
        self._verifying.finish()
        self.checkpoint()

    def raise_failure(self) -> None:
        """Raises: Fault: DESTINATION, REFUSED or CORRUPT, if a stage met it."""
        failure = self._writing.error or self._verifying.error
        if failure is not None:
            raise failure

    def checkpoint(self) -> None:
        """Report the verified blocks that were not reported yet. While `is_busy` only the stage may."""
        self._checkpoint_s = time.monotonic()
        if self._unreported:
            self.partial.fsync_parents()
            past_cache = self.partial.level(self.verify) != "read_back_cached"
            self.progress.report(Checkpoint(self.known_blocks, b"".join(self._unreported), past_cache))
            self.known_blocks += len(self._unreported)
            self._unreported = []

    def _write(self, window: Window) -> None:
        for group in self._groups(window):
            if group[0].action is BlockAction.WRITE:
                self._write_group(group)
            self.progress.copied_bytes = max(self.progress.copied_bytes, group[-1].end)
            self.progress.report_if_due()
        self._verifying.put(window)

    def _groups(self, window: Window) -> Iterator[Window]:
        first = 0
        while first < len(window):
            after = first + self.partial.write_group(window[first].number).stop - window[first].number
            yield window[first:after]
            first = after

    def _write_group(self, group: Window) -> None:
        self.partial.write(group[0].offset, [block.data for block in group])

    def _verify(self, window: Window) -> None:
        groups = list(self._groups(window))
        to_check = [group for group in groups if group[0].action is BlockAction.CHECK]
        stale = [group for group in to_check if not self._matches(group)]
        for group in stale:
            self._write_group(group)
        fresh = [group for group in groups if group[0].action is BlockAction.WRITE] + stale
        if fresh:
            self.partial.flush(window[-1].end)
        if self.verify == "read_back" and self.partial.is_readable:
            for group in fresh:
                self._verify_group(group)
        self.progress.verified_bytes = max(self.progress.verified_bytes, window[-1].end)
        self.progress.report_if_due()
        self._record(window)
        if time.monotonic() - self._checkpoint_s >= REPORT_S:
            self.checkpoint()

    def _record(self, window: Window) -> None:
        """Only whole blocks are worth resuming from; a short last one is copied again."""
        for block in window:
            if block.number >= self.known_blocks + len(self._unreported):
                if block.is_whole:
                    self._unreported.append(block.digest)
            elif block.action is BlockAction.WRITE:
                self.progress.patched_blocks += 1
                self.progress.report(BlockPatched(block.number, block.digest))

    def _verify_group(self, group: Window) -> None:
        if self._matches(group):
            return
        self._write_group(group)
        self.partial.flush(group[-1].end)
        if not self._matches(group):
            where = f"bytes {group[0].offset} to {group[-1].end - 1}"
            raise Fault(FaultKind.CORRUPT, f"block {group[0].number} ({where}) reads back altered, twice")
        self.progress.repaired_blocks += 1

    def _matches(self, group: Window) -> bool:
        is_equal = self.partial.matches(group[0].offset, [block.data for block in group])
        self.progress.report_moved()  # slow storage takes longer for a window than a stall may last
        return is_equal
