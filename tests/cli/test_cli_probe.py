"""`check-config --probe`: says what each place can do, and leaves nothing behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.cli_agents import ROUTE, configured, output_of, workers_reaped
from tests.mounts.mounts import bind_mount


@pytest.fixture(autouse=True)
def _no_worker_outlives_its_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with workers_reaped(monkeypatch):
        yield


WHAT_IS_TRIED = [
    "rights",
    "free space",
    "write",
    "times",
    "open writers",
    "publish without replacing",
    "long names",
    "special names",
    "upper and lower case",
    "delete",
]


def findings(config: str, place: str) -> dict[str, str]:
    """What was tried there, and what came of it."""
    lines = output_of("-c", config, "check-config", "--probe").splitlines()
    found = (line.removeprefix(f"mxf: {place}: ") for line in lines if line.startswith(f"mxf: {place}: "))
    return dict(line.split(": ", 1) for line in found)


@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_probe_says_what_a_folder_can_do_and_leaves_nothing_there(side: str, tmp_path: Path) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    folder = tmp_path / ("in" if side == "source" else "out")
    found = findings(configured(tmp_path), f"{side} {folder}")
    mounted = ["mounted"] if side == "destination" else []
    assert list(found) == [*mounted, *WHAT_IS_TRIED]
    assert (found["write"], found["delete"]) == ("yes, and it is synced", "yes")
    assert found["publish without replacing"].startswith("yes, by ")
    assert found["rights"].startswith("read, write and enter, as uid ")
    assert found["long names"] == "up to 255 bytes"
    assert found["special names"] == "all are kept"
    assert found["upper and lower case"] == "are two names"
    assert [*(tmp_path / "in").iterdir(), *(tmp_path / "out").iterdir()] == []


def archiving(home: Path, archive: str) -> str:
    for name in ("in", "out"):
        (home / name).mkdir()
    return configured(home, ROUTE | {"after": f"archive:{archive}"})


def test_an_archive_that_is_there_is_tried_with_a_move_from_the_source(tmp_path: Path) -> None:
    config = archiving(tmp_path, "done")
    (tmp_path / "done").mkdir()
    found = findings(config, f"archive {tmp_path}/done")
    assert list(found) == ["move from the source", *WHAT_IS_TRIED]
    assert found["move from the source"] == "yes, files are renamed"
    assert list((tmp_path / "done").iterdir()) == []


def test_an_archive_that_is_missing_is_tried_where_it_would_be_made_and_is_not_made(tmp_path: Path) -> None:
    found = findings(archiving(tmp_path, "done/by/month"), f"archive {tmp_path}/done/by/month")
    assert found["folder"] == f"is missing; it is made below {tmp_path} when it is needed"
    assert found["write"] == "yes, and it is synced"
    assert not (tmp_path / "done").exists()


def test_of_an_archive_on_another_file_system_it_is_said_that_files_are_copied_there(tmp_path: Path) -> None:
    config = archiving(tmp_path, "elsewhere/done")
    (tmp_path / "disk").mkdir()
    with bind_mount(tmp_path / "disk", tmp_path / "elsewhere"):
        found = findings(config, f"archive {tmp_path}/elsewhere/done")
    assert found["move from the source"] == (
        "no, another file system: files are copied, verified, and then removed from the source"
    )


def test_a_place_that_is_missing_is_said_and_the_others_are_tried(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    lines = output_of("-c", configured(tmp_path), "check-config", "--probe").splitlines()
    assert f"mxf: source {tmp_path}/in: {tmp_path}/in does not exist: mount it, or make the folder" in lines
    assert f"mxf: destination {tmp_path}/out: delete: yes" in lines
