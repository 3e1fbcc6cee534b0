"""Promises S1, S2, S3 and S6, by kill -9 at every journal write and every storage call of a transfer.

An undisturbed run counts the steps; then there is, with `--every`, one victim for each step, side and manner
of dying. Without it steps of a plain move that have the same name share the victims of one (how:
`matrix.Choice`), and where other transfers and the way back differ from it, every fifth victim is taken.
"""

from pathlib import Path

import pytest

from tests.crash.conftest import Steps
from tests.crash.kills import SIDES, Kill, Manner, Step
from tests.crash.matrix import Choice, Enter, alone, is_journal, is_probe, kill_each, kills_at
from tests.crash.runner import Victims
from tests.crash.variants import (
    ARCHIVE,
    CONFLICT,
    HASH,
    KEEP,
    LINK,
    LOT,
    MOVE,
    NESTED,
    PLACEHOLDER,
    SAME,
    TWO,
    Variant,
)

LOT_SPARSE = 3  # no divisor of the five kinds of victims that a step has
SHARES, WAY_BACK_SHARES = 12, 2  # tests among which the victims of a plain move are dealt out

# Steps in which a variant differs from a plain move, by how their names begin.
OWN_STEPS = {
    NESTED: ("copy: mkdir", "copy: fsync folder", "copy: create", "publish:"),
    ARCHIVE: ("settle:", "journal: finish"),
    KEEP: ("journal: mark_verified", "journal: mark_published", "journal: finish"),
    CONFLICT: ("copy: create", "publish:", "journal: mark_verified", "journal: mark_published"),
    SAME: ("copy: pread source", "copy: fsync", "copy: unlink", "journal:", "settle:"),
    HASH: ("copy: fdatasync", "copy: report"),
    LINK: ("publish:", "journal: mark_published"),
    PLACEHOLDER: ("publish:", "journal: mark_published"),
    TWO: ("journal:", "publish: renameat2", "settle:"),
}


def test_the_steps_of_a_move_are_these(steps: Steps) -> None:
    """So that a call that is made in another way does not drop out of the matrix unnoticed."""
    assert {step.name for step in steps(MOVE)} == {
        "probe: create nas",
        "probe: write nas",
        "probe: fdatasync nas",
        "probe: unlink nas",
        "journal: remember_mount",
        "journal: mark_orphan_scan_done",
        "journal: begin",
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
        "settle: unlink source",
        "settle: fsync folder source",
        "journal: finish",
    }


def test_the_steps_of_a_batch_are_these(steps: Steps) -> None:
    of_a_lot = steps(LOT)
    assert {step.name for step in of_a_lot if step.name.endswith(" lot")} == {
        "journal: begin lot",
        "journal: mark_verified lot",
        "journal: mark_published lot",
        "journal: finish lot",
    }
    folders_synced = [step for step in of_a_lot if "fsync folder" in step.name]
    assert len(folders_synced) == 3  # once for all, in each of three steps
    assert sum(step.name == "copy: fsync nas" for step in of_a_lot) == len(LOT.files)


@pytest.mark.parametrize("share", range(SHARES))
def test_every_step_of_a_move_survives_kill_9(
    victims: Victims, steps: Steps, tmp_path: Path, enter: Enter, choice: Choice, share: int
) -> None:
    kills = choice.at(step for step in steps(MOVE) if not is_probe(step))
    kill_each(alone(kills[share::SHARES]), MOVE, victims, tmp_path, enter)


def test_every_step_of_the_write_probe_survives_kill_9(
    victims: Victims, steps: Steps, tmp_path: Path, enter: Enter, choice: Choice
) -> None:
    kills = choice.at(step for step in steps(MOVE) if is_probe(step))
    kill_each(alone(kills), MOVE, victims, tmp_path, enter)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("variant", OWN_STEPS, ids=lambda variant: variant.name)
def test_every_step_in_which_a_transfer_differs_survives_kill_9(
    victims: Victims, steps: Steps, tmp_path: Path, enter: Enter, choice: Choice, variant: Variant, side: str
) -> None:
    own = OWN_STEPS[variant]
    begun = [step for step in steps(variant) if step.name.startswith(own)]
    assert all(any(step.name.startswith(name) for step in begun) for name in own)
    left_out = Manner.AGENT, Manner.ALL
    kills = [kill for step in begun for kill in kills_at(step) if kill.side == side]
    kills = [kill for kill in kills if kill.manner is not left_out[is_journal(kill.step)]]
    kill_each(alone(choice.of(kills)), variant, victims, tmp_path, enter)


def test_every_step_of_a_batch_survives_kill_9(
    victims: Victims, steps: Steps, tmp_path: Path, enter: Enter, choice: Choice
) -> None:
    kills = choice.at(step for step in steps(LOT) if not is_probe(step))
    some = kills if choice.is_every else kills[::LOT_SPARSE]
    kill_each(alone(some), LOT, victims, tmp_path, enter)


@pytest.mark.parametrize("share", range(WAY_BACK_SHARES))
@pytest.mark.parametrize("first", ["journal: checkpoint", "publish: renameat2 nas"])
def test_every_step_of_a_recovery_survives_a_second_kill_9(
    victims: Victims, steps: Steps, tmp_path: Path, enter: Enter, choice: Choice, first: str, share: int
) -> None:
    lost = Kill(Step(first, 1), "after", Manner.ALL)
    way_back = [step for step in steps(MOVE, lost) if not is_probe(step)]
    rows = [(lost, Kill(step, "before", Manner.ALL)) for step in way_back]
    kill_each(choice.of(rows)[share::WAY_BACK_SHARES], MOVE, victims, tmp_path, enter)
