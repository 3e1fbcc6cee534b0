"""An archive on another file system: the source is copied there, read back, and only then removed."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.fs import platform
from agent.model.errors import Fault, FaultKind
from agent.model.verification import BLOCK_BYTES
from agent.protocol.replies import SourceRemoved
from agent.worker.source import archive_copy
from tests.worker.source.removals import PRIVATE, clip, contents, refusing, removed, root, signature_now

__all__ = ["clip", "root"]  # fixtures
CONTENT = bytes(range(251)) * (2 * BLOCK_BYTES // 251 + 7)
COPY = Path(PRIVATE).name


@pytest.fixture
def archive() -> Iterator[Path]:
    with TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder, "archive")


@pytest.fixture
def recording(clip: Path, archive: Path) -> Path:
    """A source of several blocks."""
    clip.write_bytes(CONTENT)
    assert os.stat(clip).st_dev != os.stat(archive.parent).st_dev
    return clip


def test_the_source_is_copied_with_its_time_and_then_removed(
    root: Path, recording: Path, archive: Path
) -> None:
    before = signature_now(recording)
    assert removed(root, before, "archive", archive) == SourceRemoved(None)
    assert contents(recording.parent) == {}
    assert contents(archive / "day 1") == {"clip.mxf": CONTENT}
    assert (archive / "day 1" / "clip.mxf").stat().st_mtime_ns == before.mtime_ns


def test_two_mounts_of_one_disk_are_two(
    root: Path, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As containers have them: one device number, and a rename from one to the other is refused."""
    monkeypatch.setattr(platform, "mount_point", lambda fd: os.readlink(f"/proc/self/fd/{fd}"))
    assert removed(root, signature_now(recording), "archive", tmp_path / "archive") == SourceRemoved(None)
    assert contents(tmp_path / "archive" / "day 1") == {"clip.mxf": CONTENT}
    assert contents(recording.parent) == {}


def test_nothing_in_the_archive_is_replaced(root: Path, recording: Path, archive: Path) -> None:
    (archive / "day 1").mkdir(parents=True)
    (archive / "day 1" / "clip.mxf").write_bytes(CONTENT)
    (archive / "day 1" / "clip_1.mxf").symlink_to("nowhere")
    assert removed(root, signature_now(recording), "archive", archive) == SourceRemoved(None)
    assert (archive / "day 1" / "clip.mxf").read_bytes() == CONTENT
    assert (archive / "day 1" / "clip_1.mxf").is_symlink()
    assert (archive / "day 1" / "clip_2.mxf").read_bytes() == CONTENT


def test_a_name_that_makes_way_is_no_longer_than_the_archive_allows(
    root: Path, recording: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "name_max_bytes", lambda _: len("clip_.mxf"))
    (archive / "day 1").mkdir(parents=True)
    (archive / "day 1" / "clip.mxf").write_bytes(b"another")
    assert removed(root, signature_now(recording), "archive", archive) == SourceRemoved(None)
    assert contents(archive / "day 1") == {"clip.mxf": b"another", "cli_1.mxf": CONTENT}


def test_a_copy_that_was_cut_off_is_made_again(root: Path, recording: Path, archive: Path) -> None:
    (archive / "day 1").mkdir(parents=True)
    (archive / "day 1" / COPY).write_bytes(b"the beginning")
    assert removed(root, signature_now(recording), "archive", archive) == SourceRemoved(None)
    assert contents(archive / "day 1") == {"clip.mxf": CONTENT}


@pytest.mark.parametrize("stored_as", [None, COPY, "clip.mxf", "clip_1.mxf"])
def test_a_removal_that_was_cut_off_after_the_rename_archives_the_source_once(
    root: Path, recording: Path, archive: Path, stored_as: str | None
) -> None:
    state = signature_now(recording)
    recording.rename(root / PRIVATE)
    (archive / "day 1").mkdir(parents=True)
    expected = {"clip.mxf": CONTENT}
    if stored_as:
        (archive / "day 1" / stored_as).write_bytes(CONTENT)
    if stored_as == "clip_1.mxf":
        (archive / "day 1" / "clip.mxf").write_bytes(b"another")
        expected = {"clip.mxf": b"another", "clip_1.mxf": CONTENT}
    assert removed(root, state, "archive", archive) == SourceRemoved(None)
    assert contents(archive / "day 1") == expected
    assert contents(recording.parent) == {}


def test_a_copy_that_reads_back_altered_leaves_the_source(
    root: Path, recording: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, b"X" + bytes(data[1:]), at))
    with pytest.raises(Fault, match="reads back altered") as fault:
        removed(root, signature_now(recording), "archive", archive)
    assert fault.value.kind is FaultKind.SOURCE
    assert contents(recording.parent) == {"clip.mxf": CONTENT}
    assert contents(archive / "day 1") == {}


def test_an_archive_that_is_full_leaves_the_source_untouched(
    root: Path, recording: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signature_now(recording)
    monkeypatch.setattr(os, "pwrite", refusing(errno.ENOSPC))
    with pytest.raises(Fault, match="No space left"):
        removed(root, before, "archive", archive)
    assert signature_now(recording) == before
    assert contents(archive / "day 1") == {}


def test_a_source_that_changes_while_it_is_archived_is_kept_and_its_copy_removed(
    root: Path, recording: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signature_now(recording)
    sync = platform.sync_file

    def synced(descriptor: int) -> None:
        recording.write_bytes(b"another take")
        sync(descriptor)

    monkeypatch.setattr(platform, "sync_file", synced)
    result = removed(root, before, "archive", archive)
    assert result == SourceRemoved("it was written to after it had been copied")
    assert contents(recording.parent) == {"clip.mxf": b"another take"}
    assert contents(archive / "day 1") == {}


def test_a_short_write_is_completed_and_every_block_is_a_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    pwrite, beats = os.pwrite, []
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:100_000], at))
    folder = os.open(tmp_path, os.O_RDONLY)
    source = os.open(tmp_path / "source", os.O_RDONLY)
    archive_copy.store_copy(source, folder, "copy", lambda: beats.append(1))
    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert len(beats) == 2 * 3  # three blocks, written and read back
    assert archive_copy.has_equal_content(source, folder, "copy", lambda: None)
    (tmp_path / "pipe").symlink_to("copy")
    assert not archive_copy.has_equal_content(source, folder, "pipe", lambda: None)
    os.close(source)
    os.close(folder)
