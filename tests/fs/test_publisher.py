import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.fs import platform
from agent.fs.file_identity import FileIdentity, IdentityMismatch
from agent.fs.publisher import (
    PUBLISH_STRATEGIES,
    HeldPartial,
    Publication,
    Publisher,
    PublishStep,
    strategies_for,
)
from agent.model.storage import PublishStrategy

CONTENT = b"verified"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """A folder with the verified partial in it."""
    (tmp_path / "partial").write_bytes(CONTENT)
    opened = os.open(tmp_path, os.O_RDONLY)
    yield opened
    os.close(opened)


def identity(folder: int) -> FileIdentity:
    """That of the verified partial."""
    return FileIdentity.of(os.stat("partial", dir_fd=folder))


def publish(publisher: Publisher, target: str, folder: int) -> Publication:
    return publisher.publish("partial", target, folder, identity(folder))


def _refusing(number: int) -> Callable[..., None]:
    def step(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return step


def _only(strategy: PublishStrategy) -> Publisher:
    return Publisher([(name, step) for name, step in PUBLISH_STRATEGIES if name == strategy])


def _strategies_tried_by(publisher: Publisher, folder: int) -> list[str]:
    """Publish once more and record which strategies were tried."""
    tried: list[str] = []

    def watched(name: PublishStrategy, step: PublishStep) -> PublishStep:
        def trying(held: HeldPartial, target: str) -> None:
            tried.append(name)
            step(held, target)

        return trying

    device = os.fstat(folder).st_dev
    left = publisher._left_by_device.get(device) or publisher._all_for(folder)
    publisher._left_by_device[device] = tuple((name, watched(name, step)) for name, step in left)
    publish(publisher, "again.mxf", folder)
    return tried


@pytest.mark.parametrize("strategy", ["rename", "link", "placeholder"])
def test_each_strategy_moves_the_content_to_the_free_name(
    strategy: PublishStrategy, folder: int, tmp_path: Path
) -> None:
    inode = (tmp_path / "partial").stat().st_ino
    assert publish(_only(strategy), "clip.mxf", folder).strategy == strategy
    assert (tmp_path / "clip.mxf").read_bytes() == CONTENT
    assert (tmp_path / "clip.mxf").stat().st_ino == inode
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip.mxf"]


@pytest.mark.parametrize("strategy", ["rename", "link", "placeholder"])
@pytest.mark.parametrize("taken_by", ["file", "empty file", "folder", "dangling link"])
def test_no_strategy_replaces_what_is_there(
    strategy: PublishStrategy, taken_by: str, folder: int, tmp_path: Path
) -> None:
    target = tmp_path / "clip.mxf"
    match taken_by:
        case "file":
            target.write_text("theirs")
        case "empty file":
            target.touch()
        case "folder":
            target.mkdir()
        case _:
            target.symlink_to("nowhere")
    before = target.lstat()
    with pytest.raises(FileExistsError) as taken:
        publish(_only(strategy), "clip.mxf", folder)
    assert taken.value.filename == "clip.mxf"
    assert (target.lstat().st_ino, target.lstat().st_size) == (before.st_ino, before.st_size)
    assert (tmp_path / "partial").read_bytes() == CONTENT


@pytest.mark.parametrize("name", [b"\xff", b"a\nb", b"-n", b"n" * 255])
@pytest.mark.parametrize("strategy", ["rename", "link", "placeholder"])
def test_any_legal_name_can_be_published(
    strategy: PublishStrategy, name: bytes, folder: int, tmp_path: Path
) -> None:
    publish(_only(strategy), os.fsdecode(name), folder)
    assert os.listdir(os.fsencode(tmp_path)) == [name]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM])
def test_where_one_strategy_is_unsupported_the_next_is_used_and_remembered(number: int, folder: int) -> None:
    publisher = Publisher([("rename", _refusing(number)), *PUBLISH_STRATEGIES[1:]])
    assert publish(publisher, "clip.mxf", folder).strategy == "link"
    os.rename("clip.mxf", "partial", src_dir_fd=folder, dst_dir_fd=folder)
    assert _strategies_tried_by(publisher, folder) == ["link"]


def test_what_works_is_remembered_for_each_device(folder: int) -> None:
    publisher = Publisher([("rename", _refusing(errno.EINVAL)), *PUBLISH_STRATEGIES[1:]])
    publish(publisher, "clip.mxf", folder)
    with TemporaryDirectory(dir="/dev/shm") as place:  # another device than the disk's
        Path(place, "partial").touch()
        other = os.open(place, os.O_RDONLY)
        assert _strategies_tried_by(publisher, other) == ["rename", "link"]
        os.close(other)


