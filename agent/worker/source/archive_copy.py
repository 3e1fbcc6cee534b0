"""Copy a source into an archive on another file system: complete, durable and read back."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress

import xxhash

from agent.fs import platform
from agent.fs.syscalls import closing_fd, closing_written_fd
from agent.model.verification import BLOCK_BYTES

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def store_copy(source: int, folder: int, name: str, heartbeat: Callable[[], None]) -> None:
    """Copy an open file to this temporary name of ours; what an earlier copy has left there is replaced.

    Raises:
        OSError: the copy cannot be written, or reads back altered; nothing is left of it then.
    """
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    try:
        with closing_written_fd(os.open(name, _CREATE, 0o666, dir_fd=folder)) as copy:
            _copy_and_verify(source, copy, heartbeat)
    except OSError:
        discard_copy(folder, name)
        raise


def discard_copy(folder: int, name: str) -> None:
    """Remove a copy that is of no use; where even that fails it stays, as a hidden file."""
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)


def has_equal_content(source: int, folder: int, name: str, heartbeat: Callable[[], None]) -> bool:
    """Return whether this name is a file with the content of the open one, size and all.

    Raises:
        OSError: one of the files cannot be read.
    """
    try:
        descriptor = os.open(name, _READ, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
            return False
        raise
    with closing_fd(descriptor) as other:
        if os.fstat(other).st_size != os.fstat(source).st_size:
            return False
        return _digest_of(source, heartbeat) == _digest_of(other, heartbeat)


def _copy_and_verify(source: int, copy: int, heartbeat: Callable[[], None]) -> None:
    content, offset = xxhash.xxh3_128(), 0
    while data := os.pread(source, BLOCK_BYTES, offset):
        written = 0
        while written < len(data):
            written += os.pwrite(copy, data[written:], offset + written)
        content.update(data)
        offset += len(data)
        heartbeat()
    status = os.fstat(source)
    with suppress(OSError):  # not every file system can set times
        os.utime(copy, ns=(status.st_mtime_ns, status.st_mtime_ns))
    platform.sync_file(copy)
    platform.drop_cache(copy, 0, offset)
    if _digest_of(copy, heartbeat) != content.digest():
        raise OSError(errno.EIO, "the copy in the archive reads back altered")


def _digest_of(descriptor: int, heartbeat: Callable[[], None]) -> bytes:
    content, offset = xxhash.xxh3_128(), 0
    while data := os.pread(descriptor, BLOCK_BYTES, offset):
        content.update(data)
        offset += len(data)
        heartbeat()
    return content.digest()
