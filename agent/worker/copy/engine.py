"""The copy engine: a whole file, from wherever an earlier attempt got to."""

import time
from collections.abc import Iterator

import xxhash
from attrs import define, field

from agent.model.errors import Fault, FaultKind
from agent.model.verification import BLOCK_BYTES, VerifyLevel
from agent.protocol.requests import Bandwidth, VerifyMode
from agent.worker.copy import pipeline
from agent.worker.copy.hash_source import drop_stale_cache
from agent.worker.copy.pipeline import BlockAction, CopyProgress, Pipeline, Window
from agent.worker.copy.reader import BlockReader, clamp_trusted
from agent.worker.copy.room import make_room
from agent.worker.destinations.base import Partial


@define
class CopyEngine:
    """Copies one open source into one partial."""

    source: int
    size_bytes: int
    partial: Partial
    verify: VerifyMode
    bandwidth: Bandwidth
    progress: CopyProgress
    _content: "xxhash.xxh3_128" = field(factory=xxhash.xxh3_128, init=False)

    def copy(self, journaled: tuple[bytes, ...]) -> tuple[bytes, VerifyLevel]:
        """Copy from the first block that is not at the destination yet.

        `journaled`: the digests of this source's first blocks, as far as they were copied before.

        Returns the xxh3_128 digest of the whole content and the level of verification that was reached.

        Raises:
            Fault: SOURCE, SOURCE_OUTAGE, SOURCE_CHANGED, DESTINATION, REFUSED or CORRUPT.
        """
        if not self.partial.is_readable:
            return self.reconcile(journaled, 0)
        first_block = self._resume(journaled)
        reader = BlockReader(self.source, self.progress, self.bandwidth, self.partial)
        return self._transfer(reader, first_block, first_block)

    def reconcile(self, journaled: tuple[bytes, ...], trusted: int) -> tuple[bytes, VerifyLevel]:
        """Copy a source that has changed since the digests were taken; blocks that are still the same stay.

        Every block of the source is read and compared. `trusted`: so many of the journaled blocks are known
        to be at the destination; the others are read back.

        Returns and raises as `copy`.
        """
        drop_stale_cache(self.source, self.size_bytes)
        journaled = journaled[: self.size_bytes // BLOCK_BYTES]
        if self.partial.size_bytes > self.size_bytes:
            self.partial.truncate(self.size_bytes)
        trusted = clamp_trusted(self.partial, trusted)
        reader = BlockReader(self.source, self.progress, self.bandwidth, self.partial, journaled, trusted)
        return self._transfer(reader, 0, len(journaled))

    def _transfer(
        self, reader: BlockReader, first_block: int, known_blocks: int
    ) -> tuple[bytes, VerifyLevel]:
        is_single = self.size_bytes <= pipeline.WINDOW_BLOCKS * BLOCK_BYTES
        pipe = Pipeline(self.partial, self.verify, self.progress, known_blocks, is_single)
        try:
            for window in self._windows(reader, first_block):
                pipe.put(window)
                if pipe.has_failed:
                    break
        finally:
            pipe.finish()
        try:
            pipe.raise_failure()
        except Fault as fault:
            make_room(self.partial, fault, pipe.known_blocks)
            raise
        self._check_size()
        return self._content.digest(), self.partial.level(self.verify)

    def _check_size(self) -> None:
        if (arrived_bytes := self.partial.size_bytes) != self.size_bytes:
            raise Fault(FaultKind.CORRUPT, f"{arrived_bytes} bytes arrived instead of {self.size_bytes}")

    def _resume(self, journaled: tuple[bytes, ...]) -> int:
        """Read back the blocks of an earlier attempt. Returns how many are as the journal has them."""
        intact = 0
        for digest in journaled[: min(self.partial.size_bytes, self.size_bytes) // BLOCK_BYTES]:
            data = self.partial.read_back(intact * BLOCK_BYTES, BLOCK_BYTES)
            if len(data) != BLOCK_BYTES or xxhash.xxh3_128_digest(data) != digest:
                break
            self._content.update(data)
            intact += 1
            self.progress.copied_bytes = self.progress.verified_bytes = intact * BLOCK_BYTES
            self.progress.resumed_bytes = intact * BLOCK_BYTES
            self.progress.report_if_due()
        self.partial.truncate(intact * BLOCK_BYTES)
        return intact

    def _windows(self, reader: BlockReader, first_block: int) -> Iterator[Window]:
        began_s = time.monotonic()
        while window := reader.window(first_block, self.size_bytes):
            for block in window:
                self._content.update(block.data)
            yield window
            written_bytes = sum(len(block.data) for block in window if block.action is BlockAction.WRITE)
            reader.throttle(written_bytes, time.monotonic() - began_s)
            first_block, began_s = window[-1].number + 1, time.monotonic()
