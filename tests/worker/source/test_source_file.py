"""The source looked at closely, and what counts as unchanged."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.config.field_parsers import BUILT_IN_EXCLUDES
from agent.fs import platform, safe_open
from agent.model.errors import Fault, FaultKind
from agent.model.source_file import ContainerState, ScannedFile, Signature, WriterState
from agent.protocol.requests import SourceFolder
from agent.worker.source import source_file
from agent.worker.source.scan import examine
from agent.worker.source.source_file import signature_of
from agent.worker.source.source_folder import free_bytes, prepare
from tests.worker.copy.faulty import failing
from tests.worker.copy.folders import nothing_left_over


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    with nothing_left_over():
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A source beside a secret."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.mxf").write_bytes(b"secret")
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def _folder(root: Path, *include: str) -> SourceFolder:
    return SourceFolder(str(root), include, BUILT_IN_EXCLUDES)


def _now(root: Path, path: str) -> Signature:
    return signature_of((root / path).lstat())


# A close look


def _examine(root: Path, paths: tuple[str, ...], *closely: str) -> list[ScannedFile]:
    unseen: list[tuple[str, str]] = []
    entries = list(examine(_folder(root), paths, frozenset(closely), unseen))
    assert unseen == []
    return entries


def test_only_wanted_regular_files_are_examined(root: Path) -> None:
    (root / "folder").mkdir()
    (root / "link.mxf").symlink_to("clip.mxf")
    (root / "linked").symlink_to("../outside")
    (root / "clip.mxf").touch()
    (root / "clip.mxf.tmp").touch()
    paths = ("clip.mxf", "folder", "link.mxf", "clip.mxf.tmp", "gone.mxf", "linked/secret.mxf")
    assert _examine(root, paths) == [ScannedFile("clip.mxf", _now(root, "clip.mxf"))]


def test_a_close_look_says_what_the_system_and_the_container_know(root: Path) -> None:
    (root / "clip.mp4").write_bytes(b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00")
    with open(root / "clip.mp4", "ab"):
        (recorded,) = _examine(root, ("clip.mp4",), "clip.mp4")
    (closed,) = _examine(root, ("clip.mp4",), "clip.mp4")
    assert recorded.evidence is not None
    assert closed.evidence is not None
    assert recorded.evidence.writer is WriterState.OPEN
    assert closed.evidence.writer is WriterState.NONE
    assert closed.evidence.container is ContainerState.OPEN
    assert closed.signature == _now(root, "clip.mp4")


def test_what_cannot_be_opened_has_unknown_evidence_and_says_why(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "clip.mxf").touch()
    monkeypatch.setattr(safe_open, "open_at", failing(errno.EACCES))
    (entry,) = _examine(root, ("clip.mxf",), "clip.mxf")
    assert entry.evidence is not None
    assert (entry.evidence.writer, entry.evidence.container) == (WriterState.UNKNOWN, ContainerState.UNKNOWN)
    assert entry.evidence.container_detail == "Permission denied"


def test_a_source_that_is_gone_cannot_be_examined(root: Path) -> None:
    with pytest.raises(Fault) as fault:
        _examine(root / "missing", ("clip.mxf",))
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE


# Opening what has not changed


@pytest.fixture
def clip(root: Path) -> Path:
    (root / "clip.mxf").write_bytes(b"content")
    return root / "clip.mxf"


def test_what_cannot_be_asked_for_has_not_vanished(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_open, "stat_at", failing(errno.EACCES))
    unseen: list[tuple[str, str]] = []
    assert list(examine(_folder(root), ("day/clip.mxf",), frozenset(), unseen)) == []
    assert unseen == [("day/clip.mxf", "Permission denied")]


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
def test_any_other_state_than_the_expected_one_is_a_change(
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
def test_a_source_folder_that_vanished_takes_no_file_with_it(root: Path) -> None:
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


def test_a_folder_put_in_the_place_of_another_brings_another_file(root: Path) -> None:
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


# The folder itself


def test_presence_is_what_stands_there_even_a_link(root: Path, clip: Path) -> None:
    (root / "broken").symlink_to("gone")
    assert source_file.exists(str(root), "clip.mxf")
    assert source_file.exists(str(root), "broken")
    assert not source_file.exists(str(root), "gone")
    assert not source_file.exists(str(root), f"{clip.name}/below")


def test_presence_is_never_denied_when_it_cannot_be_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_open, "stat_at", failing(errno.EIO))
    with pytest.raises(Fault) as fault:
        source_file.exists(str(root), "clip.mxf")
    assert fault.value.kind is FaultKind.SOURCE
    with pytest.raises(Fault) as fault:
        source_file.exists(str(root / "missing"), "clip.mxf")
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE


def test_a_missing_source_is_made_and_an_existing_one_kept(root: Path, clip: Path) -> None:
    prepare(str(root / "new" / "source"))
    prepare(str(root))
    assert (root / "new" / "source").is_dir()
    assert clip.exists()
    with pytest.raises(Fault) as fault:
        prepare(str(clip))
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE


def test_free_space_is_told_or_is_a_fault_of_the_source(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_bytes(str(root)) > 0
    monkeypatch.setattr(platform, "free_bytes", failing(errno.ESTALE))
    with pytest.raises(Fault) as fault:
        free_bytes(str(root))
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE
