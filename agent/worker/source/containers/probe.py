"""Small reads at any offset, limited in number, and the verdict type."""

from typing import Protocol

from attrs import define, field, frozen

from agent.model.source_file import ContainerState

WINDOW_BYTES = 1024
MAX_READS = 512


class ByteReader(Protocol):
    """Random access to a file; `size_bytes` is its size at the first read."""

    @property
    def size_bytes(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes at `offset`; fewer than `length` only at the end of the file.

        Raises:
            OSError: the file cannot be read.
        """
        ...


@frozen
class ContainerVerdict:
    """The state of a container, and the reason in one line for the operator."""

    container: ContainerState
    detail: str


class TooManyReads(Exception):  # noqa: N818  a limit, not an error
    """`MAX_READS` reads were not enough."""


@define
class Probe:
    """Reads from one file at most `MAX_READS` times, so that no content can make it take long."""

    reader: ByteReader
    size_bytes: int = field(init=False)
    _reads_left: int = field(default=MAX_READS, init=False)
    _at: int = field(default=0, init=False)
    _window: bytes = field(default=b"", init=False)

    def __attrs_post_init__(self) -> None:
        self.size_bytes = self.reader.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes, fewer at the end of the file and none behind it.

        Raises:
            TooManyReads: after `MAX_READS` reads.
        """
        length = min(length, self.size_bytes - offset)
        if length <= 0:
            return b""
        if not self._reads_left:
            raise TooManyReads
        self._reads_left -= 1
        return self.reader.read(offset, length)

    def peek(self, offset: int, length: int) -> bytes:
        """As `read`, for at most `WINDOW_BYTES`; calls at adjacent offsets share one read.

        Raises:
            TooManyReads: as `read`.
        """
        length = max(0, min(length, self.size_bytes - offset))
        if not self._at <= offset <= offset + length <= self._at + len(self._window):
            self._at, self._window = offset, self.read(offset, WINDOW_BYTES)
        return self._window[offset - self._at :][:length]
