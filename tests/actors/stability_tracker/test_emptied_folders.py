"""Which of the folders that we emptied are tried, and when."""

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agent.actors.stability_tracker.emptied_folders import MAX_FOLDERS, EmptiedFolders
from agent.actors.stability_tracker.tracker import StabilityTracker
from agent.messages.stability_tracker import FilesRemoved, FoldersTried, ScanChunk
from tests.samples import ROUTE, a_file, a_look, a_scan, an_entry

QUIET_S = 10.0
NAMES = st.sampled_from("ab")
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
STEPS = st.tuples(st.sampled_from(["removed", "written", "gone", "scanned"]), PATHS, st.floats(0.0, QUIET_S))


def above(path: str) -> list[str]:
    """The folders that a path is in, the source left out."""
    names = path.split("/")[:-1]
    return ["/".join(names[:depth]) for depth in range(1, len(names) + 1)]


@given(st.lists(STEPS, max_size=40))
def test_only_what_we_emptied_and_nobody_uses_is_tried_and_not_before_it_was_quiet(
    steps: list[tuple[str, str, float]],
) -> None:
    emptied, known, now_s = EmptiedFolders(QUIET_S), set[str](), 0.0
    last_s: dict[str, float] = {}  # when we last removed something in this folder
    for what, path, took_s in steps:
        now_s += took_s
        if what == "written":
            known.add(path)
        elif what == "gone":
            known.discard(path)
        elif what == "removed":
            known.discard(path)
            emptied.add(path, now_s)
            last_s.update((folder, now_s) for folder in above(path)[-1:])
        else:
            due = emptied.due(now_s, known)
            for folder in due:
                assert now_s - last_s[folder] >= QUIET_S
                assert not any(folder in above(file) for file in known)
            removed = tuple(folder for folder in due if not any(each in due for each in below(folder, due)))
            now_s += took_s
            emptied.tried(FoldersTried(due, removed, now_s - took_s, now_s))
            for folder in removed:
                last_s.update((each, now_s) for each in above(folder)[-1:])


def below(folder: str, folders: tuple[str, ...]) -> list[str]:
    return [each for each in folders if folder in above(each)]


def test_a_day_is_removed_from_its_deepest_folder_to_the_highest_and_never_the_source() -> None:
    emptied = EmptiedFolders(QUIET_S)
    emptied.add("day/card/clip.mxf", 0.0)
    tried = []
    for at_s in (9.0, 10.0, 15.0, 20.0, 40.0):
        due = emptied.due(at_s, ())
        emptied.tried(FoldersTried(due, due, at_s, at_s))
        tried.append(due)
    assert tried == [(), ("day/card",), (), ("day",), ()]
    assert len(emptied) == 0


def test_what_was_not_tried_is_due_again_and_what_was_not_empty_is_forgotten() -> None:
    emptied = EmptiedFolders(QUIET_S)
    emptied.add("day/clip.mxf", 0.0)
    assert emptied.due(10.0, ()) == emptied.due(11.0, ()) == ("day",)
    emptied.tried(FoldersTried(("day",), (), 12.0, 12.0))
    assert emptied.due(100.0, ()) == ()


def test_a_file_that_is_known_keeps_its_folders_until_our_next_removal_there() -> None:
    emptied = EmptiedFolders(QUIET_S)
    for path in ("day/card/a.mxf", "day/b.mxf", "other/c.mxf"):
        emptied.add(path, 0.0)
    assert emptied.due(10.0, ["day/card/new.mxf", "top.mxf"]) == ("other",)
    assert emptied.due(11.0, ()) == ("other",)
    emptied.add("day/card/new.mxf", 20.0)
    assert emptied.due(30.0, ()) == ("day/card", "other")


def test_a_removal_while_a_folder_is_being_tried_counts() -> None:
    emptied = EmptiedFolders(QUIET_S)
    emptied.add("day/clip.mxf", 0.0)
    assert emptied.due(10.0, ()) == ("day",)
    emptied.add("day/late.mxf", 12.0)
    emptied.tried(FoldersTried(("day",), (), 11.0, 13.0))
    assert emptied.due(22.0, ()) == ("day",)


def test_many_folders_are_tried_some_at_a_time() -> None:
    emptied = EmptiedFolders(QUIET_S)
    for number in range(MAX_FOLDERS + 1):
        emptied.add(f"{number}/clip.mxf", 0.0)
    first = emptied.due(10.0, ())
    emptied.tried(FoldersTried(first, first, 11.0, 11.0))
    assert (len(first), len(emptied.due(20.0, ()))) == (MAX_FOLDERS, 1)


REMOVED = FilesRemoved((a_file("day/a.mxf"),), removed_s=5.0)
EMPTYING = evolve(ROUTE, stable_s=QUIET_S, remove_empty_folders=True)


def test_only_a_whole_scan_that_began_after_the_quiet_time_shows_that_a_folder_is_unused() -> None:
    tracker = StabilityTracker(EMPTYING)
    tracker.remove(REMOVED)
    assert tracker.scanned(a_scan(began_s=14.0, took_s=30.0)).empty_folders == ()
    assert tracker.scanned(ScanChunk((), 50.0, 51.0, 1051.0)).empty_folders == ()
    assert tracker.scanned(a_look(began_s=60.0)).empty_folders == ()
    assert tracker.scanned(a_scan(began_s=70.0)).empty_folders == ("day",)
    tracker.tried(FoldersTried(("day",), ("day",), 71.0, 72.0))
    assert tracker.scanned(a_scan(began_s=100.0)).empty_folders == ()


def test_a_file_that_waits_or_is_held_keeps_its_folder() -> None:
    tracker = StabilityTracker(EMPTYING)
    tracker.remove(REMOVED)
    assert tracker.scanned(a_scan(an_entry("day/card/b.mxf"), began_s=20.0)).empty_folders == ()
    assert tracker.scanned(a_scan(began_s=30.0)).empty_folders == ()


def test_without_the_key_nothing_is_tried() -> None:
    tracker = StabilityTracker(evolve(ROUTE, stable_s=QUIET_S))
    tracker.remove(REMOVED)
    assert tracker.scanned(a_scan(began_s=1000.0)).empty_folders == ()
