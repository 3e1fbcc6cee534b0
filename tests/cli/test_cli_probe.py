"""`check-config --probe`: says what each place can do, and leaves nothing behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.cli_agents import configured, output_of, workers_reaped


@pytest.fixture(autouse=True)
def _no_worker_outlives_its_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with workers_reaped(monkeypatch):
        yield


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
    assert list(found) == [
        "free space",
        "write",
        "times",
        "open writers",
        "publish without replacing",
        "long names",
        "delete",
    ]
    assert (found["write"], found["delete"]) == ("yes, and it is synced", "yes")
    assert found["publish without replacing"].startswith("yes, by ")
    assert [*(tmp_path / "in").iterdir(), *(tmp_path / "out").iterdir()] == []


def test_a_place_that_is_missing_is_said_and_the_others_are_tried(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    lines = output_of("-c", configured(tmp_path), "check-config", "--probe").splitlines()
    assert f"mxf: source {tmp_path}/in: {tmp_path}/in does not exist: mount it, or make the folder" in lines
    assert f"mxf: destination {tmp_path}/out: delete: yes" in lines
