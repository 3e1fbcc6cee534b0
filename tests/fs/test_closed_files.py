"""What is known of closed files, decided from the order of events and from attributes alone."""

import os

import pytest

from agent.fs import closed_files
from agent.fs.closed_files import ClosedFiles


def status(inode: int = 1, size_bytes: int = 100, mtime_ns: int = 5) -> os.stat_result:
    """A file's status; only these fields and the device are looked at."""
    numbers = (0, inode, 7, 1, 0, 0, size_bytes, 0, 0, 0)
    return os.stat_result((*numbers, *([0.0] * 3), 0, mtime_ns, 0))


@pytest.fixture
def files() -> ClosedFiles:
    """One file was closed: .a.part."""
    files = ClosedFiles()
    files.closed(".a.part", status())
    return files


def test_the_fields_are_where_the_class_looks() -> None:
    made = status(3, 200, 9)
    assert (made.st_ino, made.st_dev, made.st_size, made.st_mtime_ns) == (3, 7, 200, 9)


def test_a_file_is_closed_under_its_new_name_alone_after_a_rename(files: ClosedFiles) -> None:
    files.moved_from(".a.part", 1)
    files.moved_to("a.mxf", 1, status())
    assert files.status("a.mxf") == status()
    assert files.status(".a.part") is None


@pytest.mark.parametrize("other", [status(inode=2), status(size_bytes=101), status(mtime_ns=6)])
def test_a_file_that_is_another_after_the_rename_or_was_written_to_is_not(
    files: ClosedFiles, other: os.stat_result
) -> None:
    files.moved_from(".a.part", 1)
    files.moved_to("a.mxf", 1, other)
    assert files.status("a.mxf") is None


def test_a_file_that_comes_from_elsewhere_takes_the_place_of_a_closed_one(files: ClosedFiles) -> None:
    files.moved_to(".a.part", 7, status())
    assert files.status(".a.part") is None


def test_a_close_is_followed_through_a_rename_that_was_faster_than_the_look(files: ClosedFiles) -> None:
    files.closed(".b.part", None)
    files.attributes_set(".b.part", None)
    files.moved_from(".b.part", 1)
    files.moved_to("b.mxf", 1, status(inode=2))
    assert files.status("b.mxf") == status(inode=2)


def test_times_that_were_set_leave_the_content_alone_but_another_size_does_not(files: ClosedFiles) -> None:
    files.attributes_set(".a.part", status(mtime_ns=1))
    assert files.status(".a.part") == status(mtime_ns=1)
    files.attributes_set(".a.part", status(size_bytes=101, mtime_ns=1))
    assert files.status(".a.part") is None


def test_attributes_of_a_file_that_was_never_closed_prove_nothing(files: ClosedFiles) -> None:
    files.attributes_set("b.mxf", status())
    assert files.status("b.mxf") is None


def test_a_name_that_is_made_anew_or_removed_is_forgotten(files: ClosedFiles) -> None:
    files.forget(".a.part")
    files.forget("never there")
    assert files.status(".a.part") is None


def test_a_folder_takes_its_files_with_it_and_no_others(files: ClosedFiles) -> None:
    for path in ("day/1/a.mxf", "day2/a.mxf"):
        files.closed(path, status())
    files.folder_moved("day", "night")
    assert [files.status(path) is not None for path in ("night/1/a.mxf", "day/1/a.mxf", "day2/a.mxf")] == [
        *(True, False),
        True,
    ]


def test_after_a_loss_of_events_nothing_is_known(files: ClosedFiles) -> None:
    files.closed("b.mxf", status())
    files.moved_from("b.mxf", 1)
    files.clear()
    files.moved_to("c.mxf", 1, status())
    assert (files.status(".a.part"), files.status("c.mxf")) == (None, None)


def test_only_so_many_are_remembered_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_files, "MAX_REMEMBERED", 3)
    monkeypatch.setattr(closed_files, "MAX_MOVING", 1)
    files = ClosedFiles()
    for path in ("a", "b", "a", "c", "d"):
        files.closed(path, status())
    assert [path for path in "abcd" if files.status(path)] == ["a", "c", "d"]
    files.moved_from("a", 1)
    files.moved_from("c", 2)
    files.moved_to("e", 1, status())
    files.moved_to("f", 2, status())
    assert [path for path in "ef" if files.status(path)] == ["f"]
