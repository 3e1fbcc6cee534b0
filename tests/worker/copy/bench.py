"""A bench for the copy engine: one source, one partial, small blocks, and what was reported."""

import errno
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.fs.publisher import Publisher
from agent.fs.syscalls import closing_fd
from agent.model.verification import DIGEST_BYTES, VerifyLevel
from agent.protocol.replies import BlockPatched, Checkpoint, Copying, TrustedBlocks
from agent.protocol.requests import Bandwidth, DestinationRef, VerifyMode
from agent.worker.copy import engine, pipeline, reader, room, tail
from agent.worker.copy.engine import CopyEngine
from agent.worker.copy.pipeline import CopyProgress, Report
from agent.worker.copy.reader import BlockReader, clamp_trusted
from agent.worker.copy.tail import TailFollower
from agent.worker.destinations.folder import FolderDestination
from tests.worker.copy.faulty import FaultyPartial, Script
from tests.worker.copy.folders import PARTIAL, nothing_left_over

BLOCK = 64  # small blocks: many of them in a small file
WINDOW = pipeline.WINDOW_BLOCKS * BLOCK
SHARED_MEMORY = "/dev/shm"  # noqa: S108  a tmpfs on every Linux


@contextmanager
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched, nothing_left_over():
        with_blocks_of(patched, BLOCK)
        yield


def with_blocks_of(patched: pytest.MonkeyPatch, block_bytes: int) -> None:
    for module in (pipeline, reader, engine, tail, room):
        patched.setattr(module, "BLOCK_BYTES", block_bytes)


@contextmanager
def limited_to(room_bytes: int) -> Iterator[None]:
    """A quota: nothing can be written behind so many bytes."""
    pwrite = os.pwrite

    def limited(descriptor: int, data: bytes, offset: int) -> int:
        if offset + len(data) > room_bytes:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return pwrite(descriptor, data, offset)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "pwrite", limited)
        yield


def content_of_size(size_bytes: int) -> bytes:
    """No two blocks are alike."""
    return b"".join(number.to_bytes(4, "big") for number in range(size_bytes // 4 + 1))[:size_bytes]


class Bench:
    """One source and one partial, and what the engine reported. Reads of the source are counted."""

    def __init__(self, folder: str, content: bytes) -> None:
        self.source = Path(folder, "source")
        self.source.write_bytes(content)
        self.partial = Path(folder, PARTIAL)
        self.place = DestinationRef(folder, self.source.stat().st_dev)
        self.reports: list[Copying | Checkpoint | BlockPatched | TrustedBlocks] = []
        self.listen: Report = self.reports.append
        self.progress = CopyProgress(self.listen)

    def run(
        self,
        journaled: tuple[bytes, ...] = (),
        script: Script | None = None,
        verify: VerifyMode = "read_back",
        pace: Bandwidth | None = None,
    ) -> tuple[bytes, VerifyLevel]:
        size_bytes = self.source.stat().st_size
        with self._opened(script) as (source, partial):
            return CopyEngine(source, size_bytes, partial, verify, pace or Bandwidth(), self.progress).copy(
                journaled
            )

    def reconcile(self, trusted: int = 0, script: Script | None = None) -> tuple[bytes, VerifyLevel]:
        """Copy the source as it is now, with the blocks that a journal would have of earlier runs."""
        journaled, size_bytes = self.checkpointed, self.source.stat().st_size
        with self._opened(script) as (source, partial):
            engine = CopyEngine(source, size_bytes, partial, "read_back", Bandwidth(), self.progress)
            return engine.reconcile(journaled, trusted)

    def follow(self, trusted: int = 0, script: Script | None = None) -> int:
        journaled = self.checkpointed
        with self._opened(script) as (source, partial):
            reader = BlockReader(
                source, self.progress, Bandwidth(), partial, journaled, clamp_trusted(partial, trusted)
            )
            return TailFollower(reader, partial, "read_back", self.progress).run()

    @contextmanager
    def _opened(self, script: Script | None) -> Iterator[tuple[int, FaultyPartial]]:
        self.progress = CopyProgress(self.listen)
        with (
            closing_fd(os.open(self.source, os.O_RDONLY)) as source,
            FolderDestination.open(self.place, Publisher()) as destination,
            closing(FaultyPartial(destination.open_partial(PARTIAL), script or Script())) as partial,
        ):
            yield source, partial

    @property
    def checkpointed(self) -> tuple[bytes, ...]:
        """What a journal would know after all runs: later digests replace those from their first block on."""
        known: list[bytes] = []
        for report in self.reports:
            if isinstance(report, Checkpoint):
                assert report.first_block <= len(known), "a gap"
                known[report.first_block :] = [
                    report.digests[at : at + DIGEST_BYTES]
                    for at in range(0, len(report.digests), DIGEST_BYTES)
                ]
            elif isinstance(report, BlockPatched):
                known[report.block] = report.digest
        return tuple(known)


@contextmanager
def bench_with(content: bytes) -> Iterator[Bench]:
    with TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        yield Bench(folder, content)
