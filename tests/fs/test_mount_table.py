"""The kernel's table of mounts is read as proc_pid_mountinfo(5) describes it."""

from pathlib import Path

import pytest

from agent.fs import mount_table
from agent.fs.mount_table import LOCAL, Mount, mounts

TABLE = (
    rb"""36 35 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 36 0:50 / /mnt/a\040b\011c\012d\134e rw - nfs4 nas:/export rw
41 36 0:51 / /mnt/"""
    b"\xff"
    rb""" rw shared:7 master:1 - fuse.sshfs nas:/ rw
"""
)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "mountinfo"
    monkeypatch.setattr(mount_table, "MOUNT_TABLE", str(path))
    return path


def test_a_mount_point_may_have_any_name(table: Path) -> None:
    table.write_bytes(TABLE)
    assert tuple(mounts()) == (
        Mount(36, "/", "ext4"),
        Mount(40, "/mnt/a b\tc\nd\\e", "nfs4"),
        Mount(41, "/mnt/\udcff", "fuse.sshfs"),
    )


def test_a_system_without_a_mount_table_is_an_error(table: Path) -> None:
    assert not table.exists()
    with pytest.raises(FileNotFoundError):
        tuple(mounts())


@pytest.mark.parametrize("kind", sorted({name for names in LOCAL.values() for name in names}))
def test_a_type_that_statfs_calls_local_is_local_in_the_table(kind: str) -> None:
    assert Mount(1, "/", kind).is_local


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs", "never-heard-of", ""])
def test_a_type_that_is_not_known_is_not_local(kind: str) -> None:
    assert not Mount(1, "/", kind).is_local


def test_the_mounts_above_a_path_are_those_that_it_is_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "{} 1 0:1 / {} rw - nfs4 server:/ rw\n"
    table = tmp_path / "mountinfo"
    points = [(1, "/"), (31, "/mnt/nas"), (32, "/mnt/nas 2"), (33, "/mnt/nas/below")]
    table.write_text("".join(line.format(number, point.replace(" ", "\\040")) for number, point in points))
    monkeypatch.setattr(mount_table, "MOUNT_TABLE", str(table))
    assert {mount.id for mount in mount_table.mounts_above("/mnt/nas/clips")} == {1, 31}
    table.unlink()
    assert mount_table.mounts_above("/mnt/nas") == frozenset()
