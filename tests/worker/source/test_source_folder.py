"""The source folder: creating it, its free space, and which folders are allowed as one."""

import errno
from pathlib import Path

import pytest

from agent.fs import platform
from agent.model.errors import Fault, FaultKind
from agent.protocol.replies import FolderResolved
from agent.worker.source.source_folder import free_bytes, prepare, resolve_allowed_folder, wait_for
from tests.worker.copy.faulty import failing


@pytest.fixture
def media(tmp_path: Path) -> Path:
    (tmp_path / "media/day1").mkdir(parents=True)
    (tmp_path / "media-too").mkdir()
    return tmp_path / "media"


def test_a_root_and_folders_below_it_are_allowed(media: Path) -> None:
    roots = ("/nowhere", str(media))
    for folder in (media, media / "day1"):
        assert resolve_allowed_folder(str(folder), roots) == FolderResolved(str(folder), is_allowed=True)


def test_a_folder_that_is_below_no_root_is_not_allowed(media: Path) -> None:
    outside = media.parent / "media-too"
    (media / "link").symlink_to(outside)
    for path in (outside, media / "link", media / "../media-too", media.parent):
        assert not resolve_allowed_folder(str(path), (str(media),)).is_allowed
    assert not resolve_allowed_folder(str(media), ()).is_allowed


def test_links_are_resolved_on_both_sides(media: Path) -> None:
    (media.parent / "alias").symlink_to(media)
    alias = media.parent / "alias"
    assert resolve_allowed_folder(str(alias / "day1"), (str(media),)) == FolderResolved(
        str(media / "day1"), is_allowed=True
    )
    assert resolve_allowed_folder(str(media / "day1"), (str(alias),)).is_allowed


def test_the_root_of_the_file_system_may_be_allowed(media: Path) -> None:
    assert resolve_allowed_folder(str(media), ("/",)).is_allowed


def test_a_path_that_is_no_folder_is_gone(media: Path) -> None:
    (media / "clip.mxf").write_bytes(b"content")
    (media / "loop").symlink_to("loop")
    for name in ("missing", "clip.mxf", "clip.mxf/below"):
        with pytest.raises(Fault) as caught:
            resolve_allowed_folder(str(media / name), (str(media),))
        assert caught.value.kind is FaultKind.SOURCE_GONE
    with pytest.raises(Fault) as caught:
        resolve_allowed_folder(str(media / "loop"), (str(media),))
    assert caught.value.kind is FaultKind.SOURCE


def test_a_missing_source_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "late"
    monkeypatch.setattr("agent.worker.source.source_folder.time.sleep", lambda _: root.mkdir())
    wait_for(str(root))
    assert root.is_dir()


def test_a_missing_source_is_created_and_an_existing_one_kept(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mxf"
    clip.touch()
    prepare(str(tmp_path / "new" / "source"))
    prepare(str(tmp_path))
    assert (tmp_path / "new" / "source").is_dir()
    assert clip.exists()
    with pytest.raises(Fault) as fault:
        prepare(str(clip))
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE


def test_free_space_is_returned_or_an_outage_of_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert free_bytes(str(tmp_path)) > 0
    monkeypatch.setattr(platform, "free_bytes", failing(errno.ESTALE))
    with pytest.raises(Fault) as fault:
        free_bytes(str(tmp_path))
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE
