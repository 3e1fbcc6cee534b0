"""A root folder has to go on leading to where it led when it was first opened."""

import os
from pathlib import Path

import pytest

from agent.fs import root_folders
from agent.fs.root_folders import KnownRoots, RootMoved
from agent.fs.syscalls import closing_fd

Found = list[tuple[str, str]]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Found:
    """The roots that are opened for the first time."""
    roots: Found = []
    monkeypatch.setattr(root_folders, "_roots", KnownRoots({}, lambda path, real: roots.append((path, real))))
    return roots


def names_in(root: Path) -> list[str]:
    with closing_fd(root_folders.open_root(str(root))) as descriptor:
        return sorted(os.listdir(descriptor))


def test_a_link_is_followed_only_to_where_it_led_at_first(found: Found, tmp_path: Path) -> None:
    one, other, link = tmp_path / "one", tmp_path / "other", tmp_path / "link"
    (one / "ours").mkdir(parents=True)
    (other / "foreign").mkdir(parents=True)
    link.symlink_to(one)
    assert names_in(link) == names_in(link) == ["ours"]
    assert found == [(str(link), str(one))]
    link.unlink()
    with pytest.raises(FileNotFoundError):
        names_in(link)
    link.symlink_to(other)
    with pytest.raises(RootMoved, match=f"{link} leads to {other} now"):
        names_in(link)
    link.unlink()
    link.symlink_to(one)
    assert names_in(link) == ["ours"]


def test_a_folder_that_was_made_anew_at_the_same_path_is_accepted(found: Found, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    assert names_in(root) == []
    root.rename(tmp_path / "before")
    (root / "new").mkdir(parents=True)
    assert names_in(root) == ["new"]
    assert found == [(str(root), str(root))]


def test_a_link_that_appears_after_the_path_was_resolved_is_not_followed(
    found: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = tmp_path / "above"
    (above / "root").mkdir(parents=True)
    names_in(above / "root")
    monkeypatch.setattr(KnownRoots, "real_path", lambda _roots, path: path)  # it was resolved a moment ago
    above.rename(tmp_path / "aside")
    above.symlink_to(tmp_path / "aside")
    with pytest.raises(NotADirectoryError):
        names_in(above / "root")
    assert len(found) == 1
