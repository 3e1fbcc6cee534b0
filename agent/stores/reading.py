"""Reads a source block by block, no faster than it may."""

import os
import time

import xxhash
from attrs import define, evolve

from agent.faults import Fault, FaultKind, Side, classify
from agent.protocol import BLOCK_BYTES, Pace
from agent.rules import pace
from agent.stores import pipeline
from agent.stores.destination import Partial
from agent.stores.pipeline import Block, Tally, Todo, Window


@define
class Reader:
    """One open source, on its way into `partial`.

    `believed`: the digests of blocks that should stand at the destination; the first `proven` of them do.
    """

    source: int
    tally: Tally
    pace: Pace
    partial: Partial
    believed: tuple[bytes, ...] = ()
    proven: int = 0

    def window(self, first_block: int, size_bytes: int) -> Window:
        """The next blocks below `size_bytes`, in whole units.

        Raises:
            Fault: SOURCE, SOURCE_OUTAGE, or SOURCE_CHANGED when the source ends before that.
        """
        window: Window = []
        while len(window) < pipeline.WINDOW_BLOCKS and first_block * BLOCK_BYTES < size_bytes:
            window += self._unit(first_block, size_bytes)
            first_block = window[-1].number + 1
        return window

    def _unit(self, first_block: int, size_bytes: int) -> Window:
        """One unit, of which all has to be done that has to be done with any block of it."""
        end = self.partial.unit(first_block).stop
        blocks = [
            self._block(number, min(BLOCK_BYTES, size_bytes - number * BLOCK_BYTES))
            for number in range(first_block, min(end, -(-size_bytes // BLOCK_BYTES)))
        ]
        todos = {block.todo for block in blocks}
        if end * BLOCK_BYTES > size_bytes:  # it may have been longer when it was proven
            todos.add(Todo.CHECK)
        todo = next(each for each in Todo if each in todos)
        if todo is not Todo.WRITE:
            self.tally.kept_bytes += sum(len(block.data) for block in blocks)
        return [block if block.todo is todo else evolve(block, todo=todo) for block in blocks]

    def _block(self, number: int, length: int) -> Block:
        with self.tally.whereabouts.at_source():
            data = read_exactly(self.source, number * BLOCK_BYTES, length)
        digest = xxhash.xxh3_128_digest(data)
        self.tally.read_bytes += length
        return Block(number, data, digest, self._todo(number, digest))

    def _todo(self, number: int, digest: bytes) -> Todo:
        if number >= len(self.believed):
            return Todo.CHECK if self.partial.may_hold(number) else Todo.WRITE
        if self.believed[number] != digest:
            return Todo.WRITE
        return Todo.NOTHING if number < self.proven else Todo.CHECK

    def keep_pace(self, moved_bytes: int, took_s: float) -> None:
        """Wait for as long as the limit of this time of day asks for."""
        now = time.localtime()
        limit_bytes_s = pace.limit_bytes_s(self.pace, now.tm_hour * 60 + now.tm_min)
        if limit_bytes_s is not None:
            self._wait(moved_bytes / limit_bytes_s - took_s)

    def _wait(self, left_s: float) -> None:
        until_s = time.monotonic() + left_s
        while (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, pipeline.REPORT_S))
            self.tally.alive()


def still_standing(partial: Partial, proven: int) -> int:
    """How many blocks are still proven now that the partial is open: none that it is too short for.

    Whoever removed it since, or cut it, would leave a hole in a file that has the right size in the end.

    Raises:
        Fault: DESTINATION.
    """
    return min(proven, partial.size_bytes // BLOCK_BYTES)


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
