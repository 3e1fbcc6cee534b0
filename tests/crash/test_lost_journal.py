"""Promises S1 to S3 when the journal does not survive the crash: work is repeated, footage is not lost."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.kills import Kill, Manner, Step
from tests.crash.matrix import Enter, alone, kill_each
from tests.crash.runner import Victims
from tests.crash.variants import MOVE

FILES = ("journal.db", "journal.db-wal", "journal.db-shm")
MOMENTS = (
    ("copy: pwrite nas", 5),
    ("journal: checkpoint", 1),
    ("journal: intent", 1),
    ("publish: renameat2 nas", 1),
    ("journal: published", 1),
    ("settle: unlink source", 1),
)


def parts(state: Path) -> list[Path]:
    return [state / name for name in FILES if (state / name).exists()]


def deleted(state: Path) -> None:
    for part in parts(state):
        part.unlink()


def cut_in_half(state: Path) -> None:
    for part in parts(state):
        with part.open("r+b") as file:
            file.truncate(part.stat().st_size // 2)


def overwritten(state: Path) -> None:
    for part in parts(state):
        part.write_bytes(b"garbage" * 1000)


def folder_lost(state: Path) -> None:
    shutil.rmtree(state)


@pytest.mark.parametrize("spoil", [deleted, cut_in_half, overwritten, folder_lost])
def test_a_journal_that_is_lost_in_a_crash_costs_work_alone(
    victims: Victims, tmp_path: Path, enter: Enter, spoil: Callable[[Path], None]
) -> None:
    kills = [Kill(Step(*moment), "after", Manner.ALL) for moment in MOMENTS]
    kill_each(alone(kills), MOVE, victims, tmp_path, enter, spoil)
