import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.fs import safe_open
from tests.worker.copy.faulty import failing

READ = os.O_RDONLY
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """A root with a/b/clip.mxf in it, a secret beside it, and links that lead to the secret."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    inside = tmp_path / "root"
    (inside / "a" / "b").mkdir(parents=True)
    (inside / "a" / "b" / "clip.mxf").write_text("clip")
    (inside / "link").symlink_to("../outside/secret")
    (inside / "linked").symlink_to("../outside")
    (inside / "home").symlink_to("a")
    fd = safe_open.open_root(str(inside))
    before = _open_descriptors()
    yield fd
    assert _open_descriptors() == before, "a descriptor was left open"
    os.close(fd)


def _open_descriptors() -> set[str]:
    return {str(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()}


def _content(fd: int) -> bytes:
    with open(fd, "rb") as file:
        return file.read()


def test_a_file_below_the_root_is_opened(root: int) -> None:
    assert _content(safe_open.open_at(root, "a/b/clip.mxf", READ)) == b"clip"


def test_descriptors_are_not_inherited_by_other_programs(root: int) -> None:
    fd = safe_open.open_at(root, "a/b/clip.mxf", READ)
    assert not os.get_inheritable(fd)
    os.close(fd)


@pytest.mark.parametrize("path", ["link", "linked/secret", "home/b/clip.mxf"])
def test_no_link_is_followed_to_a_file_wherever_it_leads(root: int, path: str) -> None:
    with pytest.raises(OSError, match=r"symbolic links|Not a directory") as refused:
        safe_open.open_at(root, path, READ)
    assert refused.value.filename == path


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("folder", ["linked", "linked/new", "home/b"])
def test_no_link_is_followed_to_a_folder_wherever_it_leads(root: int, folder: str, create: bool) -> None:
    with pytest.raises(NotADirectoryError) as refused:
        safe_open.open_folder(root, folder, create=create)
    assert refused.value.filename == folder


def test_nothing_is_written_through_a_link(root: int, tmp_path: Path) -> None:
    for path in ("link", "linked/new"):
        with pytest.raises(OSError, match=path):
            safe_open.open_at(root, path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with pytest.raises(NotADirectoryError):
        safe_open.unlink_at(root, "linked/secret")
    assert [entry.name for entry in (tmp_path / "outside").iterdir()] == ["secret"]
    assert (tmp_path / "outside" / "secret").read_text() == "secret"


ESCAPES = [
    "..",
    "../outside/secret",
    "a/../../outside/secret",
    "/etc/passwd",
    "a//b",
    "a/",
    ".",
    "a/./b",
    "a\0b",
]


@pytest.mark.parametrize("path", [*ESCAPES, ""])
@pytest.mark.parametrize(
    "call",
    [
        lambda root, path: safe_open.open_at(root, path, READ),
        safe_open.stat_at,
        safe_open.unlink_at,
    ],
)
def test_a_path_that_could_lead_out_is_refused(
    root: int, path: str, call: Callable[[int, str], object]
) -> None:
    with pytest.raises(ValueError, match="plain relative path"):
        call(root, path)


@pytest.mark.parametrize("folder", ESCAPES)
def test_a_folder_that_could_lie_outside_is_refused(root: int, folder: str) -> None:
    with pytest.raises(ValueError, match="plain relative path"):
        safe_open.open_folder(root, folder, create=True)


def test_missing_folders_are_created_and_each_is_durable_in_its_parent(
    root: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(
        safe_open, "sync_folder", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}"))
    )
    os.close(safe_open.open_folder(root, "a/c/d", create=True))
    assert (tmp_path / "root" / "a" / "c" / "d").is_dir()
    assert synced == [str(tmp_path / "root" / "a"), str(tmp_path / "root" / "a" / "c")]


def test_a_root_is_durable_in_its_parent_created_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        safe_open, "sync_folder", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}"))
    )
    safe_open.make_root(str(tmp_path / "var" / "state"))
    assert (tmp_path / "var" / "state").is_dir()
    assert synced == [str(tmp_path), str(tmp_path / "var")]
    safe_open.make_root(str(tmp_path / "var" / "state"))
    assert synced[2:] == [str(tmp_path / "var")]


def test_a_root_below_an_unreadable_folder_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe_open, "open_root", failing(errno.EACCES))
    safe_open.make_root(str(tmp_path / "state"))
    assert (tmp_path / "state").is_dir()


def test_a_folder_created_by_another_process_meanwhile_is_used(
    root: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = os.mkdir

    def beaten(name: str, *, dir_fd: int) -> None:
        make(name, dir_fd=dir_fd)
        make(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", beaten)
    os.close(safe_open.open_folder(root, "new", create=True))
    assert (tmp_path / "root" / "new").is_dir()


def test_a_missing_folder_is_not_created_without_create(root: int) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        safe_open.open_folder(root, "a/c/d", create=False)
    assert missing.value.filename == "a/c/d"


def test_the_empty_path_is_the_root_itself(root: int) -> None:
    fd = safe_open.open_folder(root, "", create=False)
    assert os.path.sameopenfile(fd, root)
    os.close(fd)


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        safe_open.open_root(str(tmp_path / "file"))


def test_stat_and_unlink_of_a_link_concern_the_link_itself(root: int, tmp_path: Path) -> None:
    assert safe_open.stat_at(root, "link").st_size == len("../outside/secret")
    safe_open.unlink_at(root, "link")
    assert not (tmp_path / "root" / "link").is_symlink()
    assert (tmp_path / "outside" / "secret").exists()


@pytest.mark.parametrize("call", [safe_open.stat_at, safe_open.unlink_at])
def test_an_error_carries_its_path(root: int, call: Callable[[int, str], object]) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        call(root, "a/b/missing.mxf")
    assert missing.value.filename == "a/b/missing.mxf"


@pytest.mark.parametrize(
    "name",
    [
        b"\xff\xfe not utf-8",
        b"two\nlines",
        b"-rf",
        b"n" * 255,
        "e\u0301".encode(),
        "é".encode(),
        b" ",
        b"\\",
        b"...",
    ],
)
def test_any_legal_name_arrives_unchanged(root: int, tmp_path: Path, name: bytes) -> None:
    path = os.fsdecode(name + b"/" + name)
    os.close(safe_open.open_folder(root, os.fsdecode(name), create=True))
    os.close(safe_open.open_at(root, path, NEW))
    assert safe_open.stat_at(root, path).st_size == 0
    assert os.listdir(os.fsencode(tmp_path / "root") + b"/" + name) == [name]
    safe_open.unlink_at(root, path)
    assert os.listdir(os.fsencode(tmp_path / "root") + b"/" + name) == []
