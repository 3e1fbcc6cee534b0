"""Scanning a source: which files are listed, and what examining them finds."""

import errno
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from agent.fs import platform, safe_open
from agent.model.errors import Fault, FaultKind
from agent.model.names import removing_path
from agent.model.source_file import ContainerState, FinishEvidence, ScannedFile, Signature, WriterState
from agent.protocol.requests import SourceFolder, SourceMount
from agent.worker.source import scan
from agent.worker.source.finish_evidence import FileReader
from agent.worker.source.scan import examine, list_files
from agent.worker.source.source_file import signature_of
from tests.samples import IDENTITY
from tests.worker.copy.faulty import failing

NAMES = [
    b"clip\nsecond line.mxf",
    b"-rf",
    b"n" * 255,
    b"\xff\xfe not utf-8",
    "🎬.mxf".encode(),
    "caf\u00e9".encode(),
    "cafe\u0301".encode(),
    b"clip.tmp.mxf",
    b"tmp",
    b".hidden",
]


def _folder(root: Path, *include: str) -> SourceFolder:
    return SourceFolder(str(root), include, ())


def test_a_source_that_is_being_removed_is_not_listed_and_one_that_only_looks_so_is(root: Path) -> None:
    private, foreign = removing_path(IDENTITY, "clip.mxf", ".p"), ".clip.mxf.0123456789abcdef.removing"
    for name in (private, foreign):
        (root / name).write_bytes(b"content")
    source = SourceFolder(str(root), (), (), IDENTITY)
    private_paths: list[str] = []
    assert [entry.path for entry in list_files(source, [], private_paths)] == [foreign]
    assert private_paths == [private]
    examined = examine(source, (private, foreign), frozenset(), [])
    assert [entry.path for entry in examined] == [foreign]


def _paths(root: Path, *include: str) -> list[str]:
    return sorted(entry.path for entry in list_files(_folder(root, *include), [], []))


def _now(root: Path, path: str) -> Signature:
    return signature_of((root / path).lstat())


def test_every_file_in_every_folder_is_listed_with_its_signature(root: Path) -> None:
    (root / "day" / "card").mkdir(parents=True)
    for path in ("clip.mxf", "day/clip.mxf", "day/card/clip.mov"):
        (root / path).write_bytes(path.encode())
    unreadable: list[tuple[str, str]] = []
    assert {entry.path: entry for entry in list_files(_folder(root), unreadable, [])} == {
        path: ScannedFile(path, _now(root, path))
        for path in ("clip.mxf", "day/clip.mxf", "day/card/clip.mov")
    }
    assert unreadable == []


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_legal_name_is_listed_as_it_is(root: Path, name: bytes) -> None:
    path = os.fsencode(root) + b"/" + name
    with open(path, "wb"):
        pass
    assert [os.fsencode(listed) for listed in _paths(root)] == [name]


def test_two_spellings_of_one_name_are_two_files(root: Path) -> None:
    for name in ("caf\u00e9.mxf", "cafe\u0301.mxf"):
        (root / name).touch()
    assert _paths(root) == ["cafe\u0301.mxf", "caf\u00e9.mxf"]


def test_only_what_the_route_wants_is_listed(root: Path) -> None:
    for name in (
        "clip.mxf",
        "clip.mov",
        "clip.mxf.tmp",
        "clip.tmp.mxf",
        ".clip.mxf.0123456789abcdef.partial",
    ):
        (root / name).touch()
    assert _paths(root, "*.mxf") == ["clip.mxf", "clip.tmp.mxf"]


SYSTEM_FOLDERS = (
    ".Trashes",
    "day/$RECYCLE.BIN",
    "@eaDir",
    "SYSTEM VOLUME INFORMATION",
    "day/.snapshot/hourly",
)


