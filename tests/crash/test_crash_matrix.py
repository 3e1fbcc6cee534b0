"""Promises S1, S2, S3 and S6, by kill -9 at every journal write and every storage call of a transfer.

An undisturbed run records the steps. With `--every` there is one kill for each step, side and target. Without
it the repetitions of a step of a plain move share its kills (see `matrix.Selection`); of those of a batch
every seventh is tried, of the kills of other transfers and of recoveries every fifth.
"""

import pytest

from tests.crash.conftest import Steps
from tests.crash.kills import SIDES, Kill, KillTarget, Step
from tests.crash.matrix import KillMatrix, Selection, alone, is_journal, is_probe, kills_at
from tests.crash.variants import (
    ALREADY_PRESENT,
    ARCHIVE,
    BATCH,
    CONFLICT,
    HASH,
    KEEP,
    LINK,
    MOVE,
    NESTED,
    PLACEHOLDER,
    TWO_FILES,
    Variant,
)

BATCH_SPARSE = 7  # no divisor of the four or five kills that a step has
SHARDS = 12  # tests that share the kills of a plain move
# After which kill a recovery is killed too, and how many tests share its steps: a late one has few.
RECOVERY_SHARDS = {"journal: checkpoint": 2, "publish: renameat2 nas": 2, "remove: renameat2 source": 1}
RECOVERIES = [(first, shard) for first, shards in RECOVERY_SHARDS.items() for shard in range(shards)]

# The steps in which a variant differs from a plain move, by the start of their names.
OWN_STEPS = {
    NESTED: ("copy: mkdir", "copy: fsync folder", "copy: create", "publish:"),
    ARCHIVE: ("remove:", "journal: finish"),
    KEEP: ("journal: mark_verified", "journal: mark_published", "journal: finish"),
    CONFLICT: ("copy: create", "publish:", "journal: mark_verified", "journal: mark_published"),
    ALREADY_PRESENT: (
        "separate:",
        "copy: pread source",
        "copy: fsync",
        "journal:",
        "remove:",
    ),
    HASH: ("copy: fdatasync", "copy: report"),
    LINK: ("publish:", "journal: mark_published"),
    PLACEHOLDER: ("publish:", "journal: mark_published"),
    TWO_FILES: ("journal:", "publish: renameat2", "remove:"),
}


def test_the_steps_of_a_move_are_these(steps: Steps) -> None:
    """A call that is made in another way must not drop out of the matrix unnoticed."""
    assert {step.name for step in steps(MOVE)} == {
        "probe: create nas",
        "probe: write nas",
        "probe: fdatasync nas",
        "probe: renameat2 nas",
        "probe: unlink nas",
        "journal: routes.remember_mount",
        "journal: orphans.mark_scan_done",
        "separate: create nas",
        "separate: unlink nas",
        "separate: fsync folder nas",
        "journal: begin_or_resume",
        "copy: create nas",
        "copy: ftruncate nas",
        "copy: pread source",
        "copy: pwrite nas",
        "copy: fdatasync nas",
        "copy: posix_fadvise nas",
        "copy: pread nas",
        "copy: fsync folder nas",
        "copy: report checkpoint",
        "journal: checkpoint",
        "copy: utime nas",
        "copy: fsync nas",
        "journal: mark_verified",
        "publish: renameat2 nas",
        "publish: fsync folder nas",
        "journal: mark_published",
        "remove: renameat2 source",
        "remove: unlink source",
        "remove: fsync folder source",
        "journal: finish",
    }


def test_the_steps_of_a_batch_are_these(steps: Steps) -> None:
    of_a_batch = steps(BATCH)
    assert {step.name for step in of_a_batch if step.name.endswith(" batch")} == {
        "journal: begin_or_resume batch",
        "journal: mark_verified batch",
        "journal: mark_published batch",
        "journal: finish batch",
    }
    folders_synced = [step.name for step in of_a_batch if "fsync folder" in step.name]
    # Once for all, in each of three steps, and for the probe before them.
    assert sorted(name.partition(":")[0] for name in folders_synced) == [
        "copy",
        "publish",
        "remove",
        "separate",
    ]
    assert sum(step.name == "copy: fsync nas" for step in of_a_batch) == len(BATCH.files)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_step_of_a_move_survives_kill_9(
    matrix: KillMatrix, steps: Steps, selection: Selection, shard: int
) -> None:
    kills = selection.at(step for step in steps(MOVE) if not is_probe(step))
    matrix.kill_each(alone(kills[shard::SHARDS]), MOVE)


def test_every_step_of_the_write_probe_survives_kill_9(
    matrix: KillMatrix, steps: Steps, selection: Selection
) -> None:
    kills = selection.at(step for step in steps(MOVE) if is_probe(step))
    matrix.kill_each(alone(kills), MOVE)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("variant", OWN_STEPS, ids=lambda variant: variant.name)
def test_every_step_in_which_a_transfer_differs_survives_kill_9(
    matrix: KillMatrix, steps: Steps, selection: Selection, variant: Variant, side: str
) -> None:
    own = OWN_STEPS[variant]
    own_steps = [step for step in steps(variant) if step.name.startswith(own)]
    assert all(any(step.name.startswith(name) for step in own_steps) for name in own)
    left_out = KillTarget.AGENT, KillTarget.ALL
    kills = [kill for step in own_steps for kill in kills_at(step) if kill.side == side]
    kills = [kill for kill in kills if kill.target is not left_out[is_journal(kill.step)]]
    matrix.kill_each(alone(selection.of(kills)), variant)


def test_every_step_of_a_batch_survives_kill_9(
    matrix: KillMatrix, steps: Steps, selection: Selection
) -> None:
    kills = selection.at(step for step in steps(BATCH) if not is_probe(step))
    some = kills if selection.is_every else kills[::BATCH_SPARSE]
    matrix.kill_each(alone(some), BATCH)


@pytest.mark.parametrize(("first", "shard"), RECOVERIES)
def test_every_step_of_a_recovery_survives_a_second_kill_9(
    matrix: KillMatrix, steps: Steps, selection: Selection, first: str, shard: int
) -> None:
    first_kill = Kill(Step(first, 1), "after", KillTarget.ALL)
    recovery = [step for step in steps(MOVE, first_kill) if not is_probe(step)]
    rows = [(first_kill, Kill(step, "before", KillTarget.ALL)) for step in recovery]
    matrix.kill_each(selection.of(rows)[shard :: RECOVERY_SHARDS[first]], MOVE)
