"""What Linux does its own way; `agent.fs.platform` chooses between this and its macOS twin."""

import ctypes
import errno
import os
import re
import sys
from pathlib import Path

from agent.fs.descriptors import closing_fd
from agent.fs.libc import function
from agent.fs.mount_table import LOCAL, mounts
from agent.fs.page_cache import page_aligned

assert sys.platform != "darwin"  # noqa: S101  tells type checkers to stop here on other systems

_RENAME_NOREPLACE = 1
_SYNC_FILE_RANGE_WRITE = 2
_STATFS_BYTES = 256  # struct statfs is at most 120 bytes; f_type, a long, is its first member

_renameat2 = function(
    "renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint
)
_sync_file_range = function("sync_file_range", ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
_statfs = function("statfs", ctypes.c_char_p, ctypes.c_char_p)
_fstatfs = function("fstatfs", ctypes.c_int, ctypes.c_char_p)

# f_type, from statfs(2) and linux/magic.h. One that is neither here nor in LOCAL counts as network.
_NETWORK = {
    0x6969: "nfs",
    0x517B: "smb",
    0xFF534D42: "cifs",
    0xFE534D42: "smb2",
    0x65735546: "fuse",
    0x01021997: "9p",
    0x00C36400: "ceph",
    0x5346414F: "afs",
    0x0BD00BD0: "lustre",
    0x47504653: "gpfs",
    0x01161970: "gfs2",
    0x7461636F: "ocfs2",
    0x0187: "autofs",
}


def sync_data(fd: int) -> None:
    """Bring content, and what is needed to find it again, to stable storage.

    Raises:
        OSError: it could not be stored.
    """
    os.fdatasync(fd)


def sync_file(fd: int) -> None:
    """Bring content and all attributes to stable storage.

    Raises:
        OSError: it could not be stored.
    """
    os.fsync(fd)


def start_writeback(fd: int, offset: int, length: int) -> None:
    """Begin to write this range (bytes) out, without waiting for it; nothing where that is not possible.

    Raises:
        OSError: an earlier write failed (EIO, ENOSPC, ...).
    """
    try:
        _sync_file_range(fd, offset, length, _SYNC_FILE_RANGE_WRITE)
    except OSError as error:
        if error.errno not in (errno.ESPIPE, errno.EINVAL, errno.ENOSYS):
            raise


def read_ahead(fd: int, length: int) -> None:
    """Begin to read the first bytes of a file that will be wanted soon. A wish.

    Raises:
        OSError: the descriptor is not a file's.
    """
    os.posix_fadvise(fd, 0, length, os.POSIX_FADV_WILLNEED)


def drop_cache(fd: int, offset: int, length: int) -> None:
    """Forget the clean cached pages of this range (bytes), so that a read goes to the storage.

    A wish: ask `resident` what became of it. Unwritten pages stay, so sync first.

    Raises:
        OSError: the descriptor is not a file's.
    """
    if length > 0:
        os.posix_fadvise(fd, *page_aligned(offset, length), os.POSIX_FADV_DONTNEED)


def rename_exclusively(source_name: str, target_name: str, folder_fd: int) -> None:
    """Rename within a folder; as `move_exclusively`."""
    move_exclusively(source_name, folder_fd, target_name, folder_fd)


def move_exclusively(source_name: str, source_fd: int, target_name: str, target_fd: int) -> None:
    """Move between two folders; the kernel refuses to replace anything (renameat2, RENAME_NOREPLACE).

    Raises:
        FileExistsError: the target name is taken.
        OSError: EINVAL or ENOSYS where file system or kernel cannot do it.
    """
    _renameat2(source_fd, os.fsencode(source_name), target_fd, os.fsencode(target_name), _RENAME_NOREPLACE)


def file_system(where: int | str) -> str:
    """The kind of file system under a descriptor or path, by statfs(2); hexadecimal when it is not known.

    Raises:
        OSError: it cannot be asked.
    """
    magic = _magic(where)
    return LOCAL[magic][0] if magic in LOCAL else _NETWORK.get(magic, hex(magic))


def is_network(where: int | str) -> bool:
    """Can other machines change what is under this descriptor or path, unseen by our kernel?

    An unknown file system counts as network: that costs latency, never a file.

    Raises:
        OSError: it cannot be asked.
    """
    return _magic(where) not in LOCAL


def _magic(where: int | str) -> int:
    answer = ctypes.create_string_buffer(_STATFS_BYTES)
    if isinstance(where, int):
        _fstatfs(where, answer)
    else:
        _statfs(os.fsencode(where), answer)
    return ctypes.c_long.from_buffer(answer).value & 0xFFFFFFFF


def mount_point(where: int | str) -> str:
    """Where the file system is mounted that holds this descriptor or path; proc_pid_mountinfo(5).

    Raises:
        OSError: it cannot be asked; ENODEV when the mount is gone from under the descriptor.
    """
    if isinstance(where, str):
        with closing_fd(os.open(where, os.O_PATH)) as fd:
            return mount_point(fd)
    own = re.search(rb"^mnt_id:\s*(\d+)$", Path(f"/proc/self/fdinfo/{where}").read_bytes(), re.MULTILINE)
    for mount in mounts():
        if own is not None and mount.id == int(own[1]):
            return mount.point
    raise OSError(errno.ENODEV, "the mount is gone")
