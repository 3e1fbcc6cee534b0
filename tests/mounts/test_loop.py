"""A real ext4, whose kernel refuses what it refuses in the field."""

import errno
import os
from pathlib import Path

import pytest

from tests.mounts.mounts import LoopMount, is_mounted


def test_a_loop_mount_fills_up_and_goes_read_only(tmp_path: Path) -> None:
    with LoopMount.at(tmp_path / "disk", tmp_path / "image", 16) as disk:
        assert disk.path.stat().st_dev != tmp_path.stat().st_dev
        with pytest.raises(OSError, match="space") as caught:
            (disk.path / "a").write_bytes(bytes(32 << 20))
        assert caught.value.errno == errno.ENOSPC
        disk.remount(read_only=True)
        assert os.statvfs(disk.path).f_flag & os.ST_RDONLY
        with pytest.raises(OSError, match="Read-only"):
            (disk.path / "a").unlink()
        disk.remount(read_only=False)
        (disk.path / "a").unlink()
        (disk.path / "b").write_bytes(b"x")
        disk.unmount()
        assert list(disk.path.iterdir()) == []
        disk.mount()
        assert (disk.path / "b").read_bytes() == b"x"
    assert not is_mounted(tmp_path / "disk")
    assert not (tmp_path / "image").exists()
