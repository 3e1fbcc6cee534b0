"""File system calls that differ between Linux and macOS; only this module chooses the implementation.

All of them block, for ever on a hung mount.
"""

import errno
import os
import sys

from agent.model.names import NAME_MAX_BYTES, conflict_path

if sys.platform == "darwin":
    from agent.fs.darwin import (
        drop_cache,
        file_system,
        fresh_fstat,
        fresh_stat,
        is_lease_broken,
        is_network,
        mount_point,
        move_exclusively,
        open_writer,
        open_writers,
        prepare_process,
        read_ahead,
        read_lease,
        start_writeback,
        sync_data,
        sync_file,
        wait_writeback,
    )
else:
    from agent.fs.leases import (
        is_lease_broken,
        open_writer,
        open_writers,
        prepare_process,
        read_lease,
    )
    from agent.fs.linux import (
        drop_cache,
        file_system,
        fresh_fstat,
        fresh_stat,
        is_network,
        mount_point,
        move_exclusively,
        read_ahead,
        start_writeback,
        sync_data,
        sync_file,
        wait_writeback,
    )

__all__ = [
    "UNSUPPORTED",
    "calls_at_once",
    "conflict_name",
    "drop_cache",
    "file_system",
    "free_bytes",
    "fresh_fstat",
    "fresh_stat",
    "is_lease_broken",
    "is_network",
    "is_read_only",
    "mount_point",
    "move_exclusively",
    "name_max_bytes",
    "open_writer",
    "open_writers",
    "prepare_process",
    "read_ahead",
    "read_lease",
    "start_writeback",
    "sync_data",
    "sync_file",
    "sync_folder",
    "wait_writeback",
]

NETWORK_CALLS = 4

# The errno values of a call that a file system does not implement.
UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}


def sync_folder(fd: int) -> None:
    """Bring a folder's entries to stable storage; a file system that cannot sync folders is accepted.

    Raises:
        OSError: the entries could not be stored.
    """
    try:
        sync_file(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise


def free_bytes(fd: int) -> tuple[int, int]:
    """Return the bytes that this process may still write to the file system, and the file system's size.

    Raises:
        OSError: statvfs failed.
    """
    status = os.statvfs(fd)
    return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize


def calls_at_once(fd: int) -> int:
    """Return how many calls for different files are worth running in parallel.

    On a network file system each call is a round trip. On a local disk one thread is as fast as four, which
    contend for the interpreter, and it needs half of the processor time.

    Raises:
        OSError: statfs failed.
    """
    return NETWORK_CALLS if is_network(fd) else 1


def name_max_bytes(fd: int) -> int:
    """Return how long a name may be on this file system; some count characters, which are no more than bytes.

    Raises:
        OSError: statvfs failed.
    """
    return min(os.statvfs(fd).f_namemax or NAME_MAX_BYTES, NAME_MAX_BYTES)


def conflict_name(fd: int, name: str, number: int) -> str:
    """Return the `number`-th name to try in this open folder when a name is taken: `conflict_path`.

    Raises:
        OSError: statvfs failed.
    """
    return conflict_path(name, number, name_max_bytes(fd)) if number else name


def is_read_only(fd: int) -> bool:
    """Return whether this file system is mounted read-only.

    Raises:
        OSError: statvfs failed.
    """
    return bool(os.statvfs(fd).f_flag & os.ST_RDONLY)
