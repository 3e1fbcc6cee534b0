import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.fs import inotify
from agent.fs.inotify import InotifyEvents

SOON_S = 0.01
ENOUGH_S = 10.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "source" / "day").mkdir(parents=True)
    (tmp_path / "source" / "old.mxf").touch()
    return tmp_path / "source"


@pytest.fixture
def events(root: Path) -> Iterator[InotifyEvents]:
    with InotifyEvents(str(root)) as opened:
        assert opened.active
        yield opened


def _failing(number: int) -> Callable[..., int]:
    def call(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return call


def _reported(events: InotifyEvents, wanted: set[str]) -> set[str]:
    """Wait until all wanted paths were reported, and return every path reported until then."""
    reported: set[str] = set()
    while not wanted <= reported:
        paths = events.wait(ENOUGH_S)
        assert paths, f"of {wanted} only {reported} were reported"
        reported |= set(paths)
    return reported


def test_nothing_is_reported_while_nothing_happens(events: InotifyEvents) -> None:
    assert events.wait(SOON_S) is None
    assert events.wait(0) is None


def test_a_file_is_reported_when_it_begins_and_again_when_its_writer_closes_it(
    events: InotifyEvents, root: Path
) -> None:
    with (root / "day" / "clip.mxf").open("w") as clip:
        assert events.wait(ENOUGH_S) == ("day/clip.mxf",)
        clip.write("still recording")
        clip.flush()
        assert events.wait(SOON_S) is None
    assert events.wait(ENOUGH_S) == ("day/clip.mxf",)


def test_a_burst_is_reported_once_in_the_order_it_came(events: InotifyEvents, root: Path) -> None:
    for name in ("b.mxf", "a.mxf", "b.mxf"):
        (root / name).write_text(name)
    assert events.wait(ENOUGH_S) == ("b.mxf", "a.mxf")
    assert events.wait(0) is None


def test_moves_and_deletions_are_reported_by_both_names(
    events: InotifyEvents, root: Path, tmp_path: Path
) -> None:
    (root / "old.mxf").rename(root / "day" / "new.mxf")
    assert _reported(events, {"old.mxf", "day/new.mxf"}) == {"old.mxf", "day/new.mxf"}
    (root / "day" / "new.mxf").unlink()
    assert events.wait(ENOUGH_S) == ("day/new.mxf",)
    (tmp_path / "outside.mxf").touch()
    (tmp_path / "outside.mxf").rename(root / "in.mxf")
    assert events.wait(ENOUGH_S) == ("in.mxf",)


def test_files_in_folders_made_meanwhile_are_reported(events: InotifyEvents, root: Path) -> None:
    deep = root / "day" / "one" / "two" / "three"
    deep.mkdir(parents=True)
    (deep / "clip.mxf").touch()
    _reported(events, {"day/one/two/three/clip.mxf"})
    assert events.wait(SOON_S) is None
    (deep / "later.mxf").touch()
    _reported(events, {"day/one/two/three/later.mxf"})


def test_the_content_of_a_tree_moved_in_is_reported(
    events: InotifyEvents, root: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "card"
    (tree / "CLIPS001" / "A").mkdir(parents=True)
    (tree / "index.xml").touch()
    (tree / "CLIPS001" / "A" / "clip.mxf").touch()
    (tree / "link.mxf").symlink_to("index.xml")
    os.mkfifo(tree / "pipe.mxf")
    tree.rename(root / "card")
    assert _reported(events, {"card/index.xml"}) == {"card/index.xml", "card/CLIPS001/A/clip.mxf"}


def test_after_a_folder_is_renamed_a_scan_is_asked_for_and_paths_are_right(
    events: InotifyEvents, root: Path
) -> None:
    (root / "day" / "sub").mkdir()
    assert events.wait(SOON_S) is None
    (root / "day").rename(root / "night")
    assert events.wait(ENOUGH_S) == ()
    (root / "night" / "sub" / "clip.mxf").touch()
    assert events.wait(ENOUGH_S) == ("night/sub/clip.mxf",)
    (root / "day").mkdir()
    (root / "day" / "other.mxf").touch()
    assert _reported(events, {"day/other.mxf"}) == {"day/other.mxf"}


def test_a_folder_moved_out_is_no_longer_watched(events: InotifyEvents, root: Path, tmp_path: Path) -> None:
    (root / "day").rename(tmp_path / "away")
    assert events.wait(ENOUGH_S) == ()
    (tmp_path / "away" / "clip.mxf").touch()
    assert events.wait(SOON_S) is None


def test_a_removed_folder_may_come_back(events: InotifyEvents, root: Path) -> None:
    (root / "day").rmdir()
    assert events.wait(SOON_S) is None
    (root / "day").mkdir()
    (root / "day" / "clip.mxf").touch()
    assert _reported(events, {"day/clip.mxf"}) == {"day/clip.mxf"}


def test_what_no_route_moves_is_neither_watched_nor_reported(root: Path) -> None:
    (root / ".snapshot" / "hourly").mkdir(parents=True)
    (root / "day" / "@eaDir").mkdir()
    with InotifyEvents(str(root)) as events:
        (root / ".Trashes" / "501").mkdir(parents=True)
        (root / "day" / ".fuse_hidden0000000200000001").touch()
        (root / ".snapshot" / "hourly" / "clip.mxf").touch()
        (root / "day" / "clip.mxf").touch()
        assert _reported(events, {"day/clip.mxf"}) == {"day/clip.mxf"}
        assert sorted(events._folders.values()) == ["", "day"]


def test_linked_folders_are_not_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "there.mxf").touch()
    (root / "before").symlink_to(tmp_path / "outside")
    with InotifyEvents(str(root)) as events:
        (root / "link").symlink_to(tmp_path / "outside")
        assert _reported(events, {"link"}) == {"link"}
        (tmp_path / "outside" / "secret.mxf").touch()
        assert events.wait(SOON_S) is None


@pytest.mark.parametrize("name", [b"\xff\xfe", b"two\nlines", b"-rf", b"n" * 255, "e\u0301".encode(), b" "])
def test_any_legal_name_is_reported_unchanged(events: InotifyEvents, root: Path, name: bytes) -> None:
    folder = os.fsencode(root) + b"/" + name
    os.mkdir(folder)
    assert events.wait(SOON_S) is None
    with open(folder + b"/" + name, "wb"):
        pass
    assert events.wait(ENOUGH_S) == (os.fsdecode(name + b"/" + name),)


def test_lost_events_ask_for_a_scan_and_watching_goes_on(events: InotifyEvents, root: Path) -> None:
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    here, there = str(root / "old.mxf"), str(root / "day" / "new.mxf")
    for _ in range(queue // 4 + 1):  # each round is four events
        os.rename(here, there)
        os.rename(there, here)
    (root / "unseen").mkdir()  # its event is lost
    while (paths := events.wait(ENOUGH_S)) != ():
        assert paths, "the loss was not reported"
    assert events.overflowed == 1
    (root / "unseen" / "clip.mxf").touch()
    assert events.wait(ENOUGH_S) == ("unseen/clip.mxf",)


def test_a_root_that_is_gone_ends_the_watching(events: InotifyEvents, root: Path) -> None:
    (root / "old.mxf").unlink()
    (root / "day").rmdir()
    assert _reported(events, {"old.mxf"}) == {"old.mxf"}
    root.rmdir()
    assert events.wait(ENOUGH_S) == ()
    assert not events.active
    root.mkdir()
    assert events.wait(SOON_S) is None


def test_a_root_that_was_moved_away_ends_the_watching(events: InotifyEvents, root: Path) -> None:
    root.rename(root.with_name("away"))
    assert events.wait(ENOUGH_S) == ()
    assert not events.active


def test_another_folder_in_the_place_of_a_linked_root_is_watched_instead(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inotify, "_ROOT_CHECK_S", SOON_S)
    (tmp_path / "mount").symlink_to(root)
    (tmp_path / "other").mkdir()
    with InotifyEvents(str(tmp_path / "mount")) as events:
        assert events.wait(3 * SOON_S) is None
        (tmp_path / "mount").unlink()
        (tmp_path / "mount").symlink_to(tmp_path / "other")
        assert events.wait(None) == ()
        (root / "clip.mxf").touch()
        (tmp_path / "other" / "clip2.mxf").touch()
        assert events.wait(ENOUGH_S) == ("clip2.mxf",)


def test_a_folder_that_cannot_be_watched_asks_for_a_scan(
    events: InotifyEvents, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inotify, "_inotify_add_watch", _failing(errno.ENOSPC))
    (root / "one too many").mkdir()
    assert events.wait(ENOUGH_S) == ()
    assert events.active
    (root / "day" / "clip.mxf").touch()
    assert events.wait(ENOUGH_S) == ("day/clip.mxf",)


def _only_so_many(watches: int, number: int) -> Callable[..., int]:
    """Watching goes well so often, then fails."""
    add, left = inotify._inotify_add_watch, iter(range(watches))

    def call(*values: object) -> int:
        if next(left, None) is None:
            raise OSError(number, os.strerror(number))
        return int(add(*values))

    return call


def test_no_watch_left_for_a_folder_at_the_start_is_reported_and_that_events_will_be_missing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inotify, "_inotify_add_watch", _only_so_many(1, errno.ENOSPC))
    with InotifyEvents(str(root)) as events:
        assert events.active
        assert events.wait(SOON_S) == ()
        assert not events.complete
        (root / "clip.mxf").touch()
        assert events.wait(ENOUGH_S) == ("clip.mxf",)


def test_no_watch_left_for_a_new_folder_means_that_events_will_be_missing_until_there_are_enough_again(
    events: InotifyEvents, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    completeness = [events.complete]
    with monkeypatch.context() as patch:
        patch.setattr(inotify, "_inotify_add_watch", _failing(errno.ENOSPC))
        (root / "one too many").mkdir()
        assert events.wait(ENOUGH_S) == ()
    completeness.append(events.complete)
    (root / "day").rename(root / "night")  # all are set anew
    assert events.wait(ENOUGH_S) == ()
    assert [*completeness, events.complete] == [True, False, True]


def test_a_folder_that_may_not_be_read_is_reported_but_no_event_of_it_is_missed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inotify, "_inotify_add_watch", _only_so_many(1, errno.EACCES))
    with InotifyEvents(str(root)) as events:
        assert events.wait(SOON_S) == ()
        assert events.complete


def test_a_folder_gone_before_it_could_be_watched_is_not_reported(events: InotifyEvents, root: Path) -> None:
    for name in ("brief", "brief2"):
        (root / name).mkdir()
        (root / name).rmdir()
    assert events.wait(SOON_S) is None


def test_a_root_that_vanishes_under_a_new_folder_ends_the_watching(
    events: InotifyEvents, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "new").mkdir()
    monkeypatch.setattr("agent.fs.safe_open.open_root", _failing(errno.ENOENT))
    assert events.wait(ENOUGH_S) == ()
    assert not events.active


@pytest.mark.parametrize(
    ("name", "replacement"),
    [
        ("is_network", lambda _root: True),
        ("_inotify_init1", _failing(errno.EMFILE)),
        ("_inotify_add_watch", _failing(errno.ENOSPC)),
    ],
)
def test_where_no_events_can_come_waiting_just_waits(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, replacement: Callable[..., object]
) -> None:
    monkeypatch.setattr(inotify, name, replacement)
    with InotifyEvents(str(root)) as events:
        assert not events.active
        (root / "clip.mxf").touch()
        began_s = time.monotonic()
        assert events.wait(SOON_S) is None
        assert time.monotonic() - began_s >= SOON_S


def test_a_missing_root_is_no_error(tmp_path: Path) -> None:
    with InotifyEvents(str(tmp_path / "missing")) as events:
        assert not events.active


def test_an_unmounted_root_ends_as_a_lost_one(events: InotifyEvents) -> None:
    watch = next(iter(events._folders))
    burst = inotify._Burst()
    events._add(inotify._InotifyEvent(watch, inotify._UNMOUNT, ""), burst)
    assert burst.must_rearm


def test_leaving_closes_every_descriptor(root: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with InotifyEvents(str(root)) as events:
        (root / "more").mkdir()
        events.wait(SOON_S)
    assert os.listdir("/proc/self/fd") == before


# Who has closed a file


def _closed(events: InotifyEvents, path: str) -> dict[str, os.stat_result]:
    """All that was closed until an event of this path had come."""
    closed: dict[str, os.stat_result] = {}
    reported: set[str] = set()
    while path not in reported:
        paths = events.wait(ENOUGH_S)
        assert paths is not None, f"no event of {path}"
        reported |= set(paths)
        closed |= events.take_closed()
    return closed


def test_a_close_is_told_once_with_the_status_that_the_file_had_then(
    events: InotifyEvents, root: Path
) -> None:
    with (root / "day" / "clip.mxf").open("w") as clip:
        clip.write("recorded")
        clip.flush()
        assert _closed(events, "day/clip.mxf") == {}
    assert _closed(events, "day/clip.mxf") == {"day/clip.mxf": (root / "day" / "clip.mxf").stat()}
    assert events.take_closed() == {}


def test_reading_a_file_is_no_close(events: InotifyEvents, root: Path) -> None:
    (root / "old.mxf").read_bytes()
    (root / "mark").touch()
    assert set(_closed(events, "mark")) == {"mark"}


def test_a_rename_after_the_close_and_new_times_before_it_do_not_hide_the_close(
    events: InotifyEvents, root: Path
) -> None:
    (root / ".clip.part").write_text("arrived")
    os.utime(root / ".clip.part", (1, 1))
    (root / ".clip.part").rename(root / "clip.mxf")
    assert _closed(events, "clip.mxf").keys() == {"clip.mxf"}


def test_a_rename_of_a_file_that_is_still_open_is_no_close(events: InotifyEvents, root: Path) -> None:
    with (root / "clip.part").open("w") as clip:
        clip.write("not yet all")
        clip.flush()
        os.utime(clip.fileno(), (1, 1))
        (root / "clip.part").rename(root / "clip.mxf")
        assert _closed(events, "clip.mxf") == {}
    assert _closed(events, "clip.mxf").keys() == {"clip.mxf"}


def test_a_file_made_anew_under_the_name_of_a_closed_one_is_not_closed(
    events: InotifyEvents, root: Path
) -> None:
    (root / "clip.mxf").write_text("first take")
    (root / "clip.mxf").unlink()
    with (root / "clip.mxf").open("w"):
        assert _closed(events, "clip.mxf") == {}


def test_a_file_that_was_closed_and_removed_is_not_told_of(events: InotifyEvents, root: Path) -> None:
    (root / "clip.mxf").write_text("gone")
    (root / "clip.mxf").unlink()
    assert _closed(events, "clip.mxf") == {}


def test_a_folder_that_is_renamed_takes_its_closed_files_with_it(events: InotifyEvents, root: Path) -> None:
    (root / "day" / "clip.mxf").write_text("recorded")
    _closed(events, "day/clip.mxf")
    with (root / "day" / "open.mxf").open("w"):
        (root / "day").rename(root / "night")
        assert events.wait(ENOUGH_S) == ()
        assert events.take_closed().keys() == {"night/clip.mxf"}


def test_lost_events_lose_closes_and_invent_none(events: InotifyEvents, root: Path) -> None:
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    here, there = str(root / "old.mxf"), str(root / "day" / "new.mxf")
    for _ in range(queue // 4 + 1):
        os.rename(here, there)
        os.rename(there, here)
    (root / "lost.mxf").write_text("closed unseen")
    with (root / "open.mxf").open("w"):
        while events.wait(ENOUGH_S) != ():
            pass
        assert events.take_closed() == {}
