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
from agent.model.transfer import BLOCK_BYTES
from agent.protocol.replies import BlockPatched, Checkpoint, Copying, TrustedBlocks
from agent.protocol.requests import VerifyMode
from agent.worker.copy.io_side import IoSideTracker
from agent.worker.copy.threads import InlineStage, PipelineThread
from agent.worker.destinations.base import Partial

WINDOW_BLOCKS = 8  # about 7 windows are in memory at a time
REPORT_S = 0.25

Report = Callable[[Copying | Checkpoint | BlockPatched | TrustedBlocks], None]


class BlockAction(enum.Enum):
    """What a block needs at the destination, the most first."""

    WRITE = "write"
    CHECK = "check"  # it should stand there already: read it back, and write it if it does not
    NOTHING = "nothing"  # it does stand there


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
    """What happened so far; each field is written by one stage alone.

    `kept_bytes` stood at the destination before; `patched_blocks` had other content there.
    """

    report: Report
    io_side: IoSideTracker = field(factory=IoSideTracker)
    copied_bytes: int = 0
    verified_bytes: int = 0
    read_bytes: int = 0
    kept_bytes: int = 0
    patched_blocks: int = 0
    repaired_blocks: int = 0
    _reported: tuple[int, int] = (0, 0)
    _report_s: float = -math.inf

    def report_if_due(self) -> None:
        """Report, at most every `REPORT_S`, and only when there is something new: silence means a stall."""
        now_s = time.monotonic()
        figures = (self.copied_bytes, self.verified_bytes)
        if figures != self._reported and now_s - self._report_s >= REPORT_S:
            self._reported, self._report_s = figures, now_s
            self.report(Copying(*figures))

    def report_alive(self) -> None:
        """Report although nothing has moved: this silence is meant and no stall."""
        self.report(Copying(self.copied_bytes, self.verified_bytes))


@define
class Pipeline:
    """Two threads behind whoever reads the source, none for a `single` window.

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
        """Work off all that was put, and report what was verified, also after a failure."""
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
        for unit in self._units(window):
            if unit[0].action is BlockAction.WRITE:
                self._write_unit(unit)
            self.progress.copied_bytes = max(self.progress.copied_bytes, unit[-1].end)
            self.progress.report_if_due()
        self._verifying.put(window)

    def _units(self, window: Window) -> Iterator[Window]:
        first = 0
        while first < len(window):
            after = first + self.partial.write_group(window[first].number).stop - window[first].number
            yield window[first:after]
            first = after

    def _write_unit(self, unit: Window) -> None:
        self.partial.write(unit[0].offset, [block.data for block in unit])

    def _verify(self, window: Window) -> None:
        units = list(self._units(window))
        stale = [unit for unit in units if unit[0].action is BlockAction.CHECK and not self._matches(unit)]
        for unit in stale:
            self._write_unit(unit)
        fresh = [unit for unit in units if unit[0].action is BlockAction.WRITE] + stale
        if fresh:
            self.partial.flush(window[-1].end)
        if self.verify == "read_back" and self.partial.is_readable:
            for unit in fresh:
                self._verify_unit(unit)
        self.progress.verified_bytes = max(self.progress.verified_bytes, window[-1].end)
        self.progress.report_if_due()
        self._note(window)
        if time.monotonic() - self._checkpoint_s >= REPORT_S:
            self.checkpoint()

    def _note(self, window: Window) -> None:
        """Only whole blocks are worth resuming from; a short last one is copied again."""
        for block in window:
            if block.number >= self.known_blocks + len(self._unreported):
                if block.is_whole:
                    self._unreported.append(block.digest)
            elif block.action is BlockAction.WRITE:
                self.progress.patched_blocks += 1
                self.progress.report(BlockPatched(block.number, block.digest))

    def _verify_unit(self, unit: Window) -> None:
        if self._matches(unit):
            return
        self._write_unit(unit)
        self.partial.flush(unit[-1].end)
        if not self._matches(unit):
            where = f"bytes {unit[0].offset} to {unit[-1].end - 1}"
            raise Fault(FaultKind.CORRUPT, f"block {unit[0].number} ({where}) reads back altered, twice")
        self.progress.repaired_blocks += 1

    def _matches(self, unit: Window) -> bool:
        return self.partial.matches(unit[0].offset, [block.data for block in unit])
