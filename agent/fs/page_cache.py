"""A file's pages in the page cache; mmap(2), mincore(2)."""

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager

from agent.fs.libc import function

_PROT_READ = 1
_MAP_SHARED = 1
_IN_CORE = 1
_WINDOW_BYTES = 1 << 30  # keeps the answer's vector at 256 KiB

_mmap = function(
    "mmap",
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
    result=ctypes.c_ssize_t,
)
_munmap = function("munmap", ctypes.c_void_p, ctypes.c_size_t)
_mincore = function("mincore", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)


def page_aligned(offset: int, length: int) -> tuple[int, int]:
    """The range (offset, length) in bytes, widened to whole pages."""
    start = offset // mmap.PAGESIZE * mmap.PAGESIZE
    end = -(-(offset + length) // mmap.PAGESIZE) * mmap.PAGESIZE
    return start, end - start


@contextmanager
def mapped(fd: int, start: int, length: int) -> Iterator[int]:
    """The address at which this page-aligned range is mapped for reading; no page is read by it.

    Raises:
        OSError: the file cannot be mapped.
    """
    address = _mmap(None, length, _PROT_READ, _MAP_SHARED, fd, start)
    try:
        yield address
    finally:
        _munmap(address, length)


def is_resident(fd: int, offset: int, length: int) -> bool:
    """Is any page of this range (bytes) still in the page cache? True also when that cannot be told."""
    if length <= 0:
        return False
    start, whole = page_aligned(offset, length)
    try:
        return any(
            _any_in_core(fd, at, min(_WINDOW_BYTES, start + whole - at))
            for at in range(start, start + whole, _WINDOW_BYTES)
        )
    except OSError:
        return True


def _any_in_core(fd: int, start: int, length: int) -> bool:
    pages = ctypes.create_string_buffer(length // mmap.PAGESIZE)
    with mapped(fd, start, length) as address:
        _mincore(address, length, pages)
    return any(page & _IN_CORE for page in pages.raw)
