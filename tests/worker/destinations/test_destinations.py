"""The folder destination: the contract of every destination, and what only a folder has."""

import contextlib
import errno
import math
import os
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agent.fs import platform, safe_open
from agent.fs.publisher import Publisher
from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.verification import VerifyLevel
from agent.protocol.requests import DestinationRef
from agent.worker.destinations.base import Destination, Partial
from agent.worker.destinations.folder import FolderDestination, OpenFile
from tests.worker.copy.faulty import failing
from tests.worker.copy.folders import is_in_memory, unprivileged
from tests.worker.destinations.contract import (
    MTIME_NS,
    PARTIAL,
    DestinationContract,
    content_of,
    fill,
    publish,
    put,
)

ANY_IDENTITY = "1 2 1 7 0 0"
SHARED_MEMORY = "/dev/shm"  # noqa: S108  a tmpfs on every Linux


@contextmanager
def opened(root: Path) -> Iterator[FolderDestination]:
    with FolderDestination.open(DestinationRef(str(root), root.stat().st_dev), Publisher()) as destination:
        yield destination


class TestFolderOnDisk(DestinationContract):
    @pytest.fixture
    def destination(self, tmp_path: Path) -> Iterator[FolderDestination]:
        with opened(tmp_path) as destination:
            yield destination

    @pytest.fixture
    def level(self, tmp_path: Path) -> VerifyLevel:
        return "read_back_cached" if is_in_memory(tmp_path) else "read_back"


class TestFolderInMemory(DestinationContract):
    @pytest.fixture
    def destination(self) -> Iterator[FolderDestination]:
        with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as root, opened(Path(root)) as destination:
            yield destination

    @pytest.fixture
    def level(self) -> VerifyLevel:
        return "read_back_cached"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A destination beside a foreign folder, with links into that folder."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "clip.mxf").write_bytes(b"foreign")
    (tmp_path / "nas").mkdir()
    return tmp_path / "nas"


@pytest.fixture
def destination(root: Path) -> Iterator[FolderDestination]:
    with opened(root) as destination:
        yield destination


# Names that are taken or lead elsewhere


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("gone"), os.mkfifo])
def test_an_entry_that_is_no_file_keeps_its_name_and_is_not_found(
    destination: FolderDestination, root: Path, make: Callable[[Path], None]
) -> None:
    make(root / "clip.mxf")
    before = (root / "clip.mxf").lstat()
    fill(destination, PARTIAL, b"content")
    assert destination.exists("clip.mxf")
    assert destination.find("clip.mxf") is None
    with pytest.raises(FileExistsError):
        publish(destination, PARTIAL, "clip.mxf", 7)
    assert (root / "clip.mxf").lstat() == before


@pytest.mark.parametrize("where", ["../outside", "{outside}"], ids=["relative", "absolute"])
def test_nothing_is_read_written_or_removed_through_a_linked_folder(
    destination: FolderDestination, root: Path, where: str
) -> None:
    outside = root.parent / "outside"
    (root / "linked").symlink_to(where.format(outside=outside))
    calls: list[Callable[[], object]] = [
        lambda: destination.open_partial(f"linked/{PARTIAL}"),
        lambda: destination.open_partial(f"linked/new/{PARTIAL}"),
        lambda: destination.publish("linked/clip.mxf", "linked/other.mxf", 7, ANY_IDENTITY),
        lambda: destination.find("linked/clip.mxf"),
    ]
    for call in calls:
        with pytest.raises(Fault) as refused:
            call()
        assert refused.value.kind is FaultKind.REFUSED
    destination.discard("linked/clip.mxf")
    assert [entry.name for entry in outside.iterdir()] == ["clip.mxf"]
    assert (outside / "clip.mxf").read_bytes() == b"foreign"


def _hard_link(path: Path) -> None:
    path.hardlink_to(path.parent.parent / "outside" / "clip.mxf")


def _socket(path: Path) -> None:
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as listening:  # its path must be short
        listening.bind(path.name)