def test_a_strategy_that_fails_for_another_reason_is_an_error(folder: int, tmp_path: Path) -> None:
    publisher = Publisher([("rename", _refusing(errno.EIO)), *PUBLISH_STRATEGIES[1:]])
    with pytest.raises(OSError, match=r"Input/output error: 'clip\.mxf'"):
        publish(publisher, "clip.mxf", folder)
    assert [entry.name for entry in tmp_path.iterdir()] == ["partial"]


def test_when_no_strategy_works_the_last_error_is_raised(folder: int) -> None:
    publisher = Publisher([("rename", _refusing(errno.EINVAL)), ("link", _refusing(errno.EPERM))])
    with pytest.raises(PermissionError):
        publish(publisher, "clip.mxf", folder)


@pytest.mark.parametrize("names", [("partial", "../clip.mxf"), ("../partial", "clip.mxf")])
def test_publishing_stays_in_one_folder(names: tuple[str, str], folder: int) -> None:
    with pytest.raises(ValueError, match="one folder"):
        Publisher().publish(*names, folder, identity(folder))


def test_a_publisher_renames_where_the_file_system_can(folder: int, tmp_path: Path) -> None:
    assert publish(Publisher(), "clip.mxf", folder).strategy == "rename"
    assert (tmp_path / "clip.mxf").read_bytes() == CONTENT


def test_publishing_by_link_can_be_repeated_after_a_kill_in_the_middle(folder: int, tmp_path: Path) -> None:
    os.link(tmp_path / "partial", tmp_path / "clip.mxf")  # killed before the unlink
    assert publish(_only("link"), "clip.mxf", folder).strategy == "link"
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip.mxf"]


