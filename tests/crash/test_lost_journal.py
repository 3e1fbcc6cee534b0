"""Promises S1 to S3 when the journal is lost in the crash: work is repeated, content is not lost.

Of the kills during the clean-up every fifth is tried, with `--every` all of them.
"""

import shutil
from pathlib import Path

import pytest

from tests.crash.conftest import Steps
from tests.crash.kills import SIDES, Kill, KillTarget, Step
from tests.crash.matrix import KillMatrix, Selection, alone
from tests.crash.runner import JournalDamage
from tests.crash.variants import MOVE

FILES = ("journal.db", "journal.db-wal", "journal.db-shm")
KILL_POINTS = (
    ("copy: pwrite nas", 5),
    ("journal: checkpoint", 1),
    ("journal: mark_verified", 1),
    ("publish: renameat2 nas", 1),
    ("journal: mark_published", 1),
    ("remove: unlink source", 1),
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
    "deleted": JournalDamage(deleted),
    "cut in half": JournalDamage(cut_in_half),
    "overwritten": JournalDamage(overwritten),
    "folder lost": JournalDamage(folder_lost, keeps_identity=False),
}
CLEAN_UP = ("discard:", "journal: orphans.add", "journal: orphans.forget", "journal: orphans.mark_scan_done")


@pytest.mark.parametrize("what", DAMAGES)
def test_a_journal_that_is_lost_in_a_crash_costs_only_work(matrix: KillMatrix, what: str) -> None:
    kills = [Kill(Step(*point), "after", KillTarget.ALL) for point in KILL_POINTS]
    matrix.kill_each(alone(kills), MOVE, DAMAGES[what])


def test_every_step_of_the_clean_up_after_a_lost_journal_survives_kill_9(
    matrix: KillMatrix, steps: Steps, selection: Selection
) -> None:
    lost, damage = Kill(Step("journal: checkpoint", 1), "after", KillTarget.ALL), DAMAGES["deleted"]
    own_steps = [step for step in steps(MOVE, lost, damage=damage) if step.name.startswith(CLEAN_UP)]
    assert all(any(step.name.startswith(name) for step in own_steps) for name in CLEAN_UP)
    rows = [(lost, Kill(step, side, KillTarget.ALL)) for step in own_steps for side in SIDES]
    matrix.kill_each(selection.of(rows), MOVE, damage)
