"""Whether a file's pages are in the page cache; mmap(2), mincore(2)."""

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager

from agent.fs.syscalls import c_function

_PROT_READ = 1
_MAP_SHARED = 1
_IN_CORE = 1
_WINDOW_BYTES = 1 << 30  # limits the vector that mincore fills to 256 KiB

_mmap = c_function(
    "mmap",
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
    result=ctypes.c_ssize_t,
)
_munmap = c_function("munmap", ctypes.c_void_p, ctypes.c_size_t)
_mincore = c_function("mincore", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)


def page_aligned(offset: int, length: int) -> tuple[int, int]:
    """Widen the range (offset, length), in bytes, to whole pages."""
    start = offset // mmap.PAGESIZE * mmap.PAGESIZE
    end = -(-(offset + length) // mmap.PAGESIZE) * mmap.PAGESIZE
    return start, end - start


@contextmanager
def mapped(fd: int, start: int, length: int) -> Iterator[int]:
    """Map this page-aligned range for reading and yield its address; mapping reads no page.

    Raises:
        OSError: the file cannot be mapped.
    """
    address = _mmap(None, length, _PROT_READ, _MAP_SHARED, fd, start)
    try:
        yield address
    finally:
        _munmap(address, length)


def is_resident(fd: int, offset: int, length: int) -> bool:
    """Return whether any page of this range (bytes) is in the page cache; True also when that is unknown."""
    if length <= 0:
        return False
    start, aligned_bytes = page_aligned(offset, length)
    try:
        return any(
            _any_in_core(fd, at, min(_WINDOW_BYTES, start + aligned_bytes - at))
            for at in range(start, start + aligned_bytes, _WINDOW_BYTES)
        )
    except OSError:
        return True


def _any_in_core(fd: int, start: int, length: int) -> bool:
    pages = ctypes.create_string_buffer(length // mmap.PAGESIZE)
    with mapped(fd, start, length) as address:
        _mincore(address, length, pages)
    return any(page & _IN_CORE for page in pages.raw)
