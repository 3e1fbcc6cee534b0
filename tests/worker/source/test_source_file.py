"""Opening a source file only while it is unchanged."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.fs import safe_open
from agent.model.errors import Fault, FaultKind
from agent.model.source_file import Signature
from agent.protocol.replies import SourceExists
from agent.worker.source import source_file
from agent.worker.source.source_file import signature_of
from tests.worker.copy.faulty import failing


def _now(root: Path, path: str) -> Signature:
    return signature_of((root / path).lstat())


@pytest.fixture
def clip(root: Path) -> Path:
    (root / "clip.mxf").write_bytes(b"content")
    return root / "clip.mxf"


def _kind_when_opened(root: Path, expected: Signature, path: str = "clip.mxf") -> FaultKind:
    with pytest.raises(Fault) as fault:
        source_file.open_source(str(root), path, expected)
    return fault.value.kind


def test_an_unchanged_source_is_opened_for_reading(root: Path, clip: Path) -> None:
    descriptor = source_file.open_source(str(root), "clip.mxf", _now(root, "clip.mxf"))
    assert os.read(descriptor, 100) == b"content"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(descriptor, b"x")
    os.close(descriptor)
    assert clip.read_bytes() == b"content"


def _grow(clip: Path) -> None:
    with clip.open("ab") as file:
        file.write(b"more")


def _replace(clip: Path) -> None:
    status = clip.stat()
    (clip.parent / "other").write_bytes(b"CONTENT")
    os.utime(clip.parent / "other", ns=(status.st_atime_ns, status.st_mtime_ns))
    (clip.parent / "other").rename(clip)


def _rewrite_and_set_the_time_back(clip: Path) -> None:
    status = clip.stat()
    clip.write_bytes(b"CONTENT")
    os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns))


def _become_a_pipe(clip: Path) -> None:
    clip.unlink()
    os.mkfifo(clip)


@pytest.mark.parametrize("change", [_grow, _replace, _rewrite_and_set_the_time_back, _become_a_pipe])
def test_any_other_signature_than_the_expected_one_is_a_change(
    root: Path, clip: Path, change: Callable[[Path], None]
) -> None:
    before = _now(root, "clip.mxf")
    change(clip)
    assert _kind_when_opened(root, before) is FaultKind.SOURCE_CHANGED


def test_a_source_that_vanished_is_gone(root: Path, clip: Path) -> None:
    before = _now(root, "clip.mxf")
    clip.unlink()
    assert _kind_when_opened(root, before) is FaultKind.SOURCE_GONE
    assert _kind_when_opened(root, before, "folder/clip.mxf") is FaultKind.SOURCE_GONE


def test_a_source_that_became_a_link_is_not_read(root: Path, clip: Path) -> None:
    before = _now(root, "clip.mxf")
    clip.unlink()
    clip.symlink_to("../outside/secret.mxf")
    assert _kind_when_opened(root, before) is FaultKind.SOURCE


@pytest.mark.usefixtures("clip")
def test_a_source_folder_that_vanished_is_an_outage_and_no_missing_file(root: Path) -> None:
    before = _now(root, "clip.mxf")
    root.rename(root.parent / "elsewhere")
    assert _kind_when_opened(root, before) is FaultKind.SOURCE_OUTAGE


def test_a_file_replaced_behind_an_open_descriptor_is_a_change(root: Path, clip: Path) -> None:
    before = _now(root, "clip.mxf")
    descriptor = source_file.open_source(str(root), "clip.mxf", before)
    _replace(clip)
    with pytest.raises(Fault) as fault:
        source_file.check_unchanged(str(root), "clip.mxf", descriptor, _now(root, "clip.mxf"))
    assert fault.value.kind is FaultKind.SOURCE_CHANGED
    clip.unlink()
    with pytest.raises(Fault) as fault:
        source_file.check_unchanged(str(root), "clip.mxf", descriptor, before)
    assert fault.value.kind is FaultKind.SOURCE_GONE
    os.close(descriptor)


def test_a_file_in_a_replaced_folder_is_a_change(root: Path) -> None:
    (root / "day").mkdir()
    (root / "day" / "clip.mxf").write_bytes(b"content")
    before = _now(root, "day/clip.mxf")
    descriptor = source_file.open_source(str(root), "day/clip.mxf", before)
    (root / "day").rename(root / "moved")
    (root / "day").mkdir()
    (root / "day" / "clip.mxf").write_bytes(b"another")
    assert signature_of(os.fstat(descriptor)) == before
    with pytest.raises(Fault) as fault:
        source_file.check_unchanged(str(root), "day/clip.mxf", descriptor, before)
    assert fault.value.kind is FaultKind.SOURCE_CHANGED
    os.close(descriptor)


def test_a_path_exists_even_as_a_broken_link(root: Path, clip: Path) -> None:
    (root / "broken").symlink_to("gone")
    assert look_up(root, "clip.mxf") == SourceExists(exists=True)
    assert look_up(root, "broken") == SourceExists(exists=True)
    assert look_up(root, "gone") == SourceExists(exists=False)
    assert look_up(root, f"{clip.name}/below") == SourceExists(exists=False)


def test_a_file_whose_removal_was_cut_off_exists_under_its_private_name(root: Path, clip: Path) -> None:
    assert look_up(root, "clip.mxf", ".private") == SourceExists(exists=True)
    clip.rename(root / ".private")
    assert look_up(root, "clip.mxf", ".private") == SourceExists(exists=True, is_renamed=True)
    clip.touch()
    assert look_up(root, "clip.mxf", ".private") == SourceExists(exists=True, is_renamed=True)


def look_up(root: Path, path: str, private_path: str | None = None) -> SourceExists:
    return source_file.look_up(str(root), path, private_path)


def test_a_path_whose_stat_fails_is_a_fault_and_not_missing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe_open, "stat_at", failing(errno.EIO))
    with pytest.raises(Fault) as fault:
        look_up(root, "clip.mxf")
    assert fault.value.kind is FaultKind.SOURCE
    with pytest.raises(Fault) as fault:
        look_up(root / "missing", "clip.mxf")
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE
