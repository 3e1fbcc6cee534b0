import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.fs.publisher import PUBLISH_STRATEGIES, Publisher, PublishStrategy

CONTENT = b"verified"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """A folder with the verified partial in it."""
    (tmp_path / "partial").write_bytes(CONTENT)
    opened = os.open(tmp_path, os.O_RDONLY)
    yield opened
    os.close(opened)


def _refusing(number: int) -> Callable[..., None]:
    def step(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return step


def _only(strategy: PublishStrategy) -> Publisher:
    return Publisher([(name, step) for name, step in PUBLISH_STRATEGIES if name == strategy])


def _strategies_tried_by(publisher: Publisher, folder: int) -> list[str]:
    """Publish once more and record which strategies were tried."""
    tried: list[str] = []

    def watched(
        name: PublishStrategy, step: Callable[[str, str, int], None]
    ) -> Callable[[str, str, int], None]:
        def trying(source: str, target: str, folder_fd: int) -> None:
            tried.append(name)
            step(source, target, folder_fd)

        return trying

    publisher._strategies = tuple((name, watched(name, step)) for name, step in publisher._strategies)
    publisher.publish("partial", "again.mxf", folder)
    return tried


@pytest.mark.parametrize("strategy", ["rename", "link", "placeholder"])
def test_each_strategy_moves_the_content_to_the_free_name(
    strategy: PublishStrategy, folder: int, tmp_path: Path
) -> None:
    inode = (tmp_path / "partial").stat().st_ino
    assert _only(strategy).publish("partial", "clip.mxf", folder) == strategy
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
        _only(strategy).publish("partial", "clip.mxf", folder)
    assert taken.value.filename == "clip.mxf"
    assert (target.lstat().st_ino, target.lstat().st_size) == (before.st_ino, before.st_size)
    assert (tmp_path / "partial").read_bytes() == CONTENT


@pytest.mark.parametrize("name", [b"\xff", b"a\nb", b"-n", b"n" * 255])
@pytest.mark.parametrize("strategy", ["rename", "link", "placeholder"])
def test_any_legal_name_can_be_published(
    strategy: PublishStrategy, name: bytes, folder: int, tmp_path: Path
) -> None:
    _only(strategy).publish("partial", os.fsdecode(name), folder)
    assert os.listdir(os.fsencode(tmp_path)) == [name]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM])
def test_where_one_strategy_is_unsupported_the_next_is_used_and_remembered(number: int, folder: int) -> None:
    publisher = Publisher([("rename", _refusing(number)), *PUBLISH_STRATEGIES[1:]])
    assert publisher.publish("partial", "clip.mxf", folder) == "link"
    os.rename("clip.mxf", "partial", src_dir_fd=folder, dst_dir_fd=folder)
    assert _strategies_tried_by(publisher, folder) == ["link"]


def test_what_works_is_remembered_for_each_device(folder: int) -> None:
    publisher = Publisher([("rename", _refusing(errno.EINVAL)), *PUBLISH_STRATEGIES[1:]])
    publisher.publish("partial", "clip.mxf", folder)
    with TemporaryDirectory(dir="/dev/shm") as place:  # another device than the disk's
        Path(place, "partial").touch()
        other = os.open(place, os.O_RDONLY)
        assert _strategies_tried_by(publisher, other) == ["rename", "link"]
        os.close(other)


def test_a_strategy_that_fails_for_another_reason_is_an_error(folder: int, tmp_path: Path) -> None:
    publisher = Publisher([("rename", _refusing(errno.EIO)), *PUBLISH_STRATEGIES[1:]])
    with pytest.raises(OSError, match=r"Input/output error: 'clip\.mxf'"):
        publisher.publish("partial", "clip.mxf", folder)
    assert [entry.name for entry in tmp_path.iterdir()] == ["partial"]


def test_when_no_strategy_works_the_last_error_is_raised(folder: int) -> None:
    publisher = Publisher([("rename", _refusing(errno.EINVAL)), ("link", _refusing(errno.EPERM))])
    with pytest.raises(PermissionError):
        publisher.publish("partial", "clip.mxf", folder)


@pytest.mark.parametrize("names", [("partial", "../clip.mxf"), ("../partial", "clip.mxf")])
def test_publishing_stays_in_one_folder(names: tuple[str, str], folder: int) -> None:
    with pytest.raises(ValueError, match="one folder"):
        Publisher().publish(*names, folder)


def test_a_publisher_renames_where_the_file_system_can(folder: int, tmp_path: Path) -> None:
    assert Publisher().publish("partial", "clip.mxf", folder) == "rename"
    assert (tmp_path / "clip.mxf").read_bytes() == CONTENT


def test_publishing_by_link_can_be_repeated_after_a_kill_in_the_middle(folder: int, tmp_path: Path) -> None:
    os.link(tmp_path / "partial", tmp_path / "clip.mxf")  # killed before the unlink
    assert _only("link").publish("partial", "clip.mxf", folder) == "link"
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip.mxf"]


def test_a_placeholder_with_foreign_content_is_kept(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _after_close(monkeypatch, lambda: (tmp_path / "clip.mxf").write_text("theirs"))
    with pytest.raises(FileExistsError):
        _only("placeholder").publish("partial", "clip.mxf", folder)
    assert (tmp_path / "clip.mxf").read_text() == "theirs"
    assert (tmp_path / "partial").read_bytes() == CONTENT


def test_a_foreign_file_in_place_of_the_placeholder_is_kept(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").touch()
    _after_close(monkeypatch, lambda: (tmp_path / "theirs").rename(tmp_path / "clip.mxf"))
    with pytest.raises(FileExistsError):
        _only("placeholder").publish("partial", "clip.mxf", folder)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["clip.mxf", "partial"]


def test_a_placeholder_is_removed_when_the_rename_fails(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "rename", _refusing(errno.EACCES))
    with pytest.raises(PermissionError):
        _only("placeholder").publish("partial", "clip.mxf", folder)
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
        _only("placeholder").publish("partial", "clip.mxf", folder)
    assert (tmp_path / "clip.mxf").read_bytes() == CONTENT


def _after_close(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]) -> None:
    """Let somebody else act between the making of the placeholder and the check."""
    close = os.close

    def closing(fd: int) -> None:
        monkeypatch.undo()
        close(fd)
        then()

    monkeypatch.setattr(os, "close", closing)
