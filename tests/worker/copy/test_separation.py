"""Source and destination that are one folder, seen through two mounts: no file there is a copy of another."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from attrs import define

from agent.fs import safe_open
from agent.fs.publisher import Publisher
from agent.model.errors import Fault, FaultKind
from agent.protocol.requests import CheckSeparateFiles, CheckSeparateRoots, DestinationRef
from agent.worker.copy.io_side import IoSideTracker
from agent.worker.copy.separation import check_files, check_roots
from agent.worker.destinations.folder import FolderDestination
from tests.mounts.mounts import FaultMount, bound, in_memory, overlaid
from tests.worker.copy.folders import nothing_left_over

TEMPORARY = "day/.clip.mxf.0123456789abcdef.partial"


@define
class Sides:
    """A source and a destination with a file of the same name and content."""

    folder: Path

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def nas(self) -> Path:
        return self.folder / "nas"

    @property
    def place(self) -> DestinationRef:
        return DestinationRef(str(self.nas), self.nas.stat().st_dev)

    def check_roots(self) -> FaultKind | None:
        with FolderDestination.open(self.place, Publisher()) as destination:
            request = CheckSeparateRoots(str(self.source), self.place, "probe")
            return _kind(lambda: check_roots(request, destination, IoSideTracker()))

    def check_files(self, *, at_source: bool = True) -> FaultKind | None:
        with FolderDestination.open(self.place, Publisher()) as destination:
            request = CheckSeparateFiles(
                str(self.source), "day/clip.mxf", self.place, TEMPORARY, at_source=at_source
            )
            return _kind(lambda: check_files(request, destination, IoSideTracker()))

    def names(self) -> set[str]:
        return {path.name for place in (self.source, self.nas) for path in place.rglob("*")}


def _kind(check: Callable[[], None]) -> FaultKind | None:
    try:
        check()
    except Fault as fault:
        return fault.kind
    return None


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[Sides]:
    """On a disk of their own, because not every file system can hold an overlay."""
    with nothing_left_over(), ExitStack() as stack:
        stack.enter_context(in_memory(tmp_path))
        sides = Sides(tmp_path)
        for place in (sides.source, sides.nas):
            (place / "day").mkdir(parents=True)
            (place / "day" / "clip.mxf").write_bytes(b"content")
        yield sides
        assert sides.names() <= {"day", "clip.mxf", "nas", "source", "below"}


@contextmanager
def _second_mount_of_a_share(sides: Sides) -> Iterator[None]:
    backing = sides.folder / "backing"
    with FaultMount.at(sides.source, backing), FaultMount.at(sides.nas, backing):
        (backing / "day").mkdir()
        (backing / "day" / "clip.mxf").write_bytes(b"content")
        assert sides.source.stat().st_dev != sides.nas.stat().st_dev
        yield


def _bind_mount(sides: Sides) -> AbstractContextManager[None]:
    return bound(sides.source, sides.nas)


def _overlay_on_the_source(sides: Sides) -> AbstractContextManager[None]:
    (sides.folder / "lower").mkdir()
    return overlaid(sides.folder / "lower", sides.source, sides.nas)


def _above_the_source(sides: Sides) -> AbstractContextManager[None]:
    return bound(sides.folder, sides.nas)


@pytest.mark.parametrize(
    "mounted", [_bind_mount, _second_mount_of_a_share, _overlay_on_the_source, _above_the_source]
)
def test_roots_that_are_one_folder_are_refused(
    sides: Sides, mounted: Callable[[Sides], AbstractContextManager[None]]
) -> None:
    with mounted(sides):
        assert sides.check_roots() is FaultKind.SOURCE_OUTAGE


def test_a_destination_below_the_source_is_refused(sides: Sides, tmp_path: Path) -> None:
    (sides.source / "below" / "nas").mkdir(parents=True)
    with bound(sides.source / "below", tmp_path / "nas"):
        inner = Sides(tmp_path)
        inner_place = DestinationRef(str(tmp_path / "nas" / "nas"), inner.nas.stat().st_dev)
        request = CheckSeparateRoots(str(sides.source / "below"), inner_place, "probe")
        with FolderDestination.open(inner_place, Publisher()) as destination:
            kind = _kind(lambda: check_roots(request, destination, IoSideTracker()))
    assert kind is FaultKind.SOURCE_OUTAGE


def test_two_folders_pass(sides: Sides) -> None:
    assert sides.check_roots() is None
    assert sides.check_files() is None


def test_what_is_left_of_a_check_that_was_killed_makes_way(sides: Sides) -> None:
    for place in (sides.source, sides.nas):
        (place / TEMPORARY).write_bytes(b"")
    assert sides.check_files() is None


@pytest.mark.parametrize("check", [Sides.check_roots, Sides.check_files])
def test_a_probe_that_somebody_removes_proves_nothing(
    sides: Sides, check: Callable[[Sides], FaultKind | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_temporary = safe_open.make_temporary

    def removed_at_once(root: int, path: str) -> bool:
        is_made = make_temporary(root, path)
        safe_open.unlink_at(root, path)
        return is_made

    monkeypatch.setattr(safe_open, "make_temporary", removed_at_once)
    assert check(sides) is FaultKind.BUSY


@pytest.mark.parametrize("at_source", [True, False])
def test_files_of_one_folder_that_is_mounted_below_both_roots_are_one(
    sides: Sides, *, at_source: bool
) -> None:
    with bound(sides.source / "day", sides.nas / "day"):
        assert sides.check_roots() is None
        assert sides.check_files(at_source=at_source) is FaultKind.CONFLICT


def test_a_file_that_an_overlay_shows_at_the_destination_is_the_source(sides: Sides) -> None:
    (sides.folder / "upper").mkdir()
    with overlaid(sides.source, sides.folder / "upper", sides.nas):
        assert sides.check_roots() is None  # what is written goes elsewhere
        assert sides.check_files() is FaultKind.CONFLICT


def test_a_source_that_takes_no_new_files_is_checked_from_the_destination_alone(sides: Sides) -> None:
    with bound(sides.source, sides.source, read_only=True):
        assert sides.check_files() is None
    with bound(sides.source / "day", sides.nas / "day"), bound(sides.source, sides.source, read_only=True):
        assert sides.check_files() is FaultKind.CONFLICT


def test_a_source_whose_folder_is_gone_has_nothing_to_compare(sides: Sides) -> None:
    (sides.source / "day" / "clip.mxf").unlink()
    (sides.source / "day").rmdir()
    assert sides.check_files() is None


def test_a_source_that_fails_is_no_proof(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_root: int, _path: str) -> os.stat_result:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(safe_open, "stat_at", fails)
    assert sides.check_files() is not None
