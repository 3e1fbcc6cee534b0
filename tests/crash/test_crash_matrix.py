"""Promises S1, S2, S3 and S6, by kill -9 at every journal write and every storage call of a transfer.

An undisturbed run counts the steps; then there is one victim for each step, side and manner of dying.
"""

import shutil
from pathlib import Path

import pytest

from tests.crash.conftest import Steps, Tally
from tests.crash.kills import SIDES, Kill, Manner, Step
from tests.crash.runner import Trial, Variant, Victims, footage

SHARES = 24  # tests among which the victims of the main variant are dealt out

MAIN = Variant("delete", {"clip.mxf": footage("clip")}, {"clip.mxf": "clip.mxf"})


def kills_at(step: Step) -> list[Kill]:
    """All that can be done to one step."""
    if step.name.startswith("journal:"):
        return [Kill(step, side, manner) for side in SIDES for manner in (Manner.AGENT, Manner.ALL)]
    both = [Kill(step, side, manner) for side in SIDES for manner in (Manner.WORKER, Manner.ALL)]
    return [*both, Kill(step, "before", Manner.AGENT)]


def is_probe(step: Step) -> bool:
    return step.name.startswith("probe:")


def kill_each(kills: list[Kill], variant: Variant, victims: Victims, folder: Path, tally: Tally) -> list[str]:
    """The complaints of all victims."""
    complaints: list[str] = []
    for number, kill in enumerate(kills):
        place = folder / str(number)
        outcome = Trial(victims, variant, place, kill).run()
        tally(variant.name, kill, outcome)
        complaints += [f"{kill}: {complaint}" for complaint in outcome.complaints]
        if not outcome.complaints:
            shutil.rmtree(place)
    return complaints


@pytest.mark.parametrize("share", range(SHARES))
def test_every_step_of_a_move_survives_kill_9(
    victims: Victims, steps: Steps, tmp_path: Path, tally: Tally, share: int
) -> None:
    kills = [kill for step in steps(MAIN) if not is_probe(step) for kill in kills_at(step)]
    complaints = kill_each(kills[share::SHARES], MAIN, victims, tmp_path, tally)
    assert not complaints, "\n".join(complaints)


def test_every_step_of_the_write_probe_survives_kill_9(
    victims: Victims, steps: Steps, tmp_path: Path, tally: Tally
) -> None:
    kills = [kill for step in steps(MAIN) if is_probe(step) for kill in kills_at(step)]
    complaints = kill_each(kills, MAIN, victims, tmp_path, tally)
    assert not complaints, "\n".join(complaints)
