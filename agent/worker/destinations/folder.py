"""A destination that is a folder: a mounted NAS or a local disk."""

import errno
import os
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Self

from attrs import define, evolve, field

from agent.fs import platform, root_folders, safe_open
from agent.fs.expected_mounts import expected_mount
from agent.fs.file_identity import FileIdentity, IdentityMismatch
from agent.fs.page_cache import is_resident
from agent.fs.publisher import Publisher
from agent.fs.root_folders import RootMoved
from agent.fs.safe_open import DirSync
from agent.fs.syscalls import closing_fd, closing_written_fd, with_path
from agent.model.errors import Fault, FaultKind, OutageReason, Side, classify
from agent.model.names import split_path
from agent.model.storage import PublishStrategy
from agent.model.verification import VerifyLevel
from agent.protocol.replies import Probed
from agent.protocol.requests import ConflictMode, DestinationRef, VerifyMode
from agent.worker.destinations.base import Beat
from agent.worker.destinations.orphans import OrphanScan
from agent.worker.destinations.write_pace import WritePace
from agent.worker.source.source_file import READ_FLAGS

LOOK_AGAIN_S = 10.0  # how often a long copy looks whether its partial still has its name
_NO_TIMES = platform.UNSUPPORTED | {errno.EACCES}


@contextmanager
def destination_faults() -> Iterator[None]:
    """Raise each OSError of this block as a Fault of the destination; FileExistsError passes unchanged."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise classify(error, Side.DESTINATION) from error


@define  # noqa: PLR0904  implements `Partial`
class OpenFile:
    """Implements `Partial` and `Existing` over one descriptor."""

    survives_request = True
    is_readable = True
    _descriptor: int
    _dir_sync: DirSync
    _path: str
    _pace: WritePace
    _beat: Beat
    _read_past_cache: bool = field(default=True, init=False)  # every read_back so far
    _is_entry_durable: bool = field(default=False, init=False)
    _look_again_s: float = field(default=0.0, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _unsynced: list[tuple[int, int]] = field(factory=list, init=False)  # offset and length, in bytes

    @property
    def size_bytes(self) -> int:
        with destination_faults():
            return platform.fresh_fstat(self._descriptor).st_size

    @property
    def read_back_level(self) -> VerifyLevel:
        return "read_back" if self._read_past_cache else "read_back_cached"

    def level(self, wanted: VerifyMode) -> VerifyLevel:
        return self.read_back_level if wanted == "read_back" else wanted

    def write_group(self, block: int) -> range:
        return range(block, block + 1)

    def may_contain(self, block: int) -> bool:  # noqa: ARG002  comparing would read it back
        return False

    def truncate(self, size_bytes: int) -> None:
        with destination_faults():
            os.ftruncate(self._descriptor, size_bytes)

    def leave_room(self, kept_bytes: int) -> None:
        with destination_faults():
            status = os.fstat(self._descriptor)
            try:
                os.ftruncate(self._descriptor, min(status.st_size, kept_bytes))
            except OSError:  # btrfs refuses that where a quota is used up, but not to remove a file
                root = self._dir_sync.root
                if os.path.samestat(status, safe_open.stat_at(root, self._path)):
                    safe_open.unlink_at(root, self._path)

    def write(self, offset: int, blocks: Sequence[bytes]) -> None:
        for data in blocks:
            with self._lock:
                unsynced_bytes = sum(length for _, length in self._unsynced)
            if unsynced_bytes and unsynced_bytes + len(data) > self._pace.limit_bytes:
                self._sync()
            self._write(offset, data)
            offset += len(data)

    def _write(self, offset: int, data: bytes) -> None:
        with destination_faults():
            written = 0
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:] if written else data, offset + written)
            platform.start_writeback(self._descriptor, offset, len(data))
        with self._lock:
            self._unsynced.append((offset, len(data)))

    def flush(self, end: int) -> None:  # noqa: ARG002  a file is synced as a whole
        self._sync()

    def _sync(self) -> None:
        """Piece by piece, since each shows that the storage still takes something; then as a whole."""
        with self._lock:
            pieces, self._unsynced = self._unsynced, []
        began_s = time.monotonic()
        with destination_faults():
            for offset, length in pieces:
                platform.wait_writeback(self._descriptor, offset, length)
                self._beat()
            platform.sync_data(self._descriptor)
        self._pace.synced(sum(length for _, length in pieces), time.monotonic() - began_s)

    def fsync_parents(self) -> None:
        now_s = time.monotonic()
        if self._is_entry_durable and now_s < self._look_again_s:
            return
        with destination_faults():
            try:
                if self._is_entry_durable:
                    safe_open.stat_at(self._dir_sync.root, self._path)
                else:
                    self._dir_sync.sync(self._path)
            except (FileNotFoundError, NotADirectoryError) as error:
                platform.fresh_fstat(self._descriptor)  # else the storage is gone, and not the name alone
                raise _partial_gone(self._path) from error
        self._is_entry_durable, self._look_again_s = True, now_s + LOOK_AGAIN_S

    def matches(self, offset: int, blocks: Sequence[bytes]) -> bool:
        data = b"".join(blocks)
        return self.read_back(offset, len(data)) == data

    def read_back(self, offset: int, length: int) -> bytes:
        with destination_faults():
            platform.drop_cache(self._descriptor, offset, length)
            if is_resident(self._descriptor, offset, length):
                self._read_past_cache = False
            parts: list[bytes] = []
            while length > 0 and (part := os.pread(self._descriptor, length, offset)):
                parts.append(part)
                offset += len(part)
                length -= len(part)
            return b"".join(parts) if len(parts) != 1 else parts[0]

    def finalize(self, mtime_ns: int) -> bool:
        with destination_faults():
            try:
                os.utime(self._descriptor, ns=(mtime_ns, mtime_ns))
                is_time_set = True
            except OSError as error:  # CIFS mounted for another user, some FUSE file systems
                if error.errno not in _NO_TIMES:
                    raise
                is_time_set = False
            platform.sync_file(self._descriptor)
            return is_time_set

    @property
    def file_identity(self) -> str:
        with destination_faults():
            return str(FileIdentity.of(platform.fresh_fstat(self._descriptor)))

    def is_file(self, device: int, inode: int) -> bool:
        with destination_faults():
            status = os.fstat(self._descriptor)
            return (status.st_dev, status.st_ino) == (device, inode)

    def make_durable(self) -> None:
        with destination_faults():
            platform.sync_file(self._descriptor)
            self._dir_sync.sync(self._path)

    def close(self) -> None:
        # SMB may report a full disk only at close(), so this too can be an outage.
        with destination_faults():
            os.close(self._descriptor)


@define  # noqa: PLR0904  implements `Destination`
class FolderDestination:
    """A folder on the device that the storage monitor accepted.

    It is held open, so that a mount or unmount between two calls cannot redirect them.
    """

    _root: int
    _publisher: Publisher
    _pace: WritePace
    _beat: Beat
    _dir_sync: DirSync = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._dir_sync = DirSync(self._root)

    @classmethod
    @contextmanager
    def open(
        cls,
        ref: DestinationRef,
        publisher: Publisher,
        pace: WritePace | None = None,
        beat: Beat = lambda: None,
    ) -> Iterator[Self]:
        """Open the folder, and check that it is on the accepted device.

        `pace`: None: nothing is known of it yet. `beat` is called when bytes have moved, from any thread.

        Raises:
            Fault: DESTINATION, with reason UNMOUNTED when the folder is on another device.
        """
        with _open_accepted(ref) as root:
            yield cls(root, publisher, pace or WritePace(), beat)

    @property
    def calls_at_once(self) -> int:
        with destination_faults():
            return platform.calls_at_once(self._root)

    @property
    def name_max_bytes(self) -> int:
        with destination_faults():
            return platform.name_max_bytes(self._root)

    @contextmanager
    def durable_together(self) -> Iterator[None]:
        with destination_faults(), self._dir_sync.together():
            yield

    def allocate_partial(
        self,
        partial: str,
        name: str,  # noqa: ARG002  any partial fits any name
        size_bytes: int | None,  # noqa: ARG002  as above
        conflict: ConflictMode,  # noqa: ARG002  as above
    ) -> str:
        return partial

    def open_partial(self, partial: str, *, is_begun: bool = False) -> OpenFile:
        if is_begun and not self.exists(partial):
            raise _partial_gone(partial)
        with (
            destination_faults(),
            safe_open.parent(self._root, partial, create=True) as (folder, name),
            with_path(partial),
        ):
            return self._opened(_open_own_file(name, folder), partial)

    def exists(self, name: str) -> bool:
        with destination_faults():
            return self._status(name) is not None

    def discard(self, partial: str) -> bool:
        with destination_faults(), suppress(FileNotFoundError, NotADirectoryError):
            if stat.S_ISREG(safe_open.stat_at(self._root, partial).st_mode):
                safe_open.unlink_at(self._root, partial)
                return True
        return False

    def publish(self, partial: str, name: str, size_bytes: int, file_identity: str | None) -> str | None:  # noqa: ARG002  the file has its size
        if file_identity is None:
            raise IdentityMismatch(is_other_file=False)
        expected = FileIdentity.parse(file_identity)
        with destination_faults(), safe_open.parent(self._root, partial) as (folder, source_name):
            published = self._publisher.publish(source_name, split_path(name)[1], folder, expected)
            self._dir_sync.sync_entry(name, folder)
        return None if published.identity is None else str(published.identity)

    def unpublish(self, partial: str, name: str) -> bool:  # noqa: ARG002  partials are readable
        return False

    def find(self, name: str) -> OpenFile | None:
        with destination_faults():
            status = self._status(name)
            if status is None or not stat.S_ISREG(status.st_mode):
                return None
            with suppress(PermissionError):  # a foreign file that we may not read
                return self._opened(safe_open.open_at(self._root, name, READ_FLAGS), name)
            return None

    def find_orphans(self, identity: str, *, deep: bool) -> Iterator[tuple[str, ...]]:
        with destination_faults():
            yield from OrphanScan(self._root, identity, deep).parts()

    def _opened(self, descriptor: int, path: str) -> OpenFile:
        return OpenFile(descriptor, self._dir_sync, path, self._pace, self._beat)

    def _status(self, name: str) -> os.stat_result | None:
        try:
            return safe_open.stat_at(self._root, name)
        except FileNotFoundError:
            return None


def _open_own_file(name: str, folder: int) -> int:
    """Create this file, or open the one that an earlier attempt created: it has no other name.

    Raises:
        Fault: DISPLACED: it is none of ours. OSError: it cannot be opened.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
    except FileExistsError:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if _is_own_file(status):
        descriptor = os.open(name, flags, dir_fd=folder)
        if _is_own_file(os.fstat(descriptor)):
            return descriptor
        os.close(descriptor)
    raise Fault(
        FaultKind.DISPLACED, f"something else has the name of the partial, {name!r}, and is left alone"
    )


