"""Helpers around system calls: C functions without a Python binding, descriptors and error paths."""

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LIBC = ctypes.CDLL(None, use_errno=True)


def c_function(name: str, *arguments: type, result: type = ctypes.c_int) -> Callable[..., int]:
    """Bind the C library function `name`, which takes `arguments`; a result of -1 becomes an OSError.

    Raises (when called):
        OSError: the call failed with this errno; ENOSYS when the C library has no such function.
    """
    call = getattr(_LIBC, name, None)
    if call is not None:
        call.argtypes = arguments
        call.restype = result

    def checked(*values: object) -> int:
        if call is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        returned: int = call(*values)
        if returned == -1:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return returned

    return checked


@contextmanager
def with_path(path: str) -> Iterator[None]:
    """Set `path` as the file name of every OSError raised inside this block."""
    try:
        yield
    except OSError as error:
        error.filename = path
        error.filename2 = None
        raise


def has_right(folder: int, right: int) -> bool:
    """Return whether this user has the right (`os.R_OK`, `W_OK`, `X_OK` or several) on an open folder."""
    return os.access(".", right, dir_fd=folder, effective_ids=os.access in os.supports_effective_ids)


def close_unwritten(descriptor: int) -> None:
    """Close a descriptor through which nothing was written: what was read was read, even if this fails."""
    try:
        os.close(descriptor)
    except OSError as error:
        if error.errno == errno.EBADF:  # a bug of ours; after any other error it is closed
            raise


@contextmanager
def closing_fd(descriptor: int) -> Iterator[int]:
    """Close the descriptor, through which nothing was written, when the block ends."""
    try:
        yield descriptor
    finally:
        close_unwritten(descriptor)


@contextmanager
def closing_written_fd(descriptor: int) -> Iterator[int]:
    """Close the descriptor when the block ends.

    Raises:
        OSError: some mounts report only now that they could not store what was written.
    """
    try:
        yield descriptor
    finally:
        os.close(descriptor)
