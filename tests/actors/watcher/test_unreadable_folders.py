from agent.actors.stability_tracker.tracker import MAX_UNREADABLE, first_unreadable
from agent.actors.watcher.unreadable_folders import MAX_LOGGED, UnreadableChange, UnreadableFolders
from agent.model.source_file import UnreadableFolder

NOTHING = UnreadableChange((), 0, ())


def closed(*folders: str) -> tuple[UnreadableFolder, ...]:
    return tuple(UnreadableFolder(folder, "Permission denied") for folder in folders)


def test_each_folder_is_told_once_until_it_is_readable_again() -> None:
    folders = UnreadableFolders()
    assert folders.scanned(()) == NOTHING
    assert folders.scanned(closed("b", "a")) == UnreadableChange(closed("a", "b"), 0, ())
    assert folders.scanned(closed("a", "b")) == NOTHING
    assert folders.scanned(closed("b", "c")) == UnreadableChange(closed("c"), 0, ("a",))
    assert folders.scanned(()) == UnreadableChange((), 0, ("b", "c"))
    assert folders.scanned(closed("a")) == UnreadableChange(closed("a"), 0, ())


def test_another_reason_is_no_news() -> None:
    folders = UnreadableFolders()
    folders.scanned(closed("a"))
    assert folders.scanned((UnreadableFolder("a", "Input/output error"),)) == NOTHING


def test_nothing_is_claimed_of_what_lies_below_a_closed_folder() -> None:
    folders = UnreadableFolders()
    folders.scanned(closed("day/1", "day1"))
    assert folders.scanned(closed("day")) == UnreadableChange(closed("day"), 0, ("day1",))
    assert folders.scanned(closed("day/1")) == UnreadableChange((), 0, ("day",))
    assert folders.scanned(()) == UnreadableChange((), 0, ("day/1",))


def test_a_closed_tree_does_not_flood_the_log_or_the_page() -> None:
    many = closed(*(f"{number:03}" for number in range(MAX_LOGGED + 5)))
    folders = UnreadableFolders()
    change = folders.scanned(many)
    assert (change.begun, change.more) == (many[:MAX_LOGGED], 5)
    assert len(folders.scanned(()).over) == MAX_LOGGED
    assert first_unreadable(tuple(reversed(many))) == many[:MAX_UNREADABLE]
