"""The content of a simulated file, described instead of held: 10 GB take no more memory than 10 KB.

A content is a rope of pieces. Noise is reproducible at any offset: each block of 64 KiB is a slice of one
tile of random bytes. Seed and block number choose the slice and are written at its start. So no two blocks
are equal, and a block at the wrong offset always shows.
"""

from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from itertools import accumulate
from random import Random
from typing import Self

from attrs import define, evolve, field, frozen
from xxhash import xxh64_intdigest

BLOCK_BYTES = 1 << 16
TILE_BYTES = 1 << 20
WINDOW_BYTES = 1 << 20
PACKET_BYTES = 188


@frozen
class Noise:
    """`length` bytes of the endless noise of `seed`, beginning at `start`."""

    seed: str
    start: int
    length: int

    def cut(self, start: int, end: int) -> Self:
        return evolve(self, start=self.start + start, length=end - start)

    def read(self) -> bytes:
        first = self.start // BLOCK_BYTES
        blocks = range(first, -(-(self.start + self.length) // BLOCK_BYTES))
        skip = self.start - first * BLOCK_BYTES
        return b"".join(_block(self.seed, number) for number in blocks)[skip : skip + self.length]


@frozen
class Packets(Noise):
    """Noise as a transport stream (ISO/IEC 13818-1 §2.4.3.2): packets of 188 bytes with a header of four."""

    def read(self) -> bytes:
        first = self.start // PACKET_BYTES
        count = -(-(self.start + self.length) // PACKET_BYTES) - first
        at = first * PACKET_BYTES
        packets = bytearray(Noise(self.seed, at, count * PACKET_BYTES).read())
        counters = bytes(0x10 | number & 0xF for number in range(first, first + count))
        header = (b"\x47" * count, b"\x01" * count, b"\x00" * count, counters)  # sync, PID 0x100, counter
        for offset, column in enumerate(header):
            packets[offset::PACKET_BYTES] = column
        return bytes(packets[self.start - at :][: self.length])


@frozen
class Zeros:
    """Zero bytes: a hole, or allocated space that has not been written yet."""

    length: int

    def cut(self, start: int, end: int) -> Self:
        return type(self)(end - start)

    def read(self) -> bytes:
        return bytes(self.length)


Piece = bytes | Noise | Zeros


@frozen(eq=False)
class Content:
    """Pieces, one after the other."""

    pieces: tuple[Piece, ...]
    _ends: tuple[int, ...] = field(init=False, repr=False)

    @_ends.default
    def _sum(self) -> tuple[int, ...]:
        return tuple(accumulate(map(length_of, self.pieces)))

    @property
    def size_bytes(self) -> int:
        return self._ends[-1] if self._ends else 0

    def cut(self, start: int, end: int) -> "Content":
        """The bytes from `start` up to `end`, both within the content."""
        pieces = []
        at = bisect_right(self._ends, start)
        while start < end:
            begin = self._ends[at - 1] if at else 0
            stop = min(end, self._ends[at])
            pieces.append(cut(self.pieces[at], start - begin, stop - begin))
            start, at = stop, at + 1
        return Content(tuple(pieces))

    def patched(self, offset: int, other: "Content") -> "Content":
        """A copy with `other` written at `offset`.

        `offset` is at most the size; `other` may reach beyond the end.
        """
        rest = min(self.size_bytes, offset + other.size_bytes)
        behind = self.cut(rest, self.size_bytes)
        return Content((*self.cut(0, offset).pieces, *other.pieces, *behind.pieces))

    def windows(self) -> Iterator[bytes]:
        """All bytes, at most 1 MiB at a time."""
        for start in range(0, self.size_bytes, WINDOW_BYTES):
            yield self.cut(start, min(start + WINDOW_BYTES, self.size_bytes)).read()

    def read(self) -> bytes:
        return b"".join(piece if isinstance(piece, bytes) else piece.read() for piece in self.pieces)

    def sha256(self) -> str:
        digest = sha256()
        for window in self.windows():
            digest.update(window)
        return digest.hexdigest()


@define
class Rope:
    """Builds a content by appending pieces."""

    size_bytes: int = 0
    _pieces: list[Piece] = field(factory=list)

    def add(self, *pieces: Piece) -> int:
        """Append pieces; returns the offset of the first of them."""
        begin = self.size_bytes
        self._pieces += pieces
        self.size_bytes += sum(map(length_of, pieces))
        return begin

    def content(self) -> Content:
        return Content(tuple(self._pieces))


def literal(text: bytes) -> Content:
    return Content((text,))


def length_of(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.length


def cut(piece: Piece, start: int, end: int) -> Piece:
    return piece[start:end] if isinstance(piece, bytes) else piece.cut(start, end)


@cache
def _tile() -> bytes:
    return Random("transfer-agent").randbytes(TILE_BYTES + BLOCK_BYTES)  # noqa: S311  noise, not a secret


def _block(seed: str, number: int) -> bytes:
    chosen = xxh64_intdigest(f"{seed}/{number}".encode())
    start = chosen % TILE_BYTES
    return chosen.to_bytes(8) + number.to_bytes(8) + _tile()[start + 16 : start + BLOCK_BYTES]
