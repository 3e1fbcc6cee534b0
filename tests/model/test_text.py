"""Paths are compared and shown as text."""

import pytest

from agent.model.text import as_unicode, is_inside, on_one_line


@pytest.mark.parametrize(
    ("path", "folder"),
    [("/a", "/a"), ("/a/b", "/a"), ("/a/b", "/a/"), ("/a/", "/a"), ("/", "/"), ("/a", "/"), ("/a/b/c", "/a")],
)
def test_a_folder_and_what_lies_below_it_are_inside(path: str, folder: str) -> None:
    assert is_inside(path, folder)


@pytest.mark.parametrize(("path", "folder"), [("/ab", "/a"), ("/", "/a"), ("/b", "/a"), ("/a", "/a/b")])
def test_a_path_that_only_begins_alike_is_not_inside(path: str, folder: str) -> None:
    assert not is_inside(path, folder)


def test_terminal_codes_are_shown_as_escapes() -> None:
    assert on_one_line("a\n\x1b[2Jb\udcffc") == r"a\n\x1b[2Jb\udcffc"
    assert on_one_line("Müller - Take 1") == "Müller - Take 1"


def test_bytes_that_are_not_utf8_are_shown_as_the_replacement_character() -> None:
    assert as_unicode("a\udce2\udc82b") == "a\ufffd\ufffdb"
