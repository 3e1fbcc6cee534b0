"""Reads a source block by block, no faster than it may."""

import os
import time

import xxhash
from attrs import define, evolve

from agent.model.errors import Fault, FaultKind, Side, classify
from agent.model.verification import BLOCK_BYTES
from agent.protocol.requests import Bandwidth
from agent.worker.copy import bandwidth, pipeline
from agent.worker.copy.pipeline import Block, BlockAction, CopyProgress, Window
from agent.worker.destinations.base import Partial


@define
class BlockReader:
    """One open source, on its way into `partial`.

    `journaled_digests`: of the blocks that should be at the destination; the first `trusted` of them are.
    """

    source: int
    progress: CopyProgress
    bandwidth: Bandwidth
    partial: Partial
    journaled_digests: tuple[bytes, ...] = ()
    trusted: int = 0

    def window(self, first_block: int, size_bytes: int) -> Window:
        """The next blocks below `size_bytes`, in whole write groups.

        Raises:
            Fault: SOURCE, SOURCE_OUTAGE, or SOURCE_CHANGED when the source ends before that.
        """
        window: Window = []
        while len(window) < pipeline.WINDOW_BLOCKS and first_block * BLOCK_BYTES < size_bytes:
            window += self._write_group(first_block, size_bytes)
            first_block = window[-1].number + 1
        return window

    def _write_group(self, first_block: int, size_bytes: int) -> Window:
        """One write group; the most that any of its blocks needs is done with all of them."""
        end = self.partial.write_group(first_block).stop
        blocks = [
            self._block(number, min(BLOCK_BYTES, size_bytes - number * BLOCK_BYTES))
            for number in range(first_block, min(end, -(-size_bytes // BLOCK_BYTES)))
        ]
        actions = {block.action for block in blocks}
        if end * BLOCK_BYTES > size_bytes:  # it may have been longer when it was verified
            actions.add(BlockAction.CHECK)
        action = next(each for each in BlockAction if each in actions)
        if action is not BlockAction.WRITE:
            self.progress.resumed_bytes += sum(len(block.data) for block in blocks)
        return [block if block.action is action else evolve(block, action=action) for block in blocks]

    def _block(self, number: int, length: int) -> Block:
        with self.progress.io_side.at_source():
            data = read_exactly(self.source, number * BLOCK_BYTES, length)
        digest = xxhash.xxh3_128_digest(data)
        self.progress.read_bytes += length
        return Block(number, data, digest, self._action(number, digest))

    def _action(self, number: int, digest: bytes) -> BlockAction:
        if number >= len(self.journaled_digests):
            return BlockAction.CHECK if self.partial.may_contain(number) else BlockAction.WRITE
        if self.journaled_digests[number] != digest:
            return BlockAction.WRITE
        return BlockAction.NOTHING if number < self.trusted else BlockAction.CHECK

    def throttle(self, moved_bytes: int, took_s: float) -> None:
        """Wait for as long as the bandwidth limit of this time of day demands."""
        now = time.localtime()
        limit_bytes_s = bandwidth.limit_bytes_s(self.bandwidth, now.tm_hour * 60 + now.tm_min)
        if limit_bytes_s is not None:
            self._wait(moved_bytes / limit_bytes_s - took_s)

    def _wait(self, left_s: float) -> None:
        until_s = time.monotonic() + left_s
        while (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, pipeline.REPORT_S))
            self.progress.report_alive()


def clamp_trusted(partial: Partial, trusted: int) -> int:
    """How many trusted blocks the open partial is still long enough for.

    If it was removed or cut since, trusting more would leave a hole in a file of the right size.

    Raises:
        Fault: DESTINATION.
    """
    return min(trusted, partial.size_bytes // BLOCK_BYTES)


def check_own(partial: Partial, digests: tuple[bytes, ...]) -> None:
    """Check that an open partial with content has one of the blocks that were journaled of it.

    Raises:
        Fault: DISPLACED: another file has its name. DESTINATION.
    """
    size_bytes = partial.size_bytes if partial.is_readable else 0
    if not digests or not size_bytes:
        return
    for number, digest in enumerate(digests[: size_bytes // BLOCK_BYTES]):
        if xxhash.xxh3_128_digest(partial.read_back(number * BLOCK_BYTES, BLOCK_BYTES)) == digest:
            return
    raise Fault(FaultKind.DISPLACED, "another file has the name of the partial, and is left alone")


def read_exactly(source: int, offset: int, length: int) -> bytes:
    """Raises: Fault: SOURCE, SOURCE_OUTAGE, or SOURCE_CHANGED when the source ends before that."""
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
