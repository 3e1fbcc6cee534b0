"""Empty folders of a source are removed, and nothing else ever is."""

import errno
import os
from pathlib import Path

import pytest

from agent.fs import platform
from agent.model.errors import Fault, FaultKind
from agent.protocol.replies import FoldersRemoved
from agent.protocol.requests import ANY_MOUNT, RemoveEmptyFolders, SourceMount
from agent.worker.source.empty_folders import remove_empty_folders
from tests.worker.source.removals import refusing


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "source" / "day" / "card").mkdir(parents=True)
    (tmp_path / "elsewhere" / "empty").mkdir(parents=True)
    return tmp_path / "source"


def removed(root: Path, *folders: str, mount: SourceMount = ANY_MOUNT) -> tuple[str, ...]:
    beats: list[None] = []
    reply = remove_empty_folders(RemoveEmptyFolders(str(root), folders, mount), lambda: beats.append(None))
    assert isinstance(reply, FoldersRemoved)
    assert len(beats) == len(folders)
    return reply.folders


def test_an_empty_folder_is_removed_and_those_above_it_stay(root: Path) -> None:
    assert removed(root, "day/card") == ("day/card",)
    assert [path.name for path in root.iterdir()] == ["day"]
    assert removed(root, "day/card") == ()
    assert removed(root, "day") == ("day",)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("name", ["clip.mxf", ".DS_Store", ".clip.mxf.0123456789abcdef.removing", "sub/"])
def test_a_folder_with_anything_in_it_stays(root: Path, name: str) -> None:
    path = root / "day" / "card" / name
    if name.endswith("/"):
        path.mkdir()
    else:
        path.touch()
    assert removed(root, "day/card", "day") == ()
    assert path.exists()


@pytest.mark.parametrize("path", ["", ".", "day/..", "/day", "../elsewhere/empty", "day//card"])
def test_the_source_itself_and_what_is_outside_it_are_never_removed(root: Path, path: str) -> None:
    (root / "day" / "card").rmdir()
    (root / "day").rmdir()
    with pytest.raises(ValueError, match="plain relative path"):
        removed(root, path)
    assert root.is_dir()
    assert (root.parent / "elsewhere" / "empty").is_dir()


def test_a_folder_that_was_swapped_for_a_link_stays_and_so_does_what_it_leads_to(root: Path) -> None:
    elsewhere = root.parent / "elsewhere"
    (root / "day" / "card").rmdir()
    (root / "day" / "card").symlink_to(elsewhere / "empty")
    (root / "link").symlink_to(elsewhere)
    assert removed(root, "day/card", "link/empty", "link") == ()
    assert (root / "day" / "card").is_symlink()
    assert (elsewhere / "empty").is_dir()


def test_a_file_with_the_name_of_the_folder_stays(root: Path) -> None:
    (root / "file").touch()
    assert removed(root, "file", "file/sub", "day/card") == ("day/card",)
    assert (root / "file").exists()


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST])
def test_what_the_file_system_does_not_let_go_of_stays(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "rmdir", refusing(number))
    assert removed(root, "day/card") == ()


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EIO, FaultKind.SOURCE), (errno.ESTALE, FaultKind.SOURCE_OUTAGE)]
)
def test_a_file_system_that_fails_is_a_fault(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: FaultKind
) -> None:
    monkeypatch.setattr(os, "rmdir", refusing(number))
    with pytest.raises(Fault) as fault:
        removed(root, "day/card")
    assert fault.value.kind is kind


def test_a_source_that_is_not_on_its_mount_keeps_its_folders(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "mount_point", lambda _descriptor: "/")
    with pytest.raises(Fault) as fault:
        removed(root, "day/card", mount=SourceMount("/mnt/card"))
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE
    assert (root / "day" / "card").is_dir()
