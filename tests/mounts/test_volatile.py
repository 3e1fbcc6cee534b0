"""The model of storage that forgets: what POSIX promises survives a cut, nothing else does."""

import errno
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mounts.volatile import RENAME_NOREPLACE, Disk, File, Folder

Contents = dict[str, bytes | None]  # by path; None: a folder


def a_disk() -> Disk:
    return Disk(count(1).__next__)


def contents(disk: Disk) -> Contents:
    def below(folder: Folder, path: str) -> Contents:
        found: Contents = {}
        for name, node in folder.entries.items():
            found[f"{path}/{name}"] = bytes(node.content) if isinstance(node, File) else None
            if isinstance(node, Folder):
                found |= below(node, f"{path}/{name}")
        return found

    return below(disk.root, "")


def put(disk: Disk, path: str, content: bytes) -> File:
    file = disk.create(path, 0o644)
    disk.write(file, content, 0)
    return file


def put_durably(disk: Disk, path: str, content: bytes) -> File:
    file = put(disk, path, content)
    file.sync(data_only=False)
    disk.folder(path.rpartition("/")[0]).sync()
    return file


def test_nothing_survives_that_was_not_synced() -> None:
    disk = a_disk()
    put(disk, "/a", b"x")
    disk.mkdir("/folder", 0o755)
    assert contents(disk.after_cut()) == {}


def test_synced_content_needs_a_synced_name_and_the_reverse() -> None:
    disk = a_disk()
    put(disk, "/content", b"x").sync(data_only=False)
    assert contents(disk.after_cut()) == {}
    put(disk, "/name", b"x")
    disk.root.sync()
    assert contents(disk.after_cut()) == {"/content": b"x", "/name": b""}


def test_a_folder_keeps_its_names_only_if_its_own_name_is_kept() -> None:
    disk = a_disk()
    disk.mkdir("/folder", 0o755)
    put_durably(disk, "/folder/a", b"x")
    assert contents(disk.after_cut()) == {}
    disk.root.sync()
    assert contents(disk.after_cut()) == {"/folder": None, "/folder/a": b"x"}


def test_both_sides_of_a_rename_within_a_folder_hang_on_its_sync() -> None:
    disk = a_disk()
    put_durably(disk, "/old", b"x")
    disk.rename("/old", "/new")
    assert contents(disk) == {"/new": b"x"}
    assert contents(disk.after_cut()) == {"/old": b"x"}
    disk.root.sync()
    assert contents(disk.after_cut()) == {"/new": b"x"}


def test_a_file_moved_between_folders_may_be_in_both_or_in_none_after_a_cut() -> None:
    disk = a_disk()
    for folder in ("/a", "/b"):
        disk.mkdir(folder, 0o755)
    disk.root.sync()
    put_durably(disk, "/a/file", b"x")
    disk.rename("/a/file", "/b/file")
    disk.folder("/b").sync()
    after = disk.after_cut()
    assert after.file("/a/file") is after.file("/b/file")
    assert after.file("/a/file").links == 2
    disk.rename("/b/file", "/a/file")
    disk.folder("/b").sync()
    disk.rename("/a/file", "/b/file")
    disk.folder("/a").sync()
    assert contents(disk.after_cut()) == {"/a": None, "/b": None}


def test_an_unlink_is_forgotten_until_the_folder_is_synced() -> None:
    disk = a_disk()
    put_durably(disk, "/a", b"x")
    disk.unlink("/a")
    assert contents(disk.after_cut()) == {"/a": b"x"}
    disk.root.sync()
    assert contents(disk.after_cut()) == {}


def test_a_hard_link_is_durable_with_its_folder() -> None:
    disk = a_disk()
    put_durably(disk, "/a", b"x")
    disk.link("/a", "/b")
    disk.unlink("/a")
    assert contents(disk.after_cut()) == {"/a": b"x"}
    disk.root.sync()
    assert contents(disk.after_cut()) == {"/b": b"x"}
    assert disk.file("/b").links == 1


def test_fdatasync_keeps_the_content_and_fsync_the_times_too() -> None:
    disk = a_disk()
    file = put_durably(disk, "/a", b"x")
    disk.write(file, b"y", 0)
    disk.alter(file, mtime_ns=77_000)
    file.sync(data_only=True)
    survivor = disk.after_cut().file("/a")
    assert survivor.content == b"y"
    assert survivor.attributes.mtime_ns != 77_000
    file.sync(data_only=False)
    survivor = disk.after_cut().file("/a")
    assert (survivor.attributes, survivor.number) == (file.attributes, file.number)


