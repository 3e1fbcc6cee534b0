"""Removing a delivered source: only if it is unchanged, never over a file in the archive.

What happens between the last look and the removal is in `test_delivered_source.py`.
"""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.fs import platform, safe_open
from agent.model.errors import Fault, FaultKind
from agent.model.source_file import WriterState
from agent.protocol.requests import AfterMode
from agent.worker.source import delivered_source
from tests.worker.source.removals import (
    PATH,
    PRIVATE,
    across_folders,
    clip,
    refusing,
    remove_source,
    root,
    signature_now,
)

__all__ = ["clip", "root"]  # fixtures

HOLD_OPEN = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
print("open", flush=True)
sys.stdin.read()
"""


def test_a_delivered_source_is_deleted_and_nothing_else(root: Path, clip: Path) -> None:
    (clip.parent / "other.mxf").write_bytes(b"other")
    assert remove_source(str(root), PATH, signature_now(clip), "delete", None) is None
    assert [path.name for path in clip.parent.iterdir()] == ["other.mxf"]


def test_a_route_that_keeps_its_sources_removes_none(root: Path, clip: Path) -> None:
    assert remove_source(str(root), PATH, signature_now(clip), "keep", None) == "the route keeps its sources"
    assert clip.read_bytes() == b"content"


@pytest.mark.parametrize("after", ["delete", "archive"])
def test_a_source_that_changed_since_it_was_copied_is_kept(
    root: Path, clip: Path, tmp_path: Path, after: AfterMode
) -> None:
    before = signature_now(clip)
    clip.write_bytes(b"CONTENT")
    os.utime(clip, ns=(before.mtime_ns, before.mtime_ns))
    kept = remove_source(str(root), PATH, before, after, str(tmp_path / "archive"))
    assert kept == "it was written to after it had been copied"
    assert clip.read_bytes() == b"CONTENT"


@pytest.mark.parametrize("after", ["delete", "archive"])
def test_a_source_that_is_gone_already_counts_as_removed(
    root: Path, clip: Path, tmp_path: Path, after: AfterMode
) -> None:
    before = signature_now(clip)
    clip.unlink()
    assert remove_source(str(root), PATH, before, after, str(tmp_path / "archive")) is None


@pytest.mark.parametrize("after", ["delete", "archive"])
def test_a_source_that_another_process_has_open_for_writing_is_not_touched(
    root: Path, clip: Path, tmp_path: Path, after: AfterMode
) -> None:
    command = [sys.executable, "-c", HOLD_OPEN, str(clip)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(Fault) as fault:
            remove_source(str(root), PATH, signature_now(clip), after, str(tmp_path / "archive"))
    assert fault.value.kind is FaultKind.SOURCE
    assert clip.read_bytes() == b"content"
    assert remove_source(str(root), PATH, signature_now(clip), after, str(tmp_path / "archive")) is None


def test_a_source_replaced_at_the_last_moment_is_kept(
    root: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signature_now(clip)
    check = delivered_source._check_no_writer

    def meanwhile(writer: WriterState) -> None:
        (root / "new").write_bytes(b"another recording")
        (root / "new").rename(clip)
        check(writer)

    monkeypatch.setattr(delivered_source, "_check_no_writer", meanwhile)
    assert (
        remove_source(str(root), PATH, before, "delete", None) == "it was written to after it had been copied"
    )
    assert clip.read_bytes() == b"another recording"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_source_that_may_not_be_removed_is_kept(
    root: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "unlink", refusing(number))
    why = remove_source(str(root), PATH, signature_now(clip), "delete", None)
    assert why == f"source: {os.strerror(number)} ({PATH})"
    assert clip.exists()


def test_a_source_folder_that_is_gone_does_not_count_as_removed_files(root: Path, clip: Path) -> None:
    before = signature_now(clip)
    root.rename(root.parent / "elsewhere")
    with pytest.raises(Fault) as fault:
        remove_source(str(root), PATH, before, "delete", None)
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE


# The archive


@pytest.fixture(params=["rename", "link"])
def archive(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """On a file system that can move without replacing, and on one that only knows hard links."""
    if request.param == "link":
        monkeypatch.setattr(platform, "move_exclusively", refusing(errno.EINVAL))
    return tmp_path / "archive"


def test_an_archived_source_keeps_its_folder_its_content_and_its_time(
    root: Path, clip: Path, archive: Path
) -> None:
    before = signature_now(clip)
    assert remove_source(str(root), PATH, before, "archive", str(archive)) is None
    assert not clip.exists()
    assert (archive / PATH).read_bytes() == b"content"
    assert (archive / PATH).stat().st_ino == before.inode
    assert (archive / PATH).stat().st_mtime_ns == before.mtime_ns


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_nothing_in_the_archive_is_replaced(root: Path, clip: Path, archive: Path, kind: str) -> None:
    (archive / "day 1").mkdir(parents=True)
    taken = archive / PATH
    match kind:
        case "file":
            taken.write_bytes(b"older")
        case "folder":
            taken.mkdir()
        case _:
            taken.symlink_to("nowhere")
    before = taken.lstat()
    (archive / "day 1" / "clip_1.mxf").write_bytes(b"older too")
    assert remove_source(str(root), PATH, signature_now(clip), "archive", str(archive)) is None
    assert taken.lstat() == before
    assert (archive / "day 1" / "clip_1.mxf").read_bytes() == b"older too"
    assert (archive / "day 1" / "clip_2.mxf").read_bytes() == b"content"
    assert not clip.exists()


def test_an_interrupted_archiving_is_completed_without_a_duplicate(
    root: Path, clip: Path, archive: Path
) -> None:
    (archive / "day 1").mkdir(parents=True)
    (archive / PATH).hardlink_to(clip)
    assert remove_source(str(root), PATH, signature_now(clip), "archive", str(archive)) is None
    assert not clip.exists()
    assert [path.name for path in (archive / "day 1").iterdir()] == ["clip.mxf"]
    assert (archive / PATH).read_bytes() == b"content"


def test_an_archive_that_is_the_source_itself_loses_nothing(root: Path, clip: Path) -> None:
    assert remove_source(str(root), PATH, signature_now(clip), "archive", str(root)) is None
    assert [path.read_bytes() for path in clip.parent.iterdir()] == [b"content"]


def test_nothing_is_archived_through_a_linked_folder(
    root: Path, clip: Path, archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    archive.mkdir()
    (archive / "day 1").symlink_to("../outside")
    with pytest.raises(Fault) as fault:
        remove_source(str(root), PATH, signature_now(clip), "archive", str(archive))
    assert fault.value.kind is FaultKind.SOURCE
    assert list((tmp_path / "outside").iterdir()) == []
    assert clip.exists()


def test_the_archived_name_is_durable_before_the_source_goes(
    root: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where two calls are needed; a move is one."""
    archive = tmp_path / "archive"

    def seen(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}") == str(archive / "day 1"):
            stood.append((root / PRIVATE).exists())

    stood: list[bool] = []
    monkeypatch.setattr(platform, "sync_folder", seen)
    monkeypatch.setattr(platform, "move_exclusively", refusing(errno.ENOSYS))
    remove_source(str(root), PATH, signature_now(clip), "archive", str(archive))
    assert stood == [True]


