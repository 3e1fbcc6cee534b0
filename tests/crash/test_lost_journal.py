"""Promises S1 to S3 when the journal does not survive the crash: work is repeated, footage is not lost.

Of the kills while what is left is tidied up, every fifth is tried, with `--every` all of them.
"""

import shutil
from pathlib import Path

import pytest

from tests.crash.conftest import Steps
from tests.crash.kills import SIDES, Kill, Manner, Step
from tests.crash.matrix import Choice, Enter, alone, kill_each
from tests.crash.runner import Damage, Victims
from tests.crash.variants import MOVE

FILES = ("journal.db", "journal.db-wal", "journal.db-shm")
MOMENTS = (
    ("copy: pwrite nas", 5),
    ("journal: checkpoint", 1),
    ("journal: mark_verified", 1),
    ("publish: renameat2 nas", 1),
    ("journal: mark_published", 1),
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


DAMAGES = {
    "deleted": Damage(deleted),
    "cut in half": Damage(cut_in_half),
    "overwritten": Damage(overwritten),
    "folder lost": Damage(folder_lost, keeps_identity=False),
}
TIDYING = ("discard:", "journal: add_orphans", "journal: forget_orphan", "journal: mark_orphan_scan_done")


@pytest.mark.parametrize("what", DAMAGES)
def test_a_journal_that_is_lost_in_a_crash_costs_only_work(
    victims: Victims, tmp_path: Path, enter: Enter, what: str
) -> None:
    kills = [Kill(Step(*moment), "after", Manner.ALL) for moment in MOMENTS]
    kill_each(alone(kills), MOVE, victims, tmp_path, enter, DAMAGES[what])


def test_every_step_of_the_clean_up_after_a_lost_journal_survives_kill_9(
    victims: Victims, steps: Steps, tmp_path: Path, enter: Enter, choice: Choice
) -> None:
    lost, damage = Kill(Step("journal: checkpoint", 1), "after", Manner.ALL), DAMAGES["deleted"]
    begun = [step for step in steps(MOVE, lost, damage=damage) if step.name.startswith(TIDYING)]
    assert all(any(step.name.startswith(name) for step in begun) for name in TIDYING)
    rows = [(lost, Kill(step, side, Manner.ALL)) for step in begun for side in SIDES]
    kill_each(choice.of(rows), MOVE, victims, tmp_path, enter, damage)
