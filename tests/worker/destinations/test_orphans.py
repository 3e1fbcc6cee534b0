"""Searching for our temporary files among foreign files, in real folders."""

import errno
import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from agent.fs import safe_open
from agent.fs.publisher import Publisher
from agent.model.errors import Fault, OutageReason
from agent.model.names import NAME_MAX_BYTES, partial_path, probe_path
from agent.protocol.requests import DestinationRef
from agent.worker.destinations import orphans
from agent.worker.destinations.folder import FolderDestination
from tests.samples import IDENTITY, a_file
from tests.worker.copy.faulty import failing
from tests.worker.copy.folders import unprivileged
from tests.worker.destinations.test_probe import SHARED_MEMORY

OTHER = IDENTITY[::-1]
NAMES = [
    b"clip\nsecond line.mxf",
    b"-rf",
    b"n" * NAME_MAX_BYTES,
    "é".encode() * 127,
    b"\xff\xfe not utf-8",
    "🎬.mxf".encode(),
    "caf\u00e9".encode(),
    "cafe\u0301".encode(),
    b"clip.0123456789abcdef.partial",
]


def ours(path: str, identity: str = IDENTITY) -> str:
    return partial_path(identity, a_file(path), path, "take")


def put(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def parts_of(root: Path, *, deep: bool = True) -> list[tuple[str, ...]]:
    with FolderDestination.open(DestinationRef(str(root), root.stat().st_dev), Publisher()) as destination:
        return list(destination.find_orphans(IDENTITY, deep=deep))


def test_the_snapshots_of_a_nas_are_not_searched(tmp_path: Path) -> None:
    put(tmp_path, ours("clip.mxf"), ours(".snapshot/hourly/clip.mxf"), ours("day/@eaDir/clip.mxf"))
    assert found(tmp_path) == {ours("clip.mxf")}


def found(root: Path, *, deep: bool = True) -> set[str]:
    paths = [path for part in parts_of(root, deep=deep) for path in part]
    assert len(set(paths)) == len(paths)
    return set(paths)


def test_every_legal_name_is_found_at_every_depth(tmp_path: Path) -> None:
    names = [os.fsdecode(name) for name in NAMES]
    paths = {ours(f"{folder}{name}") for name in names for folder in ("", "day/", "day/\udcfe card/")}
    put(tmp_path, *paths)
    assert len(paths) == 3 * len(NAMES)
    assert found(tmp_path) == paths
    assert found(tmp_path, deep=False) == {path for path in paths if "/" not in path}


def test_names_without_our_tag_are_not_found(tmp_path: Path) -> None:
    mine = ours("clip.mxf")
    put(
        tmp_path,
        ".clip.mxf.0123456789abcdef.partial",
        ours("clip.mxf", OTHER),
        probe_path(OTHER, "take"),
        mine.removeprefix("."),
        mine.upper(),
        mine + ".partial",
        mine.replace("clip", "clap"),
        "clip.mxf",
        ".clip.mxf.partial",
    )
    assert found(tmp_path) == set()


def test_an_orphaned_probe_is_found_in_the_root(tmp_path: Path) -> None:
    probe = probe_path(IDENTITY, "take")
    put(tmp_path, probe)
    assert found(tmp_path) == found(tmp_path, deep=False) == {probe}


def test_what_was_moved_with_its_folder_is_found_where_it_is_now(tmp_path: Path) -> None:
    partial = ours("day1/card/clip.mxf")
    put(tmp_path, partial)
    (tmp_path / "day1").rename(tmp_path / "day1_ok")
    assert found(tmp_path) == {partial.replace("day1/", "day1_ok/")}


def test_only_regular_files_are_found_and_no_link_is_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "nas", tmp_path / "outside"
    root.mkdir()
    put(outside, ours("day/linked.mxf").removeprefix("day/"), ours("target.mxf"))
    (root / "day").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / ours("link.mxf")).symlink_to(outside / ours("target.mxf"))
    (root / ours("dangling.mxf")).symlink_to("nowhere")
    os.mkfifo(root / ours("pipe.mxf"))
    folder = ours("folder.mxf")
    inside = ours(f"{folder}/inside.mxf")
    put(root, inside)
    with socket.socket(socket.AF_UNIX) as listener:
        # A socket's whole address must be short.
        with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as short:
            (Path(short) / "root").symlink_to(root)
            listener.bind(f"{short}/root/{ours('s')}")
        assert found(root) == {inside}


def test_unreadable_folders_are_skipped() -> None:
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as folder:  # others may not look into tmp_path
        root = Path(folder)
        root.chmod(0o755)
        put(root, ours("a/one.mxf"), ours("b/two.mxf"), ours("c/three.mxf"))
        (root / "b").chmod(0o000)
        with unprivileged():
            assert found(root) == {ours("a/one.mxf"), ours("c/three.mxf")}
        (root / "b").chmod(0o755)


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT, errno.ENOTDIR, errno.ELOOP])
def test_a_folder_that_has_changed_since_its_parent_was_listed_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    put(tmp_path, ours("one.mxf"), ours("day/two.mxf"))
    open_folder = safe_open.open_folder

    def changed(root: int, folder: str, *, create: bool) -> int:
        if folder:
            failing(number)()
        return open_folder(root, folder, create=create)

    monkeypatch.setattr(safe_open, "open_folder", changed)
    assert found(tmp_path) == {ours("one.mxf")}


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EHOSTDOWN])
def test_a_failing_file_system_is_an_outage_and_no_end_of_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    put(tmp_path, ours("day/two.mxf"))
    scandir, calls = os.scandir, iter([False, True])

    def broken(descriptor: int) -> object:
        return failing(number)() if next(calls) else scandir(descriptor)

    monkeypatch.setattr(os, "scandir", broken)
    with pytest.raises(Fault) as fault:
        found(tmp_path)
    assert fault.value.reason is not None


def test_a_root_that_may_not_be_read_is_an_outage_and_no_end_of_the_search() -> None:
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        root = Path(folder)
        with FolderDestination.open(DestinationRef(folder, root.stat().st_dev), Publisher()) as destination:
            root.chmod(0o300)
            with unprivileged(), pytest.raises(Fault) as fault:
                list(destination.find_orphans(IDENTITY, deep=True))
    assert fault.value.reason is OutageReason.DENIED


def test_another_file_system_below_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, ours("mounted/one.mxf"), ours("here/two.mxf"))
    inode, fstat = (tmp_path / "mounted").stat().st_ino, os.fstat

    def seen(descriptor: int) -> os.stat_result:
        status = list(fstat(descriptor))
        if status[stat.ST_INO] == inode:
            status[stat.ST_DEV] += 1
        return os.stat_result(status)

    monkeypatch.setattr(os, "fstat", seen)
    assert found(tmp_path) == {ours("here/two.mxf")}


def test_a_long_search_shows_that_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "REPORT_S", 0.0)
    put(tmp_path, "a", "b", ours("c"))
    assert sorted(parts_of(tmp_path)) == [(), (), (), (ours("c"),)]


def test_many_orphans_come_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "REPORT_S", 1e9)
    monkeypatch.setattr(orphans, "PART_PATHS", 2)
    paths = {ours(f"{number}.mxf") for number in range(5)}
    put(tmp_path, *paths)
    assert [len(part) for part in parts_of(tmp_path)] == [2, 2, 1]
    assert found(tmp_path) == paths
