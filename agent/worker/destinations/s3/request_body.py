"""What is sent: blocks as one file, which can be sent again from its start."""

import hashlib
import os
from collections.abc import Callable, Sequence

from attrs import define, field


def md5_of(blocks: Sequence[bytes]) -> "hashlib._Hash":
    """Of all of them in a row: what a part's ETag is, and its Content-MD5 (RFC 1864)."""
    digest = hashlib.md5(usedforsecurity=False)
    for block in blocks:
        digest.update(block)
    return digest


@define
class RequestBody:
    """Read by whoever sends it; each read shows that bytes move."""

    _blocks: Sequence[bytes]
    _alive: Callable[[], None]
    _block: int = field(default=0, init=False)
    _at: int = field(default=0, init=False)

    def __len__(self) -> int:
        return sum(map(len, self._blocks))

    def read(self, size: int = -1) -> memoryview | bytes:
        """At most `size` bytes, none at the end."""
        self._alive()
        if size < 0:
            rest = b"".join(self._blocks[self._block :])[self._at :]
            self._block, self._at = len(self._blocks), 0
            return rest
        if self._block == len(self._blocks):
            return b""
        block = self._blocks[self._block]
        piece = memoryview(block)[self._at : self._at + size]
        self._at += len(piece)
        if self._at == len(block):
            self._block, self._at = self._block + 1, 0
        return piece

    def tell(self) -> int:
        return sum(map(len, self._blocks[: self._block])) + self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """To an offset, as in a file; clients measure by seeking to the end."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: len(self)}[whence]
        left = base + offset
        for number, block in enumerate(self._blocks):
            if left < len(block):
                self._block, self._at = number, left
                return base + offset
            left -= len(block)
        self._block, self._at = len(self._blocks), 0
        return base + offset
