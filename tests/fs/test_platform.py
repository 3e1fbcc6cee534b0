import errno
import mmap
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.fs import linux, page_cache, platform, syscalls

SHARED_MEMORY = "/dev/shm"  # noqa: S108  a tmpfs on every Linux
PAGE = mmap.PAGESIZE
CONTENT = bytes(range(256)) * (4 * PAGE // 256)  # four pages


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    """A file of four pages."""
    (tmp_path / "clip.mxf").write_bytes(CONTENT)
    opened = os.open(tmp_path / "clip.mxf", os.O_RDWR)
    yield opened
    os.close(opened)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path, os.O_RDONLY)
    yield opened
    os.close(opened)


# Storage


def test_syncing_a_file_and_its_folder_succeeds_on_a_real_file_system(fd: int, folder: int) -> None:
    platform.sync_data(fd)
    platform.sync_file(fd)
    platform.sync_folder(folder)


@pytest.mark.parametrize("sync", [platform.sync_data, platform.sync_file])
def test_a_file_that_cannot_be_synced_is_an_error(sync: Callable[[int], None]) -> None:
    reader, writer = os.pipe()
    with pytest.raises(OSError, match="Invalid argument"):
        sync(reader)
    os.close(reader)
    os.close(writer)


def test_a_folder_that_cannot_be_synced_is_accepted_but_a_failing_sync_is_an_error(
    folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(platform, "sync_file", refused)
    number = errno.EINVAL
    platform.sync_folder(folder)
    number = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        platform.sync_folder(folder)


def test_writeback_is_started_where_it_is_supported(fd: int) -> None:
    platform.start_writeback(fd, 0, len(CONTENT))
    reader, writer = os.pipe()
    platform.start_writeback(reader, 0, PAGE)
    os.close(reader)
    os.close(writer)
    with pytest.raises(OSError, match="Bad file descriptor"):
        platform.start_writeback(reader, 0, PAGE)


def test_free_space_is_what_we_may_use_and_at_most_the_size(folder: int) -> None:
    free, total = platform.free_bytes(folder)
    assert 0 < free < total


def test_read_only_agrees_with_the_mount_table() -> None:
    said = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        # FUSE mounts are other tests': they hang, fail and go at any moment.
        if not kind.startswith("fuse") and Path(place).is_dir() and os.access(place, os.R_OK):
            said[place] = "ro" in options.split(",")  # the last one mounted there is what can be seen
    assert len(said) > 1
    for place, is_read_only in said.items():
        fd = os.open(place, os.O_RDONLY)
        assert platform.is_read_only(fd) == is_read_only, place
        os.close(fd)


# The page cache


def test_dropped_pages_are_gone_from_the_cache_until_read_again(fd: int) -> None:
    platform.sync_file(fd)
    assert page_cache.is_resident(fd, 0, len(CONTENT))
    platform.drop_cache(fd, 0, len(CONTENT))
    assert not page_cache.is_resident(fd, 0, len(CONTENT))
    os.pread(fd, 1, 0)
    assert page_cache.is_resident(fd, 0, 1)


def test_a_range_that_is_not_page_aligned_is_dropped_to_its_edges(fd: int) -> None:
    platform.sync_file(fd)
    platform.drop_cache(fd, 1, len(CONTENT) - 2)
    assert not page_cache.is_resident(fd, 1, len(CONTENT) - 2)


def test_unwritten_pages_are_never_dropped() -> None:
    with TemporaryDirectory(dir=SHARED_MEMORY) as place:  # tmpfs keeps every page
        fd = os.open(f"{place}/file", os.O_RDWR | os.O_CREAT)
        os.write(fd, CONTENT)
        platform.drop_cache(fd, 0, len(CONTENT))
        assert page_cache.is_resident(fd, 0, len(CONTENT))
        assert os.pread(fd, len(CONTENT), 0) == CONTENT
        os.close(fd)


def test_an_empty_range_drops_nothing_and_is_not_resident(fd: int) -> None:
    platform.drop_cache(fd, 0, 0)
    assert page_cache.is_resident(fd, 0, PAGE)
    assert not page_cache.is_resident(fd, 0, 0)


def test_one_cached_page_in_any_window_counts(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_cache, "_WINDOW_BYTES", PAGE)
    platform.sync_file(fd)
    platform.drop_cache(fd, 0, len(CONTENT))
    assert not page_cache.is_resident(fd, 0, len(CONTENT))
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)  # no read-ahead
    os.pread(fd, 1, 3 * PAGE)
    assert page_cache.is_resident(fd, 0, len(CONTENT))
    assert not page_cache.is_resident(fd, 0, 3 * PAGE)