def test_a_placeholder_with_foreign_content_is_kept(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _after_close(monkeypatch, lambda: (tmp_path / "clip.mxf").write_text("theirs"))
    with pytest.raises(FileExistsError):
        publish(_only("placeholder"), "clip.mxf", folder)
    assert (tmp_path / "clip.mxf").read_text() == "theirs"
    assert (tmp_path / "partial").read_bytes() == CONTENT


def test_a_foreign_file_in_place_of_the_placeholder_is_kept(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").touch()
    _after_close(monkeypatch, lambda: (tmp_path / "theirs").rename(tmp_path / "clip.mxf"))
    with pytest.raises(FileExistsError):
        publish(_only("placeholder"), "clip.mxf", folder)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["clip.mxf", "partial"]


def test_a_placeholder_is_removed_when_the_rename_fails(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "rename", _refusing(errno.EACCES))
    with pytest.raises(PermissionError):
        publish(_only("placeholder"), "clip.mxf", folder)
    assert [entry.name for entry in tmp_path.iterdir()] == ["partial"]


def test_a_rename_that_succeeded_although_it_reported_an_error_is_not_undone(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def answer_lost(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    monkeypatch.setattr(os, "rename", answer_lost)
    with pytest.raises(TimeoutError):
        publish(_only("placeholder"), "clip.mxf", folder)
    assert (tmp_path / "clip.mxf").read_bytes() == CONTENT


# What gets the name is what was verified


def _altered(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"V")


def _swapped(path: Path) -> None:
    path.rename(path.with_name("verified"))
    path.write_bytes(CONTENT)


def _swapped_for_link(path: Path) -> None:
    path.rename(path.with_name("verified"))
    path.symlink_to("verified")


def _swapped_for_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("strategy", ["rename", "link", "placeholder"])
@pytest.mark.parametrize(
    ("change", "is_other_file"),
    [(_altered, False), (_swapped, True), (_swapped_for_link, True), (_swapped_for_fifo, True)],
)
def test_what_is_not_the_verified_file_gets_no_name(
    strategy: PublishStrategy,
    change: Callable[[Path], None],
    is_other_file: bool,
    folder: int,
    tmp_path: Path,
) -> None:
    verified = identity(folder)
    change(tmp_path / "partial")
    with pytest.raises(IdentityMismatch) as mismatch:
        _only(strategy).publish("partial", "clip.mxf", folder, verified)
    assert mismatch.value.is_other_file is is_other_file
    assert not os.path.lexists(tmp_path / "clip.mxf")


def test_a_second_name_of_the_verified_file_is_another_identity(folder: int, tmp_path: Path) -> None:
    verified = identity(folder)
    (tmp_path / "theirs").hardlink_to(tmp_path / "partial")
    with pytest.raises(IdentityMismatch) as mismatch:
        Publisher().publish("partial", "clip.mxf", folder, verified)
    assert not mismatch.value.is_other_file


@pytest.mark.parametrize("strategy", ["rename", "link", "placeholder"])
def test_the_identity_under_the_new_name_is_returned(
    strategy: PublishStrategy, folder: int, tmp_path: Path
) -> None:
    published = publish(_only(strategy), "clip.mxf", folder).identity
    assert published == FileIdentity.of((tmp_path / "clip.mxf").lstat())
    assert FileIdentity.parse(str(published)) == published


@pytest.mark.parametrize("strategy", ["rename", "link", "placeholder"])
def test_a_file_that_is_taken_as_soon_as_it_has_its_name_was_published(
    strategy: PublishStrategy, folder: int, tmp_path: Path
) -> None:
    def picked(held: HeldPartial, target: str) -> None:
        dict(PUBLISH_STRATEGIES)[strategy](held, target)
        (tmp_path / target).unlink()

    verified = identity(folder)
    published = publish(Publisher([(strategy, picked)]), "clip.mxf", folder).identity
    assert published is not None
    assert published.is_same_content(verified)


@pytest.mark.parametrize("strategy", ["rename", "link", "placeholder"])
def test_another_file_under_the_name_is_not_taken_for_the_published_one(
    strategy: PublishStrategy, folder: int, tmp_path: Path
) -> None:
    (tmp_path / "theirs").write_bytes(CONTENT)

    def replaced(held: HeldPartial, target: str) -> None:
        dict(PUBLISH_STRATEGIES)[strategy](held, target)
        (tmp_path / "theirs").rename(tmp_path / target)

    assert publish(Publisher([(strategy, replaced)]), "clip.mxf", folder).identity is None


def test_by_link_the_partial_stays_where_its_link_is_not_the_verified_file(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").write_bytes(b"theirs")
    link = os.link

    def linked(_source: str, target: str, **folders: object) -> None:
        link("theirs", target, **folders)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "link", linked)
    assert publish(_only("link"), "clip.mxf", folder).identity is None
    assert (tmp_path / "partial").read_bytes() == CONTENT


def test_by_link_the_partial_is_closed_before_its_name_goes(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else NFS and FUSE keep the name as .nfs… or .fuse_hidden…."""
    open_at_unlink: list[str] = []
    unlink = os.unlink

    def watched(name: str, *, dir_fd: int) -> None:
        links = [os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if entry.is_symlink()]
        open_at_unlink.extend(each for each in links if each.startswith(f"{tmp_path}/"))
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", watched)
    publish(_only("link"), "clip.mxf", folder)
    assert open_at_unlink == []


@pytest.mark.parametrize("strategy", ["rename", "link", "placeholder"])
def test_whatever_has_a_name_can_be_renamed_without_replacing(
    strategy: PublishStrategy, folder: int, tmp_path: Path
) -> None:
    (tmp_path / "taken.mxf").write_bytes(b"theirs")
    with (tmp_path / "partial").open("ab") as writer:
        writer.write(b" and more")
        with pytest.raises(FileExistsError):
            _only(strategy).move("partial", "taken.mxf", folder)
        assert _only(strategy).move("partial", "clip.mxf", folder) == strategy
    assert (tmp_path / "clip.mxf").read_bytes() == CONTENT + b" and more"
    assert sorted(os.listdir(tmp_path)) == ["clip.mxf", "taken.mxf"]


# Which strategy


@pytest.mark.parametrize("file_system", ["cifs", "smb3", "smbfs"])
def test_on_smb_a_rename_that_only_seems_not_to_replace_is_never_tried(file_system: str) -> None:
    assert [name for name, _ in strategies_for(file_system)] == ["link", "placeholder"]


@pytest.mark.parametrize("file_system", ["ext4", "nfs4", "fuse.sshfs", "exfat"])
def test_elsewhere_the_rename_that_does_not_replace_comes_first(file_system: str) -> None:
    assert [name for name, _ in strategies_for(file_system)] == ["rename", "link", "placeholder"]


def test_the_order_is_that_of_the_folders_file_system(folder: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "file_system", lambda _: "cifs")
    assert publish(Publisher(), "clip.mxf", folder).strategy == "link"


def _after_close(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]) -> None:
    """Let somebody else act between the making of the placeholder and the check."""
    close = os.close

    def closing(fd: int) -> None:
        monkeypatch.undo()
        close(fd)
        then()

    monkeypatch.setattr(os, "close", closing)
