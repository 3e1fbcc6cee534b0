"""Paths are compared as real paths, and nothing on a mount that may be dead is ever touched."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.config.safe_realpath import RemoteMounts, exists_but_is_no_folder, path_and_realpath
from agent.fs import mount_table
from tests.config.configs import ROUTE, config_of, reasons_of

LOCAL = "36 35 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"


def table(tmp_path: Path, *mounts: tuple[str, str]) -> str:
    """Writes a mount table like the kernel's with these mounts (type, mount point); optional fields vary."""
    lines = [LOCAL, "37 36 0:5 / /proc rw - proc proc rw\n"]
    lines += [
        f"{40 + number} 36 0:50 / {point} rw{' shared:7 master:1' * (number % 2)} - {kind} nas:/export rw\n"
        for number, (kind, point) in enumerate(mounts)
    ]
    path = tmp_path / "mountinfo"
    path.write_text("".join(lines))
    return str(path)


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def mount(*mounts: tuple[str, str]) -> None:
        monkeypatch.setattr(mount_table, "MOUNT_TABLE", table(tmp_path, *mounts))

    return mount


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every path that the operating system is asked for."""
    asked: list[str] = []
    for name in ("stat", "lstat", "open", "readlink", "scandir", "listdir", "access"):
        real: Callable[..., Any] = getattr(os, name)

        def spy(path: object, *args: Any, real: Callable[..., Any] = real, **more: Any) -> Any:  # noqa: ANN401
            asked.append(str(path))
            return real(path, *args, **more)

        monkeypatch.setattr(os, name, spy)
    yield asked
    monkeypatch.undo()


KINDS = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "fuse",
    "fuse.sshfs",
    "fuseblk",
    "9p",
    "ceph",
    "autofs",
    "never-heard-of",
]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_at_or_below_a_mount_that_may_be_dead_is_touched(
    tmp_path: Path, mounted: Callable[..., None], touched: list[str], kind: str
) -> None:
    (tmp_path / "nas").mkdir()
    (tmp_path / "nas" / "link").symlink_to("elsewhere")
    mounted((kind, f"{tmp_path}/nas"))
    for path in (f"{tmp_path}/nas", f"{tmp_path}/nas/link/in"):
        assert path_and_realpath(path) == {path}
        assert not exists_but_is_no_folder(path)
    assert touched
    assert not [path for path in touched if path.startswith(f"{tmp_path}/nas")]


def test_an_archive_on_a_share_is_not_touched(
    tmp_path: Path, mounted: Callable[..., None], touched: list[str]
) -> None:
    (tmp_path / "nas").mkdir()
    mounted(("nfs", f"{tmp_path}/nas"))
    config_of(tmp_path, f'{ROUTE}after = "archive:nas/done"')
    assert touched
    assert not [path for path in touched if path.startswith(f"{tmp_path}/nas")]


@pytest.mark.parametrize("kind", ["ext4", "xfs", "tmpfs", "overlay"])
def test_a_local_file_system_is_examined(tmp_path: Path, mounted: Callable[..., None], kind: str) -> None:
    (tmp_path / "disk" / "real").mkdir(parents=True)
    (tmp_path / "disk" / "link").symlink_to("real")
    (tmp_path / "disk" / "file").touch()
    mounted((kind, f"{tmp_path}/disk"))
    assert path_and_realpath(f"{tmp_path}/disk/link") == {f"{tmp_path}/disk/link", f"{tmp_path}/disk/real"}
    assert exists_but_is_no_folder(f"{tmp_path}/disk/file")
    assert not exists_but_is_no_folder(f"{tmp_path}/disk/link")
    assert not exists_but_is_no_folder(f"{tmp_path}/disk/missing")


def test_a_link_is_followed_up_to_the_mount_and_not_into_it(
    tmp_path: Path, mounted: Callable[..., None], touched: list[str]
) -> None:
    (tmp_path / "nas" / "day").mkdir(parents=True)
    (tmp_path / "in").symlink_to("links/../hop")
    (tmp_path / "links").mkdir()
    (tmp_path / "hop").symlink_to(f"{tmp_path}/nas/x/..")
    mounted(("nfs4", f"{tmp_path}/nas"))
    assert path_and_realpath(f"{tmp_path}/in/day") == {f"{tmp_path}/in/day", f"{tmp_path}/nas/day"}
    assert not [path for path in touched if path.startswith(f"{tmp_path}/nas")]


def test_a_local_disk_mounted_inside_a_share_lies_behind_the_share(
    tmp_path: Path, mounted: Callable[..., None]
) -> None:
    mounted(("nfs", f"{tmp_path}/nas"), ("ext4", f"{tmp_path}/nas/disk"))
    assert RemoteMounts.read().contains(f"{tmp_path}/nas/disk/in")


def test_a_name_that_only_begins_like_a_mount_point_is_not_on_it(
    tmp_path: Path, mounted: Callable[..., None]
) -> None:
    mounted(("nfs", f"{tmp_path}/nas"), ("nfs", f"{tmp_path}/two\\040words\\134\\303\\244"))
    assert not RemoteMounts.read().contains(f"{tmp_path}/nas2")
    assert not RemoteMounts.read().contains(str(tmp_path))
    assert RemoteMounts.read().contains(f"{tmp_path}/two words\\ä/in")


def test_where_everything_is_a_share_everything_is_taken_as_written(mounted: Callable[..., None]) -> None:
    mounted(("nfs", "/"))
    assert path_and_realpath("/proc/self/../in") == {"/proc/self/../in", "/proc/in"}


def test_a_loop_of_links_ends(tmp_path: Path, mounted: Callable[..., None]) -> None:
    mounted()
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert f"{tmp_path}/a/in" in path_and_realpath(f"{tmp_path}/a/in")


def test_links_are_resolved_as_the_system_does(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "up").symlink_to("real/deep/..")
    (tmp_path / "abs").symlink_to(tmp_path / "up")
    (tmp_path / "dangling").symlink_to("real/gone/too")
    for path in ("up", "abs/deep", "dangling/in", "missing/in", "real/deep"):
        assert os.path.realpath(tmp_path / path) in path_and_realpath(f"{tmp_path}/{path}")


def test_without_a_table_of_mounts_links_are_resolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mount_table, "MOUNT_TABLE", f"{tmp_path}/none")
    (tmp_path / "in").symlink_to("real")
    assert path_and_realpath(f"{tmp_path}/in") == {f"{tmp_path}/in", f"{tmp_path}/real"}


def test_a_source_on_a_share_is_still_compared_as_it_is_written(
    tmp_path: Path, mounted: Callable[..., None]
) -> None:
    mounted(("cifs", f"{tmp_path}/in"))
    assert config_of(tmp_path, ROUTE).routes
    (reason,) = reasons_of(tmp_path, ROUTE.replace('"out"', '"in/out"'))
    assert "lies inside the source" in reason
    (tmp_path / "link").symlink_to("in")
    (reason,) = reasons_of(tmp_path, ROUTE.replace('"in"', '"link"').replace('"out"', '"in/out"'))
    assert "lies inside the source" in reason
