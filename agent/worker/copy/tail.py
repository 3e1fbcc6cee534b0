"""Follows a file that is still being written: its tail is copied as it comes, a step behind the writer.

Provisional: most recorders rewrite earlier parts, above all the head when they close. Only
`CopyEngine.reconcile`, once the file has ended, decides what the content is.
"""

import errno
import os
import time
from contextlib import closing

from attrs import define, field

from agent.fs.syscalls import closing_fd
from agent.model.errors import Fault, FaultKind, Side, classify
from agent.model.verification import BLOCK_BYTES
from agent.protocol.replies import Followed, PartialAllocated, TrustedBlocks
from agent.protocol.requests import FollowFile, VerifyMode
from agent.worker.copy.io_side import IoSideTracker
from agent.worker.copy.pipeline import CopyProgress, Pipeline, Report
from agent.worker.copy.reader import BlockReader, check_own, clamp_trusted
from agent.worker.copy.room import make_room
from agent.worker.destinations.base import Destination, Partial
from agent.worker.source.source_file import open_same_file

# Muxers rewrite what they have just written: up to 2.6 MB behind the tail was measured, every second.
HEADROOM_BYTES = 8 * BLOCK_BYTES
POLL_S = 0.25
IDLE_S = 10.0  # no growth for this long: let another file be followed


def follow_file(
    request: FollowFile, destination: Destination, report: Report, io_side: IoSideTracker
) -> Followed | PartialAllocated:
    """Raises: Fault: SOURCE*, DESTINATION, REFUSED, CORRUPT, CONFLICT, DISPLACED or PARTIAL_GONE."""
    progress = CopyProgress(report, io_side)
    with io_side.at_source():
        opened = open_same_file(request.source, request.path, request.signature)
    with closing_fd(opened) as source:
        exact = destination.allocate_partial(request.partial, request.name, None, request.conflict)
        if exact != request.partial:
            return PartialAllocated(exact)
        with closing(destination.open_partial(exact, is_begun=bool(request.digests))) as partial:
            check_own(partial, request.digests)
            trusted = clamp_trusted(partial, request.trusted_blocks)
            reader = BlockReader(source, progress, request.bandwidth, partial, request.digests, trusted)
            return Followed(TailFollower(reader, partial, request.verify, progress).run())


@define
class TailFollower:
    """Copies the tail of one open source into one partial."""

    reader: BlockReader
    partial: Partial
    verify: VerifyMode
    progress: CopyProgress
    _grown_s: float = field(factory=time.monotonic, init=False)

    def run(self) -> int:
        """Copy until the source has not grown for `IDLE_S`. Returns how many blocks are at the destination.

        Raises:
            Fault: SOURCE*, SOURCE_CHANGED when it became shorter; DESTINATION, REFUSED, CORRUPT.
        """
        known_blocks = len(self.reader.journaled_digests)
        block = self.reader.trusted
        self.progress.copied_bytes = self.progress.verified_bytes = block * BLOCK_BYTES
        self.progress.report(TrustedBlocks(block))
        pipeline = Pipeline(self.partial, self.verify, self.progress, known_blocks)
        try:
            while not pipeline.has_failed:
                followed_to = self._finished_blocks(block)
                if block < followed_to:
                    block = self._follow(pipeline, block, followed_to)
                elif not self._wait(pipeline):
                    break
        finally:
            pipeline.finish()
        try:
            pipeline.raise_failure()
        except Fault as fault:
            make_room(self.partial, fault, pipeline.known_blocks)
            raise
        return pipeline.known_blocks

    def _follow(self, pipeline: Pipeline, block: int, followed_to: int) -> int:
        began_s = self._grown_s = time.monotonic()
        window = self.reader.window(block, followed_to * BLOCK_BYTES)
        pipeline.put(window)
        self.reader.throttle(sum(len(each.data) for each in window), time.monotonic() - began_s)
        return window[-1].number + 1

    def _wait(self, pipeline: Pipeline) -> bool:
        """Wait for growth. While the pipeline is busy, only its own reports show that something moves."""
        if not pipeline.is_busy:
            if time.monotonic() - self._grown_s >= IDLE_S:
                return False
            pipeline.checkpoint()
            self.progress.report_alive()
        time.sleep(POLL_S)
        return True

    def _finished_blocks(self, block: int) -> int:
        """How many blocks the writer has finished: whole write groups without holes, well before the end."""
        try:
            with self.progress.io_side.at_source():
                size_bytes = os.fstat(self.reader.source).st_size
                end_bytes = _first_hole(self.reader.source, block * BLOCK_BYTES, size_bytes)
        except OSError as error:
            raise classify(error, Side.SOURCE) from error
        if size_bytes < block * BLOCK_BYTES:
            raise Fault(FaultKind.SOURCE_CHANGED, "the source became shorter while it was being followed")
        finished = min(end_bytes, size_bytes - HEADROOM_BYTES) // BLOCK_BYTES
        return max(block, self.partial.write_group(finished).start)


def _first_hole(source: int, offset: int, size_bytes: int) -> int:
    """The end of the data written so far: files created at full size begin as one hole."""
    if offset >= size_bytes:
        return size_bytes
    try:
        return os.lseek(source, offset, os.SEEK_HOLE)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTSUP, errno.ENXIO):
            return size_bytes
        raise
