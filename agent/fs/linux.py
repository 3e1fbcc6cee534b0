"""The Linux implementation of `agent.fs.platform`."""

import ctypes
import errno
import os
import re
import struct
import sys

from agent.fs.mount_table import LOCAL, Mount, mounts
from agent.fs.page_cache import page_aligned
from agent.fs.syscalls import c_function, closing_fd

assert sys.platform != "darwin"  # noqa: S101  type checkers stop here on other systems

_RENAME_NOREPLACE = 1
_SYNC_FILE_RANGE_WRITE = 2
_SYNC_FILE_RANGE_AND_WAIT = 1 | 2 | 4  # wait before, write, wait after
_SECOND_NS = 10**9
_STATFS_BYTES = 256  # struct statfs is at most 120 bytes; f_type, a long, is its first member
_AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH, _AT_STATX_FORCE_SYNC = 0x100, 0x1000, 0x2000  # linux/fcntl.h
_STATX_BASIC_STATS = 0x7FF  # linux/stat.h
_NO_STATX = (errno.ENOSYS, errno.EPERM, errno.EINVAL)  # an old kernel, a container's filter, an old server
# struct statx, statx(2), as far as the device: links, uid, gid, mode, inode, size, times, device.
_STATX = struct.Struct("=16x3IH2x2Q16x" + "qI4x" * 4 + "8x2I")
_STATX_BYTES = 256