def test_the_way_to_an_archived_name_is_durable_before_the_source_goes(
    root: Path, clip: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen(descriptor: int) -> None:
        stood.append((os.readlink(f"/proc/self/fd/{descriptor}"), clip.exists()))

    stood: list[tuple[str, bool]] = []
    monkeypatch.setattr(safe_open, "sync_folder", seen)
    (archive / "day 1").mkdir(parents=True)
    remove_source(str(root), PATH, signature_now(clip), "archive", str(archive))
    ways = (archive.parent, archive, archive / "day 1")
    assert [folder for folder in stood if folder[1]] == [(str(folder), True) for folder in ways]


@pytest.mark.parametrize("after", ["delete", "archive"])
def test_a_source_that_has_gone_does_not_come_back_after_a_power_cut(
    root: Path, clip: Path, archive: Path, after: AfterMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen(descriptor: int) -> None:
        stood.append((os.readlink(f"/proc/self/fd/{descriptor}"), any(clip.parent.iterdir())))

    stood: list[tuple[str, bool]] = []
    monkeypatch.setattr(platform, "sync_folder", seen)
    remove_source(str(root), PATH, signature_now(clip), after, str(archive) if after == "archive" else None)
    assert stood[-1] == (str(clip.parent), False)


def test_an_archive_on_another_file_system_is_refused_and_the_source_stays(
    request: pytest.FixtureRequest, root: Path, clip: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if request.node.callspec.params["archive"] == "rename":
        monkeypatch.setattr(platform, "move_exclusively", across_folders(errno.EXDEV))
    monkeypatch.setattr(os, "link", refusing(errno.EXDEV))
    with pytest.raises(Fault) as fault:
        remove_source(str(root), PATH, signature_now(clip), "archive", str(archive))
    assert fault.value.kind is FaultKind.SOURCE
    assert clip.exists()