@pytest.mark.parametrize(
    "make",
    [lambda path: path.symlink_to("../outside/clip.mxf"), _hard_link, Path.mkdir, os.mkfifo, _socket],
    ids=["link", "hard link", "folder", "FIFO", "socket"],
)
def test_what_has_taken_the_place_of_a_partial_is_not_written_through_and_stays(
    destination: FolderDestination, root: Path, make: Callable[[Path], None]
) -> None:
    make(root / PARTIAL)
    before = (root / PARTIAL).lstat()
    with pytest.raises(Fault) as fault:
        destination.open_partial(PARTIAL)
    assert fault.value.kind is FaultKind.DISPLACED
    assert (root.parent / "outside" / "clip.mxf").read_bytes() == b"foreign"
    assert (root / PARTIAL).lstat() == before
    if not stat.S_ISREG(before.st_mode):
        destination.discard(PARTIAL)
        assert (root / PARTIAL).lstat() == before


@pytest.mark.parametrize("path", ["../outside/clip.mxf", "/etc/passwd", "a/../../outside/clip.mxf"])
def test_a_path_that_leads_out_is_refused(destination: FolderDestination, path: str) -> None:
    for call in (destination.open_partial, destination.find, destination.exists, destination.discard):
        with pytest.raises(ValueError, match="plain relative path"):
            call(path)


def test_a_socket_at_the_name_is_no_file(
    destination: FolderDestination, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.chdir(root)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("clip.mxf")
    assert destination.find("clip.mxf") is None


def test_a_file_that_we_may_not_read_only_has_the_name(root: Path) -> None:
    root.parent.chmod(0o755)
    root.chmod(0o777)
    (root / "clip.mxf").write_bytes(b"secret")
    (root / "clip.mxf").chmod(0)
    with opened(root) as destination, unprivileged():
        assert destination.exists("clip.mxf")
        assert destination.find("clip.mxf") is None


def test_the_source_itself_is_recognised(destination: FolderDestination, root: Path) -> None:
    put(destination, "clip.mxf", b"content")
    status = (root / "clip.mxf").stat()
    existing = destination.find("clip.mxf")
    assert existing is not None
    assert existing.is_file(status.st_dev, status.st_ino)
    assert not existing.is_file(status.st_dev, status.st_ino + 1)
    existing.close()


def test_a_published_file_has_the_time_of_its_source(destination: FolderDestination, root: Path) -> None:
    put(destination, "clip.mxf", b"content")
    assert (root / "clip.mxf").stat().st_mtime_ns == MTIME_NS


# What the operating system says


OUR_CALLS = {"fresh_fstat": platform, "fresh_stat": safe_open}  # the others are of `os`


def _operations(destination: Destination, partial: Partial) -> dict[str, Callable[[], object]]:
    return {
        "fdatasync": lambda: partial.flush(0),
        "fsync": lambda: partial.finalize(MTIME_NS),
        "ftruncate": lambda: partial.truncate(0),
        "pwrite": lambda: partial.write(0, [b"data"]),
        "pread": lambda: partial.read_back(0, 4),
        "fresh_fstat": lambda: partial.size_bytes,
        "unlink": lambda: destination.discard(PARTIAL),
        "open": lambda: destination.open_partial(PARTIAL),
        "fresh_stat": lambda: destination.exists("clip.mxf"),
    }


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, OutageReason.FULL),
        (errno.EDQUOT, OutageReason.FULL),
        (errno.EROFS, OutageReason.READ_ONLY),
        (errno.EIO, OutageReason.IO_ERROR),
        (errno.ESTALE, OutageReason.UNREACHABLE),
        (errno.ETIMEDOUT, OutageReason.HUNG),
    ],
    ids=errno.errorcode.get,
)
def test_an_error_of_any_operation_is_an_outage_with_its_reason(
    destination: FolderDestination, monkeypatch: pytest.MonkeyPatch, number: int, reason: OutageReason
) -> None:
    partial = destination.open_partial(PARTIAL)
    for call, operation in _operations(destination, partial).items():
        with monkeypatch.context() as patched:
            patched.setattr(OUR_CALLS.get(call, os), call, failing(number))
            with pytest.raises(Fault) as fault:
                operation()
        assert (fault.value.kind, fault.value.reason) == (FaultKind.DESTINATION, reason), call
    partial.close()


def test_a_full_disk_reported_at_close_is_an_outage(
    destination: FolderDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = destination.open_partial(PARTIAL)
    close = os.close

    def told_late(descriptor: int) -> None:
        close(descriptor)
        monkeypatch.undo()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "close", told_late)
    with pytest.raises(Fault) as fault:
        partial.close()
    assert fault.value.reason is OutageReason.FULL