def test_what_cannot_be_mapped_counts_as_cached() -> None:
    reader, writer = os.pipe()
    assert page_cache.is_resident(reader, 0, PAGE)
    os.close(reader)
    os.close(writer)


# File systems


def test_local_file_systems_are_known_by_path_and_descriptor(folder: int) -> None:
    assert not platform.is_network(SHARED_MEMORY)
    assert platform.is_network(folder) == platform.is_network(f"/proc/self/fd/{folder}")


def test_network_file_systems_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def statfs(_path: bytes, answer: bytearray) -> None:
        answer[:8] = 0xFE534D42.to_bytes(8, sys.byteorder)

    monkeypatch.setattr(linux, "_statfs", statfs)
    assert platform.is_network("/mnt/nas")


def test_an_unknown_file_system_counts_as_network() -> None:
    assert platform.is_network("/proc")


def test_a_missing_path_has_no_file_system() -> None:
    with pytest.raises(FileNotFoundError):
        platform.is_network("/nowhere")


def test_the_mount_point_is_that_of_the_file_system_links_followed(tmp_path: Path) -> None:
    (tmp_path / "nas").symlink_to(SHARED_MEMORY)
    assert platform.mount_point(str(tmp_path / "nas")) == SHARED_MEMORY
    assert platform.mount_point("/proc/self") == "/proc"
    assert os.path.ismount(platform.mount_point(str(tmp_path)))


def test_the_mount_point_of_a_descriptor_is_that_of_its_path() -> None:
    fd = os.open("/proc/self", os.O_RDONLY)
    assert platform.mount_point(fd) == "/proc"
    os.close(fd)


def test_a_descriptor_whose_mount_is_not_in_the_table_has_no_mount_point() -> None:
    reader, writer = os.pipe()  # lives on a mount of the kernel's own
    with pytest.raises(OSError, match="mount is gone") as gone:
        platform.mount_point(reader)
    assert gone.value.errno == errno.ENODEV
    os.close(reader)
    os.close(writer)


def test_a_function_that_the_c_library_lacks_is_an_unsupported_call() -> None:
    with pytest.raises(OSError, match="not implemented") as absent:
        syscalls.c_function("no_such_function")()
    assert absent.value.errno == errno.ENOSYS


# Attributes


def test_the_fresh_status_is_that_of_stat(tmp_path: Path, folder: int, fd: int) -> None:
    (tmp_path / "link").symlink_to("clip.mxf")
    os.utime(tmp_path / "clip.mxf", ns=(-1, -(10**9) - 7))
    for name in ("clip.mxf", "link"):
        assert _shown(platform.fresh_stat(name, folder)) == _shown(os.lstat(tmp_path / name))
    assert _shown(platform.fresh_fstat(fd)) == _shown(os.fstat(fd))


def _shown(status: os.stat_result) -> tuple[int, ...]:
    return (*status[:7], status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns)


def test_the_fresh_status_of_a_missing_name_is_an_error(folder: int) -> None:
    with pytest.raises(FileNotFoundError):
        platform.fresh_stat("nowhere", folder)
    with pytest.raises(OSError, match="Bad file descriptor"):
        platform.fresh_fstat(-1)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_where_the_server_cannot_be_asked_the_client_answers(
    tmp_path: Path, folder: int, fd: int, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(linux, "_statx", refused)
    assert platform.fresh_stat("clip.mxf", folder) == os.lstat(tmp_path / "clip.mxf")
    assert platform.fresh_fstat(fd) == os.fstat(fd)
