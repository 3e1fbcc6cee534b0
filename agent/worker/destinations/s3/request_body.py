"""The body of a request: blocks as one seekable file, so that it can be sent again."""

import hashlib
import os
from collections.abc import Callable, Sequence

from attrs import define, field


def md5_of(blocks: Sequence[bytes]) -> "hashlib._Hash":
    """Return the MD5 of the concatenated blocks: a part's ETag and its Content-MD5 (RFC 1864)."""
    digest = hashlib.md5(usedforsecurity=False)
    for block in blocks:
        digest.update(block)
    return digest


@define
class RequestBody:
    """Read by the HTTP client; each read calls `_beat`, because it shows that bytes move."""

    _blocks: Sequence[bytes]
    _beat: Callable[[], None]
    _block: int = field(default=0, init=False)
    _at: int = field(default=0, init=False)

    def __len__(self) -> int:
        return sum(map(len, self._blocks))

    def read(self, size: int = -1) -> memoryview | bytes:
        """Return at most `size` bytes, all of them if `size` is negative, none at the end."""
        self._beat()
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
        """Seek as in a file; HTTP clients seek to the end to measure the body."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: len(self)}[whence]
        left = base + offset
        for number, block in enumerate(self._blocks):
            if left < len(block):
                self._block, self._at = number, left
                return base + offset
            left -= len(block)
        self._block, self._at = len(self._blocks), 0
        return base + offset