_renameat2 = c_function(
    "renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint
)
_sync_file_range = c_function("sync_file_range", ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
_statx = c_function("statx", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
_statfs = c_function("statfs", ctypes.c_char_p, ctypes.c_char_p)
_fstatfs = c_function("fstatfs", ctypes.c_int, ctypes.c_char_p)


def sync_data(fd: int) -> None:
    """Bring the content, and the metadata needed to read it, to stable storage.

    Raises:
        OSError: the data could not be stored.
    """
    os.fdatasync(fd)


def sync_file(fd: int) -> None:
    """Bring the content and all attributes to stable storage.

    Raises:
        OSError: the data could not be stored.
    """
    os.fsync(fd)


def start_writeback(fd: int, offset: int, length: int) -> None:
    """Start writing this range (bytes) to storage without waiting; a no-op where it is not supported.

    Raises:
        OSError: an earlier write failed (EIO, ENOSPC, ...).
    """
    _write_range(fd, offset, length, _SYNC_FILE_RANGE_WRITE)


def wait_writeback(fd: int, offset: int, length: int) -> None:
    """Write this range (bytes) to storage and wait for it; a no-op where it is not supported.

    It is not durable yet: the storage's own cache and the metadata need `sync_data`.

    Raises:
        OSError: this or an earlier write failed (EIO, ENOSPC, ...).
    """
    _write_range(fd, offset, length, _SYNC_FILE_RANGE_AND_WAIT)


def _write_range(fd: int, offset: int, length: int, flags: int) -> None:
    try:
        _sync_file_range(fd, offset, length, flags)
    except OSError as error:
        if error.errno not in (errno.ESPIPE, errno.EINVAL, errno.ENOSYS):
            raise


def read_ahead(fd: int, length: int) -> None:
    """Advise the kernel to read the first `length` bytes, because they are needed soon.

    Raises:
        OSError: the descriptor is not a regular file's.
    """
    os.posix_fadvise(fd, 0, length, os.POSIX_FADV_WILLNEED)


def drop_cache(fd: int, offset: int, length: int) -> None:
    """Advise the kernel to drop the clean cached pages of this range (bytes), so that a read goes to storage.

    Dirty pages stay, so sync first. `page_cache.is_resident` shows whether the kernel followed the advice.

    Raises:
        OSError: the descriptor is not a regular file's.
    """
    if length > 0:
        os.posix_fadvise(fd, *page_aligned(offset, length), os.POSIX_FADV_DONTNEED)


def move_exclusively(source_name: str, source_fd: int, target_name: str, target_fd: int) -> None:
    """Rename from one folder to another without replacing anything (renameat2(2), RENAME_NOREPLACE).

    Raises:
        FileExistsError: the target name is taken.
        OSError: EINVAL or ENOSYS where the file system or the kernel does not support it.
    """
    _renameat2(source_fd, os.fsencode(source_name), target_fd, os.fsencode(target_name), _RENAME_NOREPLACE)


def fresh_stat(name: str, folder: int) -> os.stat_result:
    """Return the status of this name in this open folder, of a symbolic link itself, as the server has it.

    Raises:
        OSError: as stat(2).
    """
    try:
        return _asked(folder, os.fsencode(name), _AT_SYMLINK_NOFOLLOW)
    except OSError as error:
        if error.errno not in _NO_STATX:
            raise
        return os.stat(name, dir_fd=folder, follow_symlinks=False)


def fresh_fstat(fd: int) -> os.stat_result:
    """Return the status of this open file, as the server has it.

    Raises:
        OSError: as fstat(2).
    """
    try:
        return _asked(fd, b"", _AT_EMPTY_PATH)
    except OSError as error:
        if error.errno not in _NO_STATX:
            raise
        return os.fstat(fd)


def _asked(where: int, name: bytes, flags: int) -> os.stat_result:
    """Ask past the client's cache of attributes, which on a share may be seconds old (statx(2))."""
    found = ctypes.create_string_buffer(_STATX_BYTES)
    _statx(where, name, flags | _AT_STATX_FORCE_SYNC, _STATX_BASIC_STATS, found)
    links, uid, gid, mode, inode, size_bytes, *times, major, minor = _STATX.unpack_from(found)
    (atime, atime_ns), _birth, (ctime, ctime_ns), (mtime, mtime_ns) = zip(
        times[::2], times[1::2], strict=True
    )
    in_ns = {
        "st_atime_ns": atime * _SECOND_NS + atime_ns,
        "st_mtime_ns": mtime * _SECOND_NS + mtime_ns,
        "st_ctime_ns": ctime * _SECOND_NS + ctime_ns,
    }
    shown = (mode, inode, os.makedev(major, minor), links, uid, gid, size_bytes, atime, mtime, ctime)
    return os.stat_result(shown, in_ns)


def is_network(where: int | str) -> bool:
    """Return whether other machines can change this file system without our kernel seeing it.

    `where` is a descriptor or a path. An unknown file system counts as network: this costs latency only.

    Raises:
        OSError: statfs failed.
    """
    return _magic(where) not in LOCAL


def _magic(where: int | str) -> int:
    status = ctypes.create_string_buffer(_STATFS_BYTES)
    if isinstance(where, int):
        _fstatfs(where, status)
    else:
        _statfs(os.fsencode(where), status)
    return ctypes.c_long.from_buffer(status).value & 0xFFFFFFFF


def mount_point(where: int | str) -> str:
    """Return the mount point of the file system that holds this descriptor or path; proc_pid_mountinfo(5).

    Raises:
        OSError: the mount table cannot be read; ENODEV when the descriptor's mount is gone.
    """
    if isinstance(where, str):
        with closing_fd(os.open(where, os.O_PATH)) as fd:
            return _mount(fd).point
    return _mount(where).point


def file_system(fd: int) -> str:
    """Return the type of the file system that holds this descriptor, as the mount table names it.

    Raises:
        OSError: as `mount_point`.
    """
    return _mount(fd).file_system


def _mount(fd: int) -> Mount:
    with open(f"/proc/self/fdinfo/{fd}", "rb") as info:
        mount_id = re.search(rb"^mnt_id:\s*(\d+)$", info.read(), re.MULTILINE)
    for mount in mounts():
        if mount_id is not None and mount.id == int(mount_id[1]):
            return mount
    raise OSError(errno.ENODEV, "the mount is gone")
