"""A power cut on a real mount: the promises of POSIX hold, and nothing more."""

import errno
import os
import select
import socket
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.mounts.mounts import PATIENCE_S, FaultMount


def put(path: Path, content: bytes) -> None:
    """Content is durable, its name is not."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_names(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def shown(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_after_a_cut_only_what_was_made_durable_is_there(volatile: FaultMount) -> None:
    put(volatile.path / "kept", b"kept")
    (volatile.path / "no content").write_bytes(b"lost")
    sync_names(volatile.path)
    put(volatile.path / "no name", b"lost")
    (volatile.path / "kept").write_bytes(b"changed")
    (volatile.path / "kept").rename(volatile.path / "renamed")
    assert set(shown(volatile.path)) == {"renamed", "no content", "no name"}
    volatile.cut()
    volatile.restore()
    assert shown(volatile.path) == {"kept": b"kept", "no content": b""}


def test_identity_and_times_survive_with_the_content(volatile: FaultMount) -> None:
    file = volatile.path / "a"
    put(file, b"x")
    os.utime(file, ns=(1_000_000_007, 2_000_000_009))
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
    sync_names(volatile.path)
    before = file.stat()
    volatile.cut()
    volatile.restore()
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns, after.st_size) == (
        before.st_ino,
        2_000_000_009,
        before.st_ctime_ns,
        1,
    )


def test_it_is_cut_at_the_chosen_operation_and_fails_from_then_on(volatile: FaultMount) -> None:
    before = volatile.mutations
    volatile.cut_after(3)
    put(volatile.path / "a", b"x")  # create, write, fsync
    assert volatile.is_cut
    assert volatile.mutations == before + 3
    with pytest.raises(OSError, match="Input/output") as caught:
        sync_names(volatile.path)
    assert caught.value.errno == errno.EIO
    assert shown(volatile.path) == {"a": b"x"}  # reading goes on
    volatile.restore()
    assert shown(volatile.path) == {}


def test_without_a_cut_a_mount_that_is_left_in_order_keeps_everything(volatile: FaultMount) -> None:
    (volatile.path / "folder").mkdir()
    (volatile.path / "folder" / "a").write_bytes(b"x")
    volatile.restore()
    assert shown(volatile.path / "folder") == {"a": b"x"}


def test_sync_makes_everything_durable(volatile: FaultMount) -> None:
    (volatile.path / "a").write_bytes(b"x")
    volatile.sync()
    (volatile.path / "b").write_bytes(b"x")
    volatile.cut()
    volatile.restore()
    assert shown(volatile.path) == {"a": b"x"}


def count_up(path: Path) -> int:
    """Commit 0, 1, 2 ... until the storage refuses; the last one that was committed."""
    committed = -1
    with closing(sqlite3.connect(path, isolation_level=None)) as database, suppress(sqlite3.OperationalError):
        assert database.execute("PRAGMA journal_mode = WAL").fetchall() == [("wal",)]
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE numbers (number INTEGER)")
        for number in range(1000):
            database.execute("INSERT INTO numbers VALUES (?)", (number,))
            committed = number
    return committed


def test_a_database_in_wal_mode_keeps_its_commits_over_a_cut(volatile: FaultMount) -> None:
    (volatile.path / "state").mkdir()
    volatile.sync()
    volatile.cut_after(60)
    committed = count_up(volatile.path / "state" / "journal.db")
    assert 0 < committed < 999
    volatile.restore()
    with closing(sqlite3.connect(volatile.path / "state" / "journal.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        [(last,)] = database.execute("SELECT max(number) FROM numbers").fetchall()
    assert last >= committed


def test_power_can_be_restored_without_a_new_mount(volatile: FaultMount) -> None:
    put(volatile.path / "kept", b"kept")
    sync_names(volatile.path)
    (volatile.path / "kept").write_bytes(b"changed")
    (volatile.path / "lost").write_bytes(b"lost")
    volatile.cut()
    volatile.lose()
    assert shown(volatile.path) == {"kept": b"kept"}
    assert (volatile.is_cut, volatile.mutations) == (False, 0)
    (volatile.path / "next").write_bytes(b"next")
    assert shown(volatile.path) == {"kept": b"kept", "next": b"next"}


def test_a_saved_state_can_be_restored_repeatedly(volatile: FaultMount) -> None:
    (volatile.path / "a").write_bytes(b"first")
    before = (volatile.path / "a").stat()
    volatile.keep("beginning")
    for _ in range(2):
        (volatile.path / "a").write_bytes(b"second")
        (volatile.path / "b").write_bytes(b"x")
        volatile.cut()
        volatile.show("beginning")
        assert shown(volatile.path) == {"a": b"first"}
        after = (volatile.path / "a").stat()
        assert (after.st_ino, after.st_dev, after.st_mtime_ns) == (
            before.st_ino,
            before.st_dev,
            before.st_mtime_ns,
        )


def test_await_cut_answers_when_the_power_is_cut(volatile: FaultMount) -> None:
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.settimeout(PATIENCE_S)
        waiting.connect(volatile.address)
        waiting.sendall(b'{"do": "await_cut"}\n')
        volatile.cut_after(1)
        assert not select.select([waiting], [], [], 0)[0]
        (volatile.path / "a").touch()
        assert waiting.recv(100) == b"{}\n"
