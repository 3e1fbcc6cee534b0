"""A bench for the copy engine: one source, one partial, small blocks, and what was reported."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.protocol import DIGEST_BYTES, Checkpoint, Copying, Pace, Place, VerifyMode
from agent.stores import copying
from agent.stores.copying import Engine, Report, Tally
from agent.stores.folder import FolderDestination
from agent.stores.platform import Publisher
from agent.terms import VerifyLevel
from tests.stores.faulty import FaultyPartial, Script
from tests.stores.ground import PARTIAL, nothing_left_over

BLOCK = 64  # small blocks: many of them in a small file
WINDOW = copying.WINDOW_BLOCKS * BLOCK
SHARED_MEMORY = "/dev/shm"  # noqa: S108  a tmpfs on every Linux


@contextmanager
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched, nothing_left_over():
        patched.setattr(copying, "BLOCK_BYTES", BLOCK)
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
        self.place = Place(folder, self.source.stat().st_dev)
        self.reports: list[Copying | Checkpoint] = []
        self.listen: Report = self.reports.append
        self.tally = Tally(self.listen)

    def run(
        self,
        believed: tuple[bytes, ...] = (),
        script: Script | None = None,
        verify: VerifyMode = "read_back",
        pace: Pace | None = None,
    ) -> tuple[bytes, VerifyLevel]:
        self.tally = Tally(self.listen)
        size_bytes = self.source.stat().st_size
        source = os.open(self.source, os.O_RDONLY)
        try:
            with FolderDestination.open(self.place, Publisher()) as destination:
                partial = FaultyPartial(destination.open_partial(PARTIAL), script or Script())
                try:
                    return Engine(source, size_bytes, partial, verify, pace or Pace(), self.tally).run(
                        believed
                    )
                finally:
                    partial.close()
        finally:
            os.close(source)

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
        return tuple(known)


@contextmanager
def bench_with(content: bytes) -> Iterator[Bench]:
    with TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        yield Bench(folder, content)
