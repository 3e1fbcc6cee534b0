"""Follows a file that is still being written: its tail is copied as it comes, a step behind the writer.

Provisional: most recorders rewrite parts that were there before, above all the head when they close. Only
`Engine.revise`, once the file has ended, says what the content is.
"""

import errno
import os
import time
from contextlib import closing

from attrs import define, field

from agent.faults import Fault, FaultKind, Side, classify
from agent.protocol import BLOCK_BYTES, Followed, FollowFile, Proven, Reserved, VerifyMode
from agent.stores.descriptors import held
from agent.stores.destination import Destination, Partial
from agent.stores.pipeline import Pipeline, Report, Tally
from agent.stores.reading import Reader, still_standing
from agent.stores.source import open_same_file
from agent.stores.whereabouts import Whereabouts

# Muxers go back over what they have just written: 2.6 MB behind the tail was seen, in every second.
HEADROOM_BYTES = 8 * BLOCK_BYTES
LOOK_S = 0.25
IDLE_S = 10.0  # no growth for this long: let another file be followed


def follow_file(
    request: FollowFile, destination: Destination, report: Report, whereabouts: Whereabouts
) -> Followed | Reserved:
    """Raises: Fault: SOURCE*, DESTINATION, REFUSED, CORRUPT or CONFLICT."""
    tally = Tally(report, whereabouts)
    with whereabouts.at_source():
        opened = open_same_file(request.source, request.path, request.signature)
    with held(opened) as source:
        exact = destination.reserve(request.partial, request.name, None, request.conflict)
        if exact != request.partial:
            return Reserved(exact)
        with closing(destination.open_partial(exact)) as partial:
            proven = still_standing(partial, request.proven_blocks)
            reader = Reader(source, tally, request.pace, partial, request.digests, proven)
            return Followed(Follower(reader, partial, request.verify, tally).run())


@define
class Follower:
    """Copies the tail of one open source into one partial."""

    reader: Reader
    partial: Partial
    verify: VerifyMode
    tally: Tally
    _grown_s: float = field(factory=time.monotonic, init=False)

    def run(self) -> int:
        """Until the source has not grown for `IDLE_S`; how many blocks stand at the destination then.

        Raises:
            Fault: SOURCE*, SOURCE_CHANGED when it became shorter; DESTINATION, REFUSED, CORRUPT.
        """
        known_blocks = len(self.reader.believed)
        block = self.reader.proven
        self.tally.copied_bytes = self.tally.verified_bytes = block * BLOCK_BYTES
        self.tally.report(Proven(block))
        pipeline = Pipeline(self.partial, self.verify, self.tally, known_blocks)
        try:
            while not pipeline.has_failed:
                followed_to = self._settled_blocks(block)
                if block < followed_to:
                    block = self._follow(pipeline, block, followed_to)
                elif not self._wait(pipeline):
                    break
        finally:
            pipeline.finish()
        pipeline.raise_failure()
        return pipeline.known_blocks

    def _follow(self, pipeline: Pipeline, block: int, followed_to: int) -> int:
        began_s = self._grown_s = time.monotonic()
        window = self.reader.window(block, followed_to * BLOCK_BYTES)
        pipeline.put(window)
        self.reader.keep_pace(sum(len(each.data) for each in window), time.monotonic() - began_s)
        return window[-1].number + 1

    def _wait(self, pipeline: Pipeline) -> bool:
        """For more to be written. While the storage is at work, only it may say that something moves."""
        if not pipeline.is_busy:
            if time.monotonic() - self._grown_s >= IDLE_S:
                return False
            pipeline.checkpoint()
            self.tally.alive()
        time.sleep(LOOK_S)
        return True

    def _settled_blocks(self, block: int) -> int:
        """How many blocks the writer has left behind: whole units, without holes, well before the end."""
        try:
            with self.tally.whereabouts.at_source():
                size_bytes = os.fstat(self.reader.source).st_size
                end_bytes = _first_hole(self.reader.source, block * BLOCK_BYTES, size_bytes)
        except OSError as error:
            raise classify(error, Side.SOURCE) from error
        if size_bytes < block * BLOCK_BYTES:
            raise Fault(FaultKind.SOURCE_CHANGED, "the source became shorter while it was being followed")
        settled = min(end_bytes, size_bytes - HEADROOM_BYTES) // BLOCK_BYTES
        return max(block, self.partial.unit(settled).start)


def _first_hole(source: int, offset: int, size_bytes: int) -> int:
    """Where what was written so far ends: files made to their full size first are holes at the beginning."""
    if offset >= size_bytes:
        return size_bytes
    try:
        return os.lseek(source, offset, os.SEEK_HOLE)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTSUP, errno.ENXIO):
            return size_bytes
        raise
