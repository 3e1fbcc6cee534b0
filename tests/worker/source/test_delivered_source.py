"""What happens to a source between its last check and its removal, and what an interrupted removal leaves."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from agent.fs import leases, platform, safe_open
from agent.fs.publisher import Publisher
from agent.model.errors import Fault, FaultKind
from agent.model.names import removing_path
from agent.protocol.replies import SourceRemoved, SourcesPutBack
from agent.protocol.requests import AfterMode, PutBackSources
from agent.worker.source.remove import put_back_sources
from tests.samples import IDENTITY
from tests.worker.source.removals import PRIVATE, clip, contents, refusing, removed, root, signature_now

__all__ = ["clip", "root"]  # fixtures
CHANGED = SourceRemoved("it was written to after it had been copied")
KEPT = SourceRemoved("it is not to be removed any more")
AFTER = pytest.mark.parametrize("after", ["delete", "archive"])
WRITE = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
os.write(fd, b" and more")
"""


@pytest.fixture(params=["exclusive rename", "plain rename"])
def rename(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that can rename without replacing, and on one that cannot."""
    if request.param == "plain rename":
        monkeypatch.setattr(platform, "move_exclusively", refusing(errno.EINVAL))


def before_rename(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """`act` once, after the last check under the source's own name and right before the next call."""
    move = platform.move_exclusively

    def moved(*values: object) -> None:
        monkeypatch.setattr(platform, "move_exclusively", move)
        act()
        move(*values)  # type: ignore[arg-type]

    monkeypatch.setattr(platform, "move_exclusively", moved)


def before_unlink(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """`act` once, right before the first unlink."""
    unlink = os.unlink

    def unlinked(*values: object, **named: object) -> None:
        monkeypatch.setattr(os, "unlink", unlink)
        act()
        unlink(*values, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "unlink", unlinked)


def replace(clip: Path, content: bytes) -> None:
    """As a recorder or a file manager does: write beside it, then rename over it."""
    new = clip.with_name("new")
    new.write_bytes(content)
    new.rename(clip)


@AFTER
@pytest.mark.usefixtures("rename")
def test_a_second_take_that_gets_the_name_after_the_last_check_survives(
    root: Path, clip: Path, tmp_path: Path, after: AfterMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_rename(monkeypatch, lambda: replace(clip, b"another"))
    assert removed(root, signature_now(clip), after, tmp_path / "archive") == CHANGED
    assert contents(clip.parent) == {"clip.mxf": b"another"}
    assert list((tmp_path / "archive").rglob("*.mxf")) == []


@AFTER
def test_a_second_take_that_is_written_while_the_first_is_removed_survives(
    root: Path, clip: Path, tmp_path: Path, after: AfterMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = leases.is_lease_broken

    def checked(descriptor: int) -> bool:
        clip.write_bytes(b"second take")
        return check(descriptor)

    monkeypatch.setattr(platform, "is_lease_broken", checked)
    assert removed(root, signature_now(clip), after, tmp_path / "archive") == SourceRemoved(None)
    assert contents(clip.parent) == {"clip.mxf": b"second take"}
    if after == "archive":
        assert contents(tmp_path / "archive" / "day 1") == {"clip.mxf": b"content"}


def test_a_file_whose_name_is_taken_before_it_is_put_back_gets_the_next_one(
    root: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = platform.move_exclusively

    def moved(*values: object) -> None:
        replace(clip, b"second take")
        move(*values)  # type: ignore[arg-type]
        clip.write_bytes(b"third take")

    monkeypatch.setattr(platform, "move_exclusively", moved)
    result = removed(root, signature_now(clip))
    assert result == SourceRemoved(CHANGED.kept_because, put_back_as="clip_1.mxf")
    assert contents(clip.parent) == {"clip.mxf": b"third take", "clip_1.mxf": b"second take"}


def test_a_writer_that_waits_for_our_lease_wins(
    root: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.prepare_process()
    writers = []

    def open_for_writing() -> None:
        [descriptor] = [fd for fd in os.listdir("/proc/self/fd") if _leads_to(fd, clip)]
        writers.append(subprocess.Popen([sys.executable, "-c", WRITE, clip]))
        while not leases.is_lease_broken(int(descriptor)):
            time.sleep(0.001)

    before_rename(monkeypatch, open_for_writing)
    with pytest.raises(Fault, match="open for writing") as fault:
        removed(root, signature_now(clip))
    assert fault.value.kind is FaultKind.SOURCE
    assert writers[0].wait() == 0
    assert contents(clip.parent) == {"clip.mxf": b"content and more"}


def _leads_to(descriptor: str, path: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}") == str(path)
    except FileNotFoundError:  # the descriptor that listed the folder
        return False


@pytest.mark.parametrize("is_network", [False, True])
def test_where_a_removed_file_that_is_open_would_stay_it_is_closed_first(
    root: Path, clip: Path, is_network: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS and FUSE rename it to .nfs or .fuse_hidden; on a local disk the lease is held until it is gone."""
    held: list[bool] = []
    monkeypatch.setattr(leases, "is_network", lambda _: is_network)
    before_unlink(
        monkeypatch,
        lambda: held.append(any(_leads_to(fd, root / PRIVATE) for fd in os.listdir("/proc/self/fd"))),
    )
    assert removed(root, signature_now(clip)) == SourceRemoved(None)
    assert held == [not is_network]


@AFTER
def test_a_removal_that_was_cut_off_after_the_rename_is_finished(
    root: Path, clip: Path, tmp_path: Path, after: AfterMode
) -> None:
    state = signature_now(clip)
    clip.rename(root / PRIVATE)
    assert removed(root, state, after, tmp_path / "archive") == SourceRemoved(None)
    assert contents(clip.parent) == {}
    if after == "archive":
        assert contents(tmp_path / "archive" / "day 1") == {"clip.mxf": b"content"}


def test_a_new_file_beside_a_removal_that_was_cut_off_is_not_touched(root: Path, clip: Path) -> None:
    state = signature_now(clip)
    clip.rename(root / PRIVATE)
    clip.write_bytes(b"second take")
    assert removed(root, state) == SourceRemoved(None)
    assert contents(clip.parent) == {"clip.mxf": b"second take"}


def test_another_file_that_a_removal_that_was_cut_off_has_renamed_gets_its_name_back(
    root: Path, clip: Path
) -> None:
    state = signature_now(clip)
    replace(clip, b"another")
    clip.rename(root / PRIVATE)
    assert removed(root, state) == CHANGED
    assert contents(clip.parent) == {"clip.mxf": b"another"}


@pytest.mark.usefixtures("rename")
def test_another_file_makes_way_for_the_source_under_the_private_name(root: Path, clip: Path) -> None:
    (root / PRIVATE).write_bytes(b"another")
    assert removed(root, signature_now(clip)) == SourceRemoved(None, put_back_as="clip_1.mxf")
    assert contents(clip.parent) == {"clip_1.mxf": b"another"}


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_file_gets_its_name_back(
    root: Path, clip: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced() -> None:
        clip.unlink()
        match kind:
            case "link":
                clip.symlink_to("nowhere")
            case "folder":
                clip.mkdir()
            case _:
                os.mkfifo(clip)

    state = signature_now(clip)
    before_rename(monkeypatch, replaced)
    assert removed(root, state) == CHANGED
    inode = clip.lstat().st_ino
    clip.rename(root / PRIVATE)
    with suppress(Fault):  # a symbolic link cannot be opened
        assert removed(root, state) == CHANGED
    assert [(path.name, path.lstat().st_ino) for path in clip.parent.iterdir()] == [("clip.mxf", inode)]


def test_a_file_that_cannot_be_removed_keeps_its_name(
    root: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "unlink", refusing(errno.EIO))
    with pytest.raises(Fault) as fault:
        removed(root, signature_now(clip))
    assert fault.value.kind is FaultKind.SOURCE
    assert contents(clip.parent) == {"clip.mxf": b"content"}


def test_the_error_says_under_which_name_a_file_stands_that_cannot_be_put_back(
    root: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        monkeypatch.setattr(platform, "move_exclusively", refusing(errno.EIO))
        monkeypatch.setattr("agent.fs.publisher.move_exclusively", refusing(errno.EIO))
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before_unlink(monkeypatch, fail)
    with pytest.raises(Fault, match=r"stands as 'day 1/\.clip\.mxf\.0123456789abcdef\.removing'"):
        removed(root, signature_now(clip))
    assert contents(clip.parent) == {Path(PRIVATE).name: b"content"}


def test_a_source_that_is_to_be_kept_now_gets_its_name_back(root: Path, clip: Path) -> None:
    state = signature_now(clip)
    clip.rename(root / PRIVATE)
    assert removed(root, state, "keep", is_renamed=True) == KEPT
    assert contents(clip.parent) == {"clip.mxf": b"content"}
    assert removed(root, state, "keep", is_renamed=True) == KEPT
    clip.unlink()
    assert removed(root, state, "keep", is_renamed=True) == SourceRemoved(None)


# Durable


@pytest.mark.parametrize(
    ("after", "failing"), [("delete", "source"), ("archive", "source"), ("archive", "archive")]
)
def test_a_removal_whose_sync_failed_is_synced_the_second_time(
    root: Path, clip: Path, tmp_path: Path, after: AfterMode, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not count as gone before it is durable."""
    folder, archived = tmp_path / failing / "day 1", tmp_path / "archive" / "day 1" / "clip.mxf"
    synced: list[str] = []

    def sync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        if synced[-1] == str(folder) and (archived.exists() or not os.listdir(clip.parent)):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    state = signature_now(clip)
    monkeypatch.setattr(platform, "sync_folder", sync)
    monkeypatch.setattr(safe_open, "sync_folder", sync)
    for _ in range(2):
        with pytest.raises(Fault) as fault:
            removed(root, state, after, tmp_path / "archive")
        assert fault.value.kind is FaultKind.SOURCE
    assert os.listdir(clip.parent) == []
    assert synced.count(str(folder)) >= 2


def test_where_the_folder_is_gone_too_the_one_above_it_is_synced(
    root: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        platform, "sync_folder", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    )
    state = signature_now(clip)
    clip.unlink()
    clip.parent.rmdir()
    assert removed(root, state) == SourceRemoved(None)
    assert synced == [str(root)]


def test_a_folder_that_somebody_removes_behind_us_is_no_fault(
    root: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def unlinked(*values: object, **named: object) -> None:
        unlink(*values, **named)  # type: ignore[arg-type]
        clip.parent.rmdir()

    monkeypatch.setattr(os, "unlink", unlinked)
    assert removed(root, signature_now(clip)) == SourceRemoved(None)
    assert contents(root) == {}


def test_a_source_whose_folder_is_renamed_when_it_has_its_private_name_is_removed_where_it_is(
    root: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def renamed_first(*values: object, **named: object) -> None:
        clip.parent.rename(root / "day 1 ok")
        (root / "day 1").mkdir()
        clip.write_bytes(b"second take")
        unlink(*values, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "unlink", renamed_first)
    assert removed(root, signature_now(clip)) == SourceRemoved(None)
    assert contents(root / "day 1 ok") == {}
    assert contents(root / "day 1") == {"clip.mxf": b"second take"}


# Private names that no transfer knows


def test_files_are_put_back_under_names_that_are_free(root: Path, clip: Path) -> None:
    paths = ("day 1/clip.mxf", "day 1/other.mxf", "day 1/gone.mxf", "day 2/gone.mxf")
    private = [removing_path(IDENTITY, path, ".p.partial") for path in paths]
    for path in private[:2]:
        (root / path).write_bytes(path.encode())
    request = PutBackSources(str(root), tuple(private))
    put_back = put_back_sources(request, Publisher(), lambda: None)
    assert put_back == SourcesPutBack(("day 1/clip_1.mxf", "day 1/other.mxf"))
    assert contents(clip.parent) == {
        "clip.mxf": b"content",
        "clip_1.mxf": private[0].encode(),
        "other.mxf": private[1].encode(),
    }


def test_a_file_that_cannot_be_put_back_is_a_fault(
    root: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = removing_path(IDENTITY, "day 1/clip.mxf", ".p.partial")
    clip.rename(root / private)
    monkeypatch.setattr("agent.fs.publisher.move_exclusively", refusing(errno.EROFS))
    with pytest.raises(Fault) as fault:
        put_back_sources(PutBackSources(str(root), (private,)), Publisher(), lambda: None)
    assert fault.value.kind is FaultKind.SOURCE