def test_a_name_that_does_not_fit_is_refused_for_this_file(destination: FolderDestination) -> None:
    with pytest.raises(Fault) as fault:
        destination.open_partial("n" * 256)
    assert fault.value.kind is FaultKind.REFUSED


def test_a_short_write_is_completed(destination: FolderDestination, monkeypatch: pytest.MonkeyPatch) -> None:
    write, read = os.pwrite, os.pread
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: write(fd, data[:3], offset))
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: read(fd, min(length, 2), offset))
    put(destination, "clip.mxf", b"0123456789")
    assert content_of(destination, "clip.mxf") == b"0123456789"


@pytest.fixture
def synced(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that were synced, relative to the root."""
    folders: list[str] = []

    def note(descriptor: int) -> None:
        folders.append(os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), root))

    monkeypatch.setattr(safe_open, "sync_folder", note)
    return folders


WAY = [".", "day 1", "day 1/camera A"]  # each made durable before the next can be relied upon


def test_the_folders_of_a_partial_are_durable_before_it_is_published_and_then_its_name(
    destination: FolderDestination, root: Path, synced: list[str]
) -> None:
    (root / "day 1" / "camera A").mkdir(parents=True)  # by somebody who may not have synced it
    put(destination, "day 1/camera A/clip.mxf", b"content")
    assert synced == [*WAY, "day 1/camera A"]


def test_a_found_file_is_made_durable_with_its_folders(
    destination: FolderDestination, root: Path, synced: list[str]
) -> None:
    (root / "day 1" / "camera A").mkdir(parents=True)
    (root / "day 1" / "camera A" / "clip.mxf").write_bytes(b"content")
    existing = destination.find("day 1/camera A/clip.mxf")
    assert existing is not None
    with closing(existing):
        existing.make_durable()
    assert synced == WAY


def test_the_entries_of_a_partial_are_synced_once(
    destination: FolderDestination, root: Path, synced: list[str]
) -> None:
    (root / "day 1" / "camera A").mkdir(parents=True)
    with closing(destination.open_partial("day 1/camera A/.clip.mxf.partial")) as partial:
        partial.fsync_parents()
        partial.fsync_parents()
    assert synced == WAY


def test_a_discarded_partial_does_not_come_back_after_a_power_cut(
    destination: FolderDestination, root: Path, synced: list[str]
) -> None:
    (root / "day 1").mkdir()
    (root / "day 1" / ".clip.mxf.partial").write_bytes(b"content")
    destination.discard("day 1/.clip.mxf.partial")
    destination.discard("day 1/.clip.mxf.partial")
    assert synced == ["day 1"]


# Folders that somebody renames meanwhile


def _in_day(destination: FolderDestination) -> OpenFile:
    return destination.open_partial("day/.clip.mxf.partial")


def test_a_partial_whose_folder_was_renamed_before_its_entry_was_durable_is_gone(
    destination: FolderDestination, root: Path
) -> None:
    with closing(_in_day(destination)) as partial:
        (root / "day").rename(root / "day_ok")
        with pytest.raises(Fault) as fault:
            partial.fsync_parents()
    assert fault.value.kind is FaultKind.PARTIAL_GONE


def test_a_partial_whose_folder_was_renamed_later_is_gone_at_the_next_look(
    destination: FolderDestination, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(_in_day(destination)) as partial:
        partial.fsync_parents()
        (root / "day").rename(root / "day_ok")
        (root / "day").mkdir()
        partial.fsync_parents()  # not yet
        monkeypatch.setattr(time, "monotonic", lambda: math.inf)
        with pytest.raises(Fault) as fault:
            partial.fsync_parents()
    assert fault.value.kind is FaultKind.PARTIAL_GONE
    assert not destination.discard("day/.clip.mxf.partial")
    assert [path.name for path in (root / "day_ok").iterdir()] == [".clip.mxf.partial"]


def test_where_the_storage_itself_is_gone_that_is_an_outage_and_the_partial_is_not_given_up(
    destination: FolderDestination, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(_in_day(destination)) as partial:
        (root / "day").rename(root / "day_ok")
        monkeypatch.setattr(platform, "fresh_fstat", failing(errno.ESTALE))
        with pytest.raises(Fault) as fault:
            partial.fsync_parents()
    assert fault.value.reason is OutageReason.UNREACHABLE