def _partial_gone(partial: str) -> Fault:
    why = f"the partial {partial!r} has lost its name: it was removed, or its folder renamed"
    return Fault(FaultKind.PARTIAL_GONE, why)


def _is_own_file(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_nlink <= 1  # some FUSE file systems do not count


@contextmanager
def temporary(ref: DestinationRef, path: str) -> Iterator[bool]:
    """As `factory.temporary`."""
    with _open_accepted(ref) as root:
        with destination_faults():
            is_made = safe_open.make_temporary(root, path)
        try:
            yield is_made
        finally:
            with destination_faults(), suppress(FileNotFoundError, NotADirectoryError):
                safe_open.unlink_at(root, path)


def probe(
    root: str, marker: str | None, try_writing: str | None, try_publishing: str | None = None
) -> Probed:
    """Check that the folder exists and can be written to.

    `try_writing`: the name of a file that is created, synced and removed to prove it; None: check only.
    `try_publishing`: as in `ProbeDestination`.

    Raises:
        Fault: DESTINATION, with the reason of the outage.
    """
    with closing_fd(_open_root(root)) as descriptor, destination_faults():
        _check_marker(descriptor, root, marker)
        if platform.is_read_only(descriptor):
            raise Fault.outage(OutageReason.READ_ONLY, f"{root} is mounted read-only")
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=descriptor, effective_ids=True):
            raise Fault.outage(OutageReason.DENIED, f"no permission to write into {root}")
        if try_writing is None:
            return _probed(descriptor, root)
        strategy = _try_writing(descriptor, try_writing, try_publishing)
        return evolve(_probed(descriptor, root), publish_strategy=strategy)


