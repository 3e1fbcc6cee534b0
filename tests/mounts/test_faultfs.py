"""Each fault does what it claims; without one the mount is a plain mirror of its backing folder."""

import errno
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from agent.fs import linux
from tests.mounts.mounts import FaultMount, is_mounted, wait_until

MIB = 1 << 20


def refused(number: int, action: Callable[[], object]) -> bool:
    try:
        action()
    except OSError as error:
        return error.errno == number
    return False


def in_the_background(code: str, path: Path) -> "subprocess.Popen[str]":
    """Another process: a thread of ours that hangs in the kernel could not be ended."""
    return subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)


READING = "import sys; print(open(sys.argv[1]).read(), end='')"


def test_it_mirrors_its_backing_folder(mount: FaultMount) -> None:
    content = os.urandom(3 * MIB + 17)
    (mount.path / "folder").mkdir()
    (mount.path / "folder" / "a").write_bytes(content)
    os.utime(mount.path / "folder" / "a", ns=(5_000_000_001, 6_000_000_007))
    (mount.path / "folder" / "a").chmod(0o640)
    os.link(mount.path / "folder" / "a", mount.path / "b")
    (mount.backing / "from below").write_bytes(b"x")
    assert sorted(path.name for path in mount.path.rglob("*")) == ["a", "b", "folder", "from below"]
    assert (mount.backing / "b").read_bytes() == (mount.path / "b").read_bytes() == content
    seen, stored = (mount.path / "b").stat(), (mount.backing / "b").stat()
    for name in ("st_ino", "st_size", "st_mode", "st_nlink", "st_mtime_ns", "st_ctime_ns"):
        assert getattr(seen, name) == getattr(stored, name), name
    (mount.path / "b").rename(mount.path / "c")
    (mount.path / "folder" / "a").unlink()
    (mount.path / "folder").rmdir()
    os.truncate(mount.path / "c", 5)
    assert {path.name: path.stat().st_size for path in mount.backing.iterdir()} == {"c": 5, "from below": 1}


def test_it_counts_as_a_network_file_system_with_cached_pages(mount: FaultMount) -> None:
    assert linux.is_network(str(mount.path))
    (mount.path / "a").write_bytes(b"x" * 4096)
    with (mount.path / "a").open("r+b") as file, mmap.mmap(file.fileno(), 4096) as memory:
        memory[:5] = b"hello"
    assert (mount.backing / "a").read_bytes()[:6] == b"hellox"


def test_a_rename_that_must_not_replace_does_not(mount: FaultMount) -> None:
    (mount.path / "a").write_bytes(b"a")
    (mount.path / "b").write_bytes(b"b")
    folder = os.open(mount.path, os.O_RDONLY)
    try:
        with pytest.raises(FileExistsError):
            linux.move_exclusively("a", folder, "b", folder)
        linux.move_exclusively("a", folder, "c", folder)
    finally:
        os.close(folder)
    assert {path.name: path.read_bytes() for path in mount.backing.iterdir()} == {"b": b"b", "c": b"a"}


def test_chosen_operations_fail_as_often_and_where_configured(mount: FaultMount) -> None:
    file = mount.path / "a.mxf"
    file.write_bytes(b"x")
    mount.error("open", errno=errno.EACCES, glob="*.mxf", skipped=1, times=2)
    (mount.path / "other").write_bytes(b"x")
    assert file.read_bytes() == b"x"
    assert [refused(errno.EACCES, file.read_bytes) for _ in range(3)] == [True, True, False]
    mount.error("fsync", "statfs", errno=errno.EIO)
    with file.open("ab") as stream:
        assert refused(errno.EIO, lambda: os.fsync(stream.fileno()))
    assert refused(errno.EIO, lambda: os.statvfs(mount.path))
    mount.clear()
    os.statvfs(mount.path)


ACTIONS: dict[str, Callable[[Path], object]] = {
    "getattr": lambda path: (path / "a").stat(),
    "statfs": os.statvfs,
    "opendir": os.listdir,
    "readdir": os.listdir,
    "open": lambda path: (path / "a").read_bytes(),
    "read": lambda path: (path / "a").read_bytes(),
    "write": lambda path: (path / "a").write_bytes(b"y"),
    "flush": lambda path: (path / "a").write_bytes(b"y"),
    "create": lambda path: (path / "b").write_bytes(b"y"),
    "mkdir": lambda path: (path / "c").mkdir(),
    "rmdir": lambda path: (path / "folder").rmdir(),
    "unlink": lambda path: (path / "a").unlink(),
    "rename": lambda path: (path / "a").rename(path / "d"),
    "link": lambda path: os.link(path / "a", path / "d"),
    "truncate": lambda path: os.truncate(path / "a", 0),
    "utimens": lambda path: os.utime(path / "a"),
    "chmod": lambda path: (path / "a").chmod(0o600),
    "chown": lambda path: os.chown(path / "a", 1, 1),
}


def test_every_operation_can_fail(mount: FaultMount) -> None:
    (mount.backing / "a").write_bytes(b"x")
    (mount.backing / "folder").mkdir()
    for operation, action in ACTIONS.items():
        mount.error(operation, errno=errno.EDQUOT)
        assert refused(errno.EDQUOT, partial(action, mount.path)), operation
        mount.clear()
    mount.error("access", errno=errno.EACCES)
    assert not os.access(mount.path, os.R_OK)


def test_a_hang_holds_everything_until_it_is_released(mount: FaultMount) -> None:
    (mount.backing / "a").write_text("content")
    mount.hang()
    with in_the_background(READING, mount.path / "a") as reader:
        wait_until(lambda: mount.waiting == 1, "the reader hangs")
        assert reader.poll() is None
        mount.release()
        assert reader.communicate(timeout=10)[0] == "content"