def test_what_systems_and_servers_keep_for_themselves_is_not_listed_whatever_is_included(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in SYSTEM_FOLDERS:
        (root / folder).mkdir(parents=True)
        (root / folder / "deleted.mxf").touch()
    for name in ("clip.mxf", "day/clip.mxf", ".fuse_hidden0000000200000001", ".nfs0000000000abcdef"):
        (root / name).touch()
    listed: list[str] = []
    open_folder = safe_open.open_folder

    def noting(root_fd: int, folder: str, *, create: bool) -> int:
        listed.append(folder)
        return open_folder(root_fd, folder, create=create)

    monkeypatch.setattr(safe_open, "open_folder", noting)
    assert _paths(root, "**", ".Trashes/*", ".nfs*") == ["clip.mxf", "day/clip.mxf"]
    assert listed == ["", "day"]  # the others are not even entered


def test_the_marker_of_a_source_stays_where_it_is(root: Path) -> None:
    for name in ("here.mxf", "clip.mxf"):
        (root / name).touch()
    source = SourceFolder(str(root), (), (), mount=SourceMount(marker="here.mxf"))
    paths = ("here.mxf", "clip.mxf")
    assert [entry.path for entry in list_files(source, [], [])] == ["clip.mxf"]
    assert [entry.path for entry in examine(source, paths, frozenset(), [])] == ["clip.mxf"]


def test_links_and_special_files_are_not_listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "clip.mxf").touch()
    (root / "link.mxf").symlink_to("clip.mxf")
    (root / "broken.mxf").symlink_to("gone")
    (root / "leads out.mxf").symlink_to("../outside/secret.mxf")
    (root / "folder").symlink_to("../outside")
    (root / "loop").symlink_to(".")
    os.mkfifo(root / "pipe.mxf")
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.mxf")
    if os.geteuid() == 0:
        os.mknod(root / "device.mxf", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    assert _paths(root) == ["clip.mxf"]


def test_hard_links_are_files_like_any_other(root: Path) -> None:
    (root / "one.mxf").write_bytes(b"content")
    (root / "two.mxf").hardlink_to(root / "one.mxf")
    assert _paths(root) == ["one.mxf", "two.mxf"]


def test_a_folder_that_becomes_a_link_while_it_is_listed_is_not_followed(root: Path) -> None:
    (root / "clip.mxf").touch()
    (root / "folder").mkdir()
    unreadable: list[tuple[str, str]] = []
    entries = list_files(_folder(root), unreadable, [])
    first = next(entries)
    (root / "folder").rmdir()
    (root / "folder").symlink_to("../outside")
    assert [first.path, *(entry.path for entry in entries)] == ["clip.mxf"]
    assert unreadable == [("folder", os.strerror(errno.ENOTDIR))]


def test_a_folder_that_moves_away_while_its_parent_is_listed_is_not_unreadable(root: Path) -> None:
    (root / "clip.mxf").touch()
    (root / "folder").mkdir()
    unreadable: list[tuple[str, str]] = []
    entries = list_files(_folder(root), unreadable, [])
    next(entries)
    (root / "folder").rmdir()
    assert list(entries) == []
    assert unreadable == []


def test_a_folder_that_cannot_be_listed_is_named_and_the_rest_is_listed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "denied").mkdir()
    (root / "clip.mxf").touch()
    open_folder = safe_open.open_folder

    def refusing(root_fd: int, folder: str, *, create: bool) -> int:
        if folder == "denied":
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_folder(root_fd, folder, create=create)

    monkeypatch.setattr(safe_open, "open_folder", refusing)
    unreadable: list[tuple[str, str]] = []
    assert [entry.path for entry in list_files(_folder(root), unreadable, [])] == ["clip.mxf"]
    assert unreadable == [("denied", "Permission denied")]


def test_a_file_that_vanishes_while_it_is_listed_is_skipped(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "STAT_FILES", 1)
    (root / "one.mxf").touch()
    (root / "two.mxf").touch()
    entries = list_files(_folder(root), [], [])
    first = next(entries)
    for path in root.iterdir():
        path.unlink()
    assert first.path in ("one.mxf", "two.mxf")
    assert list(entries) == []


@pytest.mark.parametrize("what", ["missing", "file"])
def test_a_source_that_is_gone_is_a_fault_and_not_an_empty_listing(root: Path, what: str) -> None:
    (root / "file").touch()
    with pytest.raises(Fault) as fault:
        _paths(root / what)
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE


def test_a_source_that_cannot_be_listed_is_a_fault(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", failing(errno.EIO))
    with pytest.raises(Fault) as fault:
        _paths(root)
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE


# Examine


def _examine(root: Path, paths: tuple[str, ...], *closely: str) -> list[ScannedFile]:
    unreadable: list[tuple[str, str]] = []
    entries = list(examine(_folder(root), paths, frozenset(closely), unreadable))
    assert unreadable == []
    return entries


def test_only_wanted_regular_files_are_examined(root: Path) -> None:
    (root / "folder").mkdir()
    (root / "link.mxf").symlink_to("clip.mxf")
    (root / "linked").symlink_to("../outside")
    (root / "clip.mxf").touch()
    (root / "clip.mxf.tmp").touch()
    paths = ("clip.mxf", "folder", "link.mxf", "clip.mxf.tmp", "gone.mxf", "linked/secret.mxf")
    assert _examine(root, paths) == [ScannedFile("clip.mxf", _now(root, "clip.mxf"))]


def test_what_a_route_leaves_alone_is_not_examined_either(root: Path) -> None:
    (root / ".Trashes" / "501").mkdir(parents=True)
    for path in (".Trashes/501/clip.mxf", ".fuse_hidden0000000200000001", "clip.mxf"):
        (root / path).touch()
    paths = (".Trashes/501/clip.mxf", ".fuse_hidden0000000200000001", "clip.mxf")
    assert [entry.path for entry in _examine(root, paths, *paths)] == ["clip.mxf"]


def test_examining_closely_reports_writer_and_container(root: Path) -> None:
    (root / "clip.mp4").write_bytes(b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00")
    with open(root / "clip.mp4", "ab"):
        (recorded,) = _examine(root, ("clip.mp4",), "clip.mp4")
    (closed,) = _examine(root, ("clip.mp4",), "clip.mp4")
    assert recorded.evidence is not None
    assert closed.evidence is not None
    assert recorded.evidence.writer is WriterState.OPEN
    assert closed.evidence.writer is WriterState.NONE
    assert closed.evidence.container is ContainerState.OPEN
    assert closed.signature == _now(root, "clip.mp4")


def test_on_a_share_several_files_are_looked_up_at_a_time(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        (root / f"clip-{number}.mxf").touch()
    together, look_up = threading.Barrier(4, timeout=30.0), scan._scanned
    monkeypatch.setattr(platform, "calls_at_once", lambda _: 4)

    def at_the_same_time(file: tuple[str, os.DirEntry[str]]) -> ScannedFile | None:
        together.wait()
        return look_up(file)

    monkeypatch.setattr(scan, "_scanned", at_the_same_time)
    assert {entry.path for entry in list_files(_folder(root), [], [])} == {
        f"clip-{number}.mxf" for number in range(12)
    }


def test_each_block_that_is_read_of_a_file_is_a_sign_of_life(root: Path) -> None:
    (root / "clip.mxf").write_bytes(bytes(3 << 20))
    beats: list[None] = []
    with open(root / "clip.mxf", "rb") as clip:
        reader = FileReader(clip.fileno(), 3 << 20, lambda: beats.append(None))
        assert len(reader.read(0, 5 << 20)) == 3 << 20
    assert len(beats) == 4


def test_a_file_that_cannot_be_opened_has_unknown_evidence_with_the_reason(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "clip.mxf").touch()
    monkeypatch.setattr(safe_open, "open_at", failing(errno.EACCES))
    (entry,) = _examine(root, ("clip.mxf",), "clip.mxf")
    assert entry.evidence is not None
    assert (entry.evidence.writer, entry.evidence.container) == (WriterState.UNKNOWN, ContainerState.UNKNOWN)
    assert entry.evidence.container_detail == "Permission denied"


def test_a_container_that_cannot_be_read_hides_no_writer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "clip.mxf").write_bytes(b"a recording")
    monkeypatch.setattr(os, "pread", failing(errno.EIO))
    with open(root / "clip.mxf", "ab"):
        (entry,) = _examine(root, ("clip.mxf",), "clip.mxf")
    why = os.strerror(errno.EIO)
    assert entry.evidence == FinishEvidence(WriterState.OPEN, ContainerState.UNKNOWN, why, unreadable=why)


def test_what_the_agent_lacks_is_no_evidence_about_the_file(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "clip.mxf").touch()
    monkeypatch.setattr(safe_open, "open_at", failing(errno.EMFILE))
    unreadable: list[tuple[str, str]] = []
    entries = list(examine(_folder(root), ("clip.mxf",), frozenset({"clip.mxf"}), unreadable))
    assert entries == [ScannedFile("clip.mxf", _now(root, "clip.mxf"))]
    assert unreadable == [("clip.mxf", os.strerror(errno.EMFILE))]


def test_a_source_that_is_gone_cannot_be_examined(root: Path) -> None:
    with pytest.raises(Fault) as fault:
        _examine(root / "missing", ("clip.mxf",))
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE


def test_a_file_whose_stat_fails_is_unreadable_and_not_gone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe_open, "stat_at", failing(errno.EACCES))
    unreadable: list[tuple[str, str]] = []
    assert list(examine(_folder(root), ("day/clip.mxf",), frozenset(), unreadable)) == []
    assert unreadable == [("day/clip.mxf", "Permission denied")]


@pytest.mark.parametrize("call", ["open_root", "open_folder"])
def test_a_machine_short_of_descriptors_makes_no_folder_unreadable_and_no_outage(
    root: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe_open, call, failing(errno.EMFILE))
    unreadable: list[tuple[str, str]] = []
    with pytest.raises(Fault, match="this machine is short of file descriptors") as fault:
        list(list_files(SourceFolder(str(root), (), ()), unreadable, []))
    assert fault.value.kind is FaultKind.SHORTAGE
    assert unreadable == []


def test_a_source_that_cannot_be_opened_for_want_of_descriptors_is_in_no_outage(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe_open, "open_root", failing(errno.EMFILE))
    with pytest.raises(Fault) as fault:
        _examine(root, ("clip.mxf",))
    assert fault.value.kind is FaultKind.SHORTAGE