def find(root: str, marker: str | None) -> Probed:
    """Check that the folder exists, for reading only.

    Raises:
        Fault: DESTINATION, with the reason of the outage.
    """
    with closing_fd(_open_root(root)) as descriptor, destination_faults():
        _check_marker(descriptor, root, marker)
        return _probed(descriptor, root)


def _probed(descriptor: int, root: str) -> Probed:
    device, mount_point = os.fstat(descriptor).st_dev, platform.mount_point(descriptor)
    expected = expected_mount(os.path.realpath(root))
    return Probed(device, mount_point, *platform.free_bytes(descriptor), expected)


@contextmanager
def _open_accepted(ref: DestinationRef) -> Iterator[int]:
    with closing_fd(_open_root(ref.root)) as root:
        with destination_faults():
            device = os.fstat(root).st_dev
        if device != ref.device:
            raise Fault.outage(OutageReason.UNMOUNTED, f"another file system is mounted at {ref.root}")
        yield root


def _open_root(root: str) -> int:
    with destination_faults():
        try:
            return root_folders.open_root(root)
        except RootMoved as error:
            raise Fault.outage(OutageReason.UNREACHABLE, str(error.strerror)) from error
        except NotADirectoryError as error:
            raise Fault.outage(OutageReason.UNREACHABLE, f"{root} is not a folder") from error
        except FileNotFoundError as error:
            why = f"{root} does not exist: mount the share, or make the folder"
            raise Fault.outage(OutageReason.UNMOUNTED, why) from error


def _check_marker(descriptor: int, root: str, marker: str | None) -> None:
    if marker is None:
        return
    try:
        os.stat(marker, dir_fd=descriptor)
    except (FileNotFoundError, NotADirectoryError) as error:
        why = f"the marker {marker!r} is not in {root}"
        raise Fault.outage(OutageReason.MARKER_MISSING, why) from error


def _try_writing(folder: int, name: str, try_publishing: str | None) -> PublishStrategy | None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=folder)
    try:
        with closing_written_fd(descriptor):
            os.write(descriptor, b"probe")
            platform.sync_data(descriptor)
        return None if try_publishing is None else _try_publishing(folder, name, try_publishing)
    finally:
        with suppress(FileNotFoundError):  # published, or a search for orphans was faster
            os.unlink(name, dir_fd=folder)


def _try_publishing(folder: int, name: str, published: str) -> PublishStrategy | None:
    identity = FileIdentity.of(os.stat(name, dir_fd=folder, follow_symlinks=False))
    try:
        return Publisher().publish(name, published, folder, identity).strategy
    except IdentityMismatch:  # of a file system that renumbers its files
        return None
    finally:
        with suppress(FileNotFoundError):
            os.unlink(published, dir_fd=folder)