def test_a_killed_client_stays_stuck_until_the_release(mount: FaultMount) -> None:
    (mount.backing / "a").write_text("content")
    mount.hang("open")
    with in_the_background(READING, mount.path / "a") as reader:
        wait_until(lambda: mount.waiting == 1, "the reader hangs")
        reader.kill()
        with pytest.raises(subprocess.TimeoutExpired):
            reader.wait(0.3)
        assert (mount.path / "a").stat().st_size == 7  # other operations pass
        mount.release()
        assert reader.wait(10) == -signal.SIGKILL


def test_a_hang_of_many_leaves_the_control_channel_free(mount: FaultMount) -> None:
    (mount.backing / "a").write_text("content")
    mount.hang("read")
    readers = [in_the_background(READING, mount.path / "a") for _ in range(12)]
    wait_until(lambda: mount.waiting >= 1, "they hang")
    (mount.path / "b").write_text("others pass")
    mount.release()
    assert [reader.communicate(timeout=10)[0] for reader in readers] == ["content"] * 12


def test_a_flipped_bit_is_hidden_by_the_clients_cache_and_shown_without_it(mount: FaultMount) -> None:
    content = os.urandom(MIB)
    mount.flip("*.mxf", 700_000)
    (mount.path / "b.txt").write_bytes(content)
    with (mount.path / "a.mxf").open("w+b") as file:
        file.write(content)
        os.fsync(file.fileno())
        assert (mount.path / "a.mxf").read_bytes() == content
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        stored = file.read()
    assert [at for at in range(MIB) if stored[at] != content[at]] == [700_000]
    assert (stored[700_000] ^ content[700_000]).bit_count() == 1
    assert (mount.backing / "a.mxf").read_bytes() == stored
    assert (mount.backing / "b.txt").read_bytes() == content
    (mount.path / "a.mxf").write_bytes(content)
    assert (mount.backing / "a.mxf").read_bytes() == content  # it was to happen once


def test_a_short_write_is_reported_as_one(mount: FaultMount) -> None:
    mount.short(1000, times=1)
    with (mount.path / "a").open("wb", buffering=0) as file:
        assert file.write(b"x" * 5000) == 1000
        assert file.write(b"x" * 5000) == 5000
    assert (mount.backing / "a").stat().st_size == 6000


def test_a_full_file_system_reports_it_and_has_space_again_after_a_deletion(mount: FaultMount) -> None:
    mount.full(8 * 4096)
    (mount.path / "a").write_bytes(b"x" * 6 * 4096)
    answer = os.statvfs(mount.path)
    assert answer.f_bavail * answer.f_frsize == 2 * 4096
    assert refused(errno.ENOSPC, lambda: (mount.path / "b").write_bytes(b"x" * 3 * 4096))
    (mount.path / "a").write_bytes(b"y" * 6 * 4096)
    (mount.path / "a").unlink()
    (mount.path / "b").write_bytes(b"x" * 8 * 4096)
    mount.full(None)
    (mount.path / "c").write_bytes(b"x" * 8 * 4096)


def test_a_read_only_file_system_reports_it_and_can_be_read(mount: FaultMount) -> None:
    (mount.path / "a").write_bytes(b"x")
    mount.read_only()
    assert os.statvfs(mount.path).f_flag & os.ST_RDONLY
    for action in ((mount.path / "a").unlink, (mount.path / "b").mkdir, (mount.path / "a").touch):
        assert refused(errno.EROFS, action)
    assert not os.access(mount.path, os.W_OK)
    assert (mount.path / "a").read_bytes() == b"x"
    mount.read_only(False)
    (mount.path / "a").unlink()


def test_slow_storage_takes_as_long_as_configured(mount: FaultMount) -> None:
    mount.slow(MIB)
    began_s = time.monotonic()
    (mount.path / "a").write_bytes(bytes(MIB // 2))
    assert time.monotonic() - began_s >= 0.45
    mount.slow(1)
    with in_the_background(
        "import sys; open(sys.argv[1], 'w').write('x' * 5000)", mount.path / "b"
    ) as writer:
        wait_until((mount.backing / "b").exists, "the writer has begun")
        mount.slow(None)
        assert writer.wait(10) == 0


def test_a_vanished_server_leaves_a_dead_mount_and_can_come_back(mount: FaultMount) -> None:
    (mount.path / "a").write_bytes(b"x")
    mount.vanish()
    assert is_mounted(mount.path)
    assert refused(errno.ENOTCONN, lambda: os.stat(mount.path))
    assert refused(errno.ENOTCONN, lambda: os.listdir(mount.path))
    mount.remount()
    assert (mount.path / "a").read_bytes() == b"x"


def test_the_folder_below_an_unmounted_one_is_empty(mount: FaultMount) -> None:
    (mount.path / "a").write_bytes(b"x")
    mount.unmount()
    assert not is_mounted(mount.path)
    assert list(mount.path.iterdir()) == []
    mount.remount()
    assert (mount.path / "a").read_bytes() == b"x"


def test_a_hung_mount_is_cleaned_up_with_its_stuck_clients(tmp_path: Path) -> None:
    with FaultMount.at(tmp_path / "mount", tmp_path / "backing") as mount:
        (mount.backing / "a").write_text("content")
        mount.hang()
        reader = in_the_background(READING, mount.path / "a")
        wait_until(lambda: mount.waiting == 1, "the reader hangs")
    assert not is_mounted(tmp_path / "mount")
    reader.communicate(timeout=10)
    assert reader.returncode == 1
