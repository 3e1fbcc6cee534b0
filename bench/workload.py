"""A workload: a number of files of a given size, with incompressible content."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import xxhash
from attrs import evolve, frozen

CHUNK_BYTES = 1 << 20
FEW = 100
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@frozen
class Workload:
    """`count` files of `smallest_bytes` to `size_bytes`, the same in each run."""

    name: str
    count: int
    size_bytes: int
    smallest_bytes: int | None = None  # None: all have `size_bytes`

    @property
    def sizes(self) -> list[int]:
        if self.smallest_bytes is None:
            return [self.size_bytes] * self.count
        rng = random.Random(self.name)  # noqa: S311  a benchmark, not a secret
        return [rng.randint(self.smallest_bytes, self.size_bytes) for _ in range(self.count)]

    @property
    def total_bytes(self) -> int:
        return sum(self.sizes)

    @property
    def disk_bytes(self) -> int:
        """The total, and the space that a file system needs for each file."""
        return self.total_bytes + 8192 * self.count

    def scaled(self, factor: float) -> "Workload":
        """Fewer files, or smaller files if there are few."""
        if self.count < FEW:
            return evolve(self, size_bytes=max(MIB, int(self.size_bytes * factor)))
        return evolve(self, count=max(2, int(self.count * factor)))

    def write(self, folder: Path) -> None:
        """Write the files and flush them to the device."""
        folder.mkdir()
        rng = random.Random(1)  # noqa: S311  a benchmark, not a secret
        for number, size_bytes in enumerate(self.sizes):
            with (folder / f"take{number:06}.bin").open("wb") as file:
                for length in _lengths(size_bytes):
                    file.write(rng.randbytes(length))
        os.sync()


def _lengths(size_bytes: int) -> Iterator[int]:
    while size_bytes > 0:
        yield min(size_bytes, CHUNK_BYTES)
        size_bytes -= CHUNK_BYTES


def digests(folder: Path) -> dict[str, str]:
    """The digest of each file in a folder, by name."""
    return {path.name: _digest(path) for path in folder.iterdir()}


def _digest(path: Path) -> str:
    content = xxhash.xxh3_128()
    with path.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            content.update(data)
    return content.hexdigest()


def names(folder: Path) -> dict[str, int]:
    """The size of each file in a folder, by name."""
    return {item.name: item.stat().st_size for item in os.scandir(folder)}