def test_an_orderly_shutdown_forgets_nothing() -> None:
    disk = a_disk()
    disk.mkdir("/folder", 0o755)
    put(disk, "/folder/a", b"x")
    disk.sync_all()
    assert contents(disk.after_cut()) == contents(disk) == {"/folder": None, "/folder/a": b"x"}


def test_the_disk_can_be_used_after_a_cut() -> None:
    disk = a_disk()
    file = put_durably(disk, "/a", b"x")
    disk.write(file, b"lost", 0)
    after = disk.after_cut()
    assert after.create("/b", 0o644).number > file.number
    assert contents(after.after_cut()) == {"/a": b"x"}


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (("find", "/none"), errno.ENOENT),
        (("find", "/file/below"), errno.ENOTDIR),
        (("file", "/folder"), errno.EISDIR),
        (("folder", "/file"), errno.ENOTDIR),
        (("create", "/file", 0o644), errno.EEXIST),
        (("mkdir", "/folder", 0o755), errno.EEXIST),
        (("link", "/file", "/folder"), errno.EEXIST),
        (("unlink", "/folder"), errno.EISDIR),
        (("rmdir", "/folder"), errno.ENOTEMPTY),
        (("rename", "/other", "/file", RENAME_NOREPLACE), errno.EEXIST),
        (("rename", "/other", "/file", 2), errno.EINVAL),
        (("rename", "/other", "/folder"), errno.EISDIR),
        (("rename", "/folder", "/file"), errno.ENOTDIR),
        (("rename", "/folder/sub", "/sub"), errno.EXDEV),
    ],
)
def test_it_refuses_what_a_kernel_refuses(words: tuple[str, str], number: int) -> None:
    disk = a_disk()
    disk.mkdir("/folder", 0o755)
    disk.mkdir("/folder/sub", 0o755)
    put(disk, "/file", b"x")
    put(disk, "/other", b"y")
    before = contents(disk)
    name, *arguments = words
    with pytest.raises(OSError, match=r"/") as caught:
        getattr(disk, name)(*arguments)
    assert caught.value.errno == number
    assert contents(disk) == before


def test_a_rename_replaces_what_it_may() -> None:
    disk = a_disk()
    put(disk, "/a", b"new")
    put(disk, "/b", b"old")
    disk.mkdir("/full", 0o755)
    disk.mkdir("/full/sub", 0o755)
    disk.mkdir("/empty", 0o755)
    disk.rename("/a", "/b")
    disk.rename("/b", "/b")
    disk.rename("/full", "/empty")
    assert contents(disk) == {"/b": b"new", "/empty": None, "/empty/sub": None}


WRITES = st.tuples(st.just("write"), st.integers(0, 40), st.binary(max_size=20))
RESIZES = st.tuples(st.just("resize"), st.integers(0, 60), st.just(b""))
SYNCS = st.tuples(st.just("sync"), st.just(0), st.just(b""))


@given(st.lists(WRITES | RESIZES | SYNCS, max_size=30))
def test_what_is_durable_of_a_file_is_what_it_held_at_its_last_sync(
    steps: list[tuple[str, int, bytes]],
) -> None:
    disk = a_disk()
    file = put_durably(disk, "/a", b"")
    held = at_sync = b""
    for step, number, data in steps:
        if step == "write":
            disk.write(file, data, number)
            held = held.ljust(number, b"\0")[:number] + data + held[number + len(data) :]
        elif step == "resize":
            disk.truncate(file, number)
            held = held[:number].ljust(number, b"\0")
        else:
            file.sync(data_only=True)
            at_sync = held
        assert (bytes(file.content), contents(disk.after_cut())) == (held, {"/a": at_sync})


NAMES = st.sampled_from(["/a", "/b", "/c"])
STEPS = st.tuples(st.sampled_from(["create", "unlink", "rename", "link", "sync"]), NAMES, NAMES)


@given(st.lists(STEPS, max_size=30))
def test_the_durable_names_of_a_folder_are_those_at_its_last_sync(steps: list[tuple[str, str, str]]) -> None:
    disk = a_disk()
    at_sync: set[str] = set()
    for step, one, other in steps:
        present = set(contents(disk))
        if step == "create" and one not in present:
            disk.create(one, 0o644)
        elif step == "unlink" and one in present:
            disk.unlink(one)
        elif step == "rename" and one in present:
            disk.rename(one, other)
        elif step == "link" and one in present and other not in present:
            disk.link(one, other)
        elif step == "sync":
            disk.root.sync()
            at_sync = present
        assert set(contents(disk.after_cut())) == at_sync
