from agent.rules.unreadable import SHOWN, TOLD_AT_ONCE, Change, UnreadableFolders, shown
from agent.terms import Unreadable

NOTHING = Change((), 0, ())


def closed(*folders: str) -> tuple[Unreadable, ...]:
    return tuple(Unreadable(folder, "Permission denied") for folder in folders)


def test_each_folder_is_told_once_until_it_is_readable_again() -> None:
    folders = UnreadableFolders()
    assert folders.scanned(()) == NOTHING
    assert folders.scanned(closed("b", "a")) == Change(closed("a", "b"), 0, ())
    assert folders.scanned(closed("a", "b")) == NOTHING
    assert folders.scanned(closed("b", "c")) == Change(closed("c"), 0, ("a",))
    assert folders.scanned(()) == Change((), 0, ("b", "c"))
    assert folders.scanned(closed("a")) == Change(closed("a"), 0, ())


def test_another_reason_is_no_news() -> None:
    folders = UnreadableFolders()
    folders.scanned(closed("a"))
    assert folders.scanned((Unreadable("a", "Input/output error"),)) == NOTHING


def test_nothing_is_claimed_of_what_lies_below_a_closed_folder() -> None:
    folders = UnreadableFolders()
    folders.scanned(closed("day/1", "day1"))
    assert folders.scanned(closed("day")) == Change(closed("day"), 0, ("day1",))
    assert folders.scanned(closed("day/1")) == Change((), 0, ("day",))
    assert folders.scanned(()) == Change((), 0, ("day/1",))


def test_a_closed_tree_does_not_flood_the_log_or_the_page() -> None:
    many = closed(*(f"{number:03}" for number in range(TOLD_AT_ONCE + 5)))
    folders = UnreadableFolders()
    change = folders.scanned(many)
    assert (change.begun, change.more) == (many[:TOLD_AT_ONCE], 5)
    assert len(folders.scanned(()).over) == TOLD_AT_ONCE
    assert shown(tuple(reversed(many))) == many[:SHOWN]
