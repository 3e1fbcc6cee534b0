"""The macOS implementation of `agent.fs.platform`."""

import ctypes
import errno
import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from agent.fs.page_cache import mapped, page_aligned
from agent.fs.syscalls import c_function
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

    # On Intel the plain names use the old structure with 32-bit inodes.
    _SUFFIX = "$INODE64" if os.uname().machine == "x86_64" else ""
    _statfs = c_function("statfs" + _SUFFIX, ctypes.c_char_p, ctypes.POINTER(_StatFS))
    _fstatfs = c_function("fstatfs" + _SUFFIX, ctypes.c_int, ctypes.POINTER(_StatFS))
    _msync = c_function("msync", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    _renameatx_np = c_function(
        "renameatx_np", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint
    )

    def prepare_process() -> None:
        """Do nothing: macOS has no leases."""

    def sync_data(fd: int) -> None:
        """Bring the content to stable storage.

        Raises:
            OSError: the data could not be stored.
        """
        sync_file(fd)

    def sync_file(fd: int) -> None:
        """Bring the content and all attributes to stable storage; fsync(2) alone stops at the drive's cache.

        Raises:
            OSError: the data could not be stored.
        """
        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY):
                raise
            os.fsync(fd)  # network file systems offer nothing stronger

    def start_writeback(fd: int, offset: int, length: int) -> None:
        """Do nothing: macOS starts writing with the next sync."""

    def wait_writeback(fd: int, offset: int, length: int) -> None:
        """Do nothing: macOS syncs a file as a whole."""

    def read_ahead(fd: int, length: int) -> None:
        """Do nothing: reading starts with the first read."""

    def drop_cache(fd: int, offset: int, length: int) -> None:
        """Drop the cached pages of this range (bytes) and disable caching for this descriptor.

        Dirty pages stay, so sync first. `page_cache.is_resident` shows whether the pages were dropped.

        Raises:
            OSError: the descriptor is not a regular file's.
        """
        fcntl.fcntl(fd, _F_NOCACHE, 1)
        if length > 0:
            start, aligned_bytes = page_aligned(offset, length)
            with mapped(fd, start, aligned_bytes) as address:
                _msync(address, aligned_bytes, _MS_INVALIDATE)

    def move_exclusively(source_name: str, source_fd: int, target_name: str, target_fd: int) -> None:
        """Rename from one folder to another without replacing anything (renamex_np(2), RENAME_EXCL).

        Raises:
            FileExistsError: the target name is taken.
            OSError: ENOTSUP where the file system does not support it.
        """
        _renameatx_np(source_fd, os.fsencode(source_name), target_fd, os.fsencode(target_name), _RENAME_EXCL)

    def fresh_stat(name: str, folder: int) -> os.stat_result:
        """Return the status of this name in this open folder; macOS cannot be told to ask the server.

        Raises:
            OSError: as stat(2).
        """
        return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def fresh_fstat(fd: int) -> os.stat_result:
        """Return the status of this open file; macOS cannot be told to ask the server.

        Raises:
            OSError: as fstat(2).
        """
        return os.fstat(fd)

    def is_network(where: int | str) -> bool:
        """Return whether other machines can change this file system without our kernel seeing it.

        `where` is a descriptor or a path.

        Raises:
            OSError: statfs failed.
        """
        flags: int = _file_system_status(where).f_flags
        return not flags & _MNT_LOCAL

    def _file_system_status(where: int | str) -> _StatFS:
        status = _StatFS()
        if isinstance(where, int):
            _fstatfs(where, ctypes.byref(status))
        else:
            _statfs(os.fsencode(where), ctypes.byref(status))
        return status

    def mount_point(where: int | str) -> str:
        """Return the mount point of the file system that holds this descriptor or path.

        Raises:
            OSError: statfs failed.
        """
        name: bytes = _file_system_status(where).f_mntonname
        return os.fsdecode(name)

    def file_system(fd: int) -> str:
        """Return the type of the file system that holds this descriptor, as mount(8) names it.

        Raises:
            OSError: statfs failed.
        """
        name: bytes = _file_system_status(fd).f_fstypename
        return os.fsdecode(name)

    def open_writer(fd: int) -> WriterState:  # noqa: ARG001  the signature of the Linux implementation
        """Return UNKNOWN: macOS does not say which processes have a file open for writing."""
        return WriterState.UNKNOWN

    def open_writers(fds: Sequence[int]) -> tuple[WriterState, ...]:
        """Return UNKNOWN for each, as `open_writer`."""
        return tuple(map(open_writer, fds))

    def is_lease_broken(fd: int) -> bool:  # noqa: ARG001  the signature of the Linux implementation
        """Return False: `read_lease` grants none that could be broken."""
        return False

    @contextmanager
    def read_lease(fd: int) -> Iterator[WriterState]:
        """Yield UNKNOWN: macOS has no leases, so writers are not held back."""
        yield open_writer(fd)
