"""What macOS does its own way; `agent.fs.platform` chooses between this and its Linux twin."""

import ctypes
import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from agent.fs.libc import function
from agent.fs.page_cache import mapped, page_aligned
from agent.model.source_file import WriterState

if sys.platform == "darwin":
    _F_NOCACHE = 48  # sys/fcntl.h
    _MS_INVALIDATE = 2  # sys/mman.h
    _RENAME_EXCL = 4  # sys/stdio.h
    _MNT_LOCAL = 0x1000  # sys/mount.h

    class _StatFS(ctypes.Structure):
        """struct statfs with 64-bit inodes, sys/mount.h."""

        _fields_ = [
            ("f_bsize", ctypes.c_uint32),
            ("f_iosize", ctypes.c_int32),
            ("f_blocks", ctypes.c_uint64),
            ("f_bfree", ctypes.c_uint64),
            ("f_bavail", ctypes.c_uint64),
            ("f_files", ctypes.c_uint64),
            ("f_ffree", ctypes.c_uint64),
            ("f_fsid", ctypes.c_int32 * 2),
            ("f_owner", ctypes.c_uint32),
            ("f_type", ctypes.c_uint32),
            ("f_flags", ctypes.c_uint32),
            ("f_fssubtype", ctypes.c_uint32),
            ("f_fstypename", ctypes.c_char * 16),
            ("f_mntonname", ctypes.c_char * 1024),
            ("f_mntfromname", ctypes.c_char * 1024),
            ("f_flags_ext", ctypes.c_uint32),
            ("f_reserved", ctypes.c_uint32 * 7),
        ]

    # On Intel the plain names are those of the old structure with 32-bit inodes.
    _SUFFIX = "$INODE64" if os.uname().machine == "x86_64" else ""
    _statfs = function("statfs" + _SUFFIX, ctypes.c_char_p, ctypes.POINTER(_StatFS))
    _fstatfs = function("fstatfs" + _SUFFIX, ctypes.c_int, ctypes.POINTER(_StatFS))
    _msync = function("msync", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    _renameatx_np = function(
        "renameatx_np", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint
    )

    def prepare_process() -> None:
        """Nothing to prepare: there are no leases."""

    def sync_data(fd: int) -> None:
        """Bring the content to stable storage.

        Raises:
            OSError: it could not be stored.
        """
        sync_file(fd)

    def sync_file(fd: int) -> None:
        """Bring content and attributes to stable storage: fsync(2) stops at the drive's own cache.

        Raises:
            OSError: it could not be stored.
        """
        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY):
                raise
            os.fsync(fd)  # network file systems have nothing stronger

    def start_writeback(fd: int, offset: int, length: int) -> None:
        """Not possible here: writing out begins with the next sync."""

    def read_ahead(fd: int, length: int) -> None:
        """Not worth it here: reading begins with the first read."""

    def drop_cache(fd: int, offset: int, length: int) -> None:
        """Forget the cached pages of this range (bytes), and do not cache what this descriptor reads.

        A wish: ask `resident` what became of it. Unwritten pages stay, so sync first.

        Raises:
            OSError: the descriptor is not a file's.
        """
        fcntl.fcntl(fd, _F_NOCACHE, 1)
        if length > 0:
            start, whole = page_aligned(offset, length)
            with mapped(fd, start, whole) as address:
                _msync(address, whole, _MS_INVALIDATE)

    def rename_exclusively(source_name: str, target_name: str, folder_fd: int) -> None:
        """Rename within a folder; as `move_exclusively`."""
        move_exclusively(source_name, folder_fd, target_name, folder_fd)

    def move_exclusively(source_name: str, source_fd: int, target_name: str, target_fd: int) -> None:
        """Move between two folders; the kernel refuses to replace anything (renamex_np(2), RENAME_EXCL).

        Raises:
            FileExistsError: the target name is taken.
            OSError: ENOTSUP where the file system cannot do it.
        """
        _renameatx_np(source_fd, os.fsencode(source_name), target_fd, os.fsencode(target_name), _RENAME_EXCL)

    def file_system(where: int | str) -> str:
        """The kind of file system under a descriptor or path: "apfs", "smbfs", "nfs", ...

        Raises:
            OSError: it cannot be asked.
        """
        name: bytes = _asked(where).f_fstypename
        return name.decode()

    def is_network(where: int | str) -> bool:
        """Can other machines change what is under this descriptor or path, unseen by our kernel?

        Raises:
            OSError: it cannot be asked.
        """
        flags: int = _asked(where).f_flags
        return not flags & _MNT_LOCAL

    def _asked(where: int | str) -> _StatFS:
        answer = _StatFS()
        if isinstance(where, int):
            _fstatfs(where, ctypes.byref(answer))
        else:
            _statfs(os.fsencode(where), ctypes.byref(answer))
        return answer

    def mount_point(where: int | str) -> str:
        """Where the file system is mounted that holds this descriptor or path.

        Raises:
            OSError: it cannot be asked.
        """
        name: bytes = _asked(where).f_mntonname
        return os.fsdecode(name)

    def open_writer(fd: int) -> WriterState:  # noqa: ARG001  the Linux twin needs it
        """The system cannot say who else has a file open."""
        return WriterState.UNKNOWN

    @contextmanager
    def writers_kept_out(fd: int) -> Iterator[WriterState]:
        """Nobody can be kept out here."""
        yield open_writer(fd)
