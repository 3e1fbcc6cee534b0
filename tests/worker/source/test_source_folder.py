"""The source folder: creating it, its free space, and which folders are allowed as one."""

import errno
import os
from pathlib import Path

import pytest

from agent.fs import expected_mounts, platform
from agent.fs.syscalls import closing_fd
from agent.model.errors import Fault, FaultKind
from agent.model.source_file import Signature
from agent.protocol.replies import FolderResolved
from agent.protocol.requests import ANY_MOUNT, SourceMount
from agent.worker.source import source_file
from agent.worker.source.source_folder import _may_remove, prepare, resolve_allowed_folder, status, wait_for
from tests.mounts.mounts import bind_mount, unmount
from tests.worker.copy.faulty import failing
from tests.worker.copy.folders import unprivileged


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


def test_the_last_folder_of_a_missing_source_is_created_and_an_existing_one_kept(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mxf"
    clip.touch()
    assert prepare(str(tmp_path / "source"))
    assert (tmp_path / "source").is_dir()
    assert not prepare(str(tmp_path))
    assert clip.exists()
    with pytest.raises(Fault) as fault:
        prepare(str(clip))
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE


def test_a_folder_above_a_missing_source_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="does not exist, nor does the folder above it") as fault:
        prepare(str(tmp_path / "card" / "DCIM"))
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_created_under_an_empty_mount_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the desktop mounts the card CARD as CARD1, beside it."""
    media = tmp_path / "media"
    (media / "operator").mkdir(parents=True)
    monkeypatch.setattr(expected_mounts, "MOUNT_FOLDERS", (str(media),))
    with pytest.raises(Fault, match=f"nothing is mounted at or below {media}"):
        prepare(str(media / "operator" / "CARD"))
    assert list((media / "operator").iterdir()) == []
    monkeypatch.setattr(platform, "mount_point", lambda _: str(media / "operator"))
    assert prepare(str(media / "operator" / "CARD"))


def test_the_status_is_free_space_and_mount_or_an_outage_of_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = status(str(tmp_path), ANY_MOUNT)
    assert found.free_bytes > 0
    assert found.mount_point == platform.mount_point(str(tmp_path))
    monkeypatch.setattr(platform, "free_bytes", failing(errno.ESTALE))
    with pytest.raises(Fault) as fault:
        status(str(tmp_path), ANY_MOUNT)
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE


def test_a_source_whose_mount_is_gone_is_an_outage_and_none_of_its_files_is(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "clip.mxf").touch()
    card, above = tmp_path / "card", platform.mount_point(str(tmp_path))
    mount = SourceMount(str(card))
    with bind_mount(tmp_path / "disk", card):
        assert status(str(card), mount).mount_point == str(card)
        assert source_file.look_up(str(card), "clip.mxf", None, mount).exists
        unmount(card)
        for ask in (
            lambda: status(str(card), mount),
            lambda: source_file.look_up(str(card), "a", None, mount),
        ):
            with pytest.raises(
                Fault, match=f"{card} is not mounted, the source now lies on {above}"
            ) as fault:
                ask()
            assert fault.value.kind is FaultKind.SOURCE_OUTAGE
    assert status(str(card), SourceMount(above)).mount_point == above


def test_a_marker_says_whether_the_source_is_there_whatever_is_mounted(tmp_path: Path) -> None:
    mount = SourceMount(f"{tmp_path}/mounted/elsewhere", marker="ours")
    with pytest.raises(Fault, match="the marker 'ours' is not in") as fault:
        status(str(tmp_path), mount)
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE
    (tmp_path / "ours").touch()
    assert status(str(tmp_path), mount).free_bytes > 0


def test_a_file_of_another_file_system_than_the_folder_is_now_on_is_not_gone(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    for file_device, kind in ((device, FaultKind.SOURCE_GONE), (device + 1, FaultKind.SOURCE_OUTAGE)):
        with pytest.raises(Fault) as fault:
            source_file.open_source(str(tmp_path), "clip.mxf", Signature(file_device, 1, 1, 1, 1))
        assert fault.value.kind is kind


def test_a_folder_that_this_user_may_not_write_to_loses_no_file(media: Path) -> None:
    assert status(str(media), ANY_MOUNT).may_remove
    media.chmod(0o555)
    with closing_fd(os.open(media, os.O_RDONLY)) as folder, unprivileged():
        assert not _may_remove(folder)


def test_a_folder_that_is_mounted_read_only_loses_no_file(
    media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = os.statvfs(media)
    fields = [*found[:8], found.f_flag | os.ST_RDONLY, found.f_namemax]
    monkeypatch.setattr(os, "fstatvfs", lambda _: os.statvfs_result(fields))
    assert not status(str(media), ANY_MOUNT).may_remove
