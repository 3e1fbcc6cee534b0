"""C library functions that Python does not offer, and errors that say which file they are about."""

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LIBC = ctypes.CDLL(None, use_errno=True)


def function(name: str, *arguments: type, result: type = ctypes.c_int) -> Callable[..., int]:
    """The C library function `name`, taking `arguments`; -1 becomes an OSError.

    Raises (when called):
        OSError: what errno says; ENOSYS when the C library has no such function.
    """
    call = getattr(_LIBC, name, None)
    if call is not None:
        call.argtypes = arguments
        call.restype = result

    def checked(*values: object) -> int:
        if call is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        answer: int = call(*values)
        if answer == -1:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return answer

    return checked


@contextmanager
def with_path(path: str) -> Iterator[None]:
    """Give every OSError from inside `path` as its file name."""
    try:
        yield
    except OSError as error:
        error.filename = path
        error.filename2 = None
        raise
