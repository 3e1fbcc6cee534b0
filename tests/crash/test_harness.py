"""The harness itself: a run of it in which too little happens fails."""

from pathlib import Path

import pytest

from tests.crash.conftest import Steps
from tests.crash.kills import Kill, Manner, Step
from tests.crash.matrix import Choice, alone, is_probe, kill_each, kills_at
from tests.crash.power import Past, PowerStation, Scenario, cut_each
from tests.crash.runner import Outcome, Trial, Victims
from tests.crash.variants import MOVE
from tests.mounts.mounts import FaultMount

EVERY = Choice(is_every=True)
FIRST_START = Scenario("harness", MOVE, Past.NONE, stride=1)


def unlisted(*_: object) -> None:
    """These victims are not in the table at the end."""


@pytest.mark.parametrize("works", [0, 1, 2])
def test_power_that_is_not_cut_after_each_operation_fails(
    station: PowerStation, monkeypatch: pytest.MonkeyPatch, works: int
) -> None:
    """The cut comes in the first few runs only, or never."""
    cut_after = FaultMount.cut_after

    def cut(mount: FaultMount, mutations: int) -> None:
        if mutations < works:
            cut_after(mount, mutations)

    monkeypatch.setattr(FaultMount, "cut_after", cut)
    with pytest.raises(AssertionError, match=rf"^{works} power cuts, where [1-9]\d* operations make it"):
        cut_each(station, FIRST_START, unlisted, EVERY)


def test_a_shard_without_operations_to_cut_after_fails(station: PowerStation) -> None:
    with pytest.raises(AssertionError, match=r"^0 power cuts, where"):
        cut_each(station, FIRST_START, unlisted, EVERY, share=1_000_000, shares=1_000_001)


def test_a_selection_without_kills_fails(victims: Victims, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"^0 kills, where 0 were due"):
        kill_each([], MOVE, victims, tmp_path, unlisted)


def test_a_kill_at_a_step_that_never_comes_fails(victims: Victims, tmp_path: Path) -> None:
    never = Kill(Step("journal: begin", 1000), "before", Manner.ALL)
    with pytest.raises(AssertionError, match="the step never came"):
        kill_each(alone([never]), MOVE, victims, tmp_path, unlisted)


def test_kills_that_do_not_happen_fail(
    victims: Victims, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Trial.run

    def spared(trial: Trial) -> Outcome:
        trial.kills = ()
        return run(trial)

    monkeypatch.setattr(Trial, "run", spared)
    with pytest.raises(AssertionError, match=r"^0 kills, where 2 were due"):
        kill_each(alone(kills_at(Step("journal: begin", 1))[:2]), MOVE, victims, tmp_path, unlisted)


@pytest.mark.parametrize("is_every", [False, True])
def test_each_step_of_a_recorded_run_has_its_kills(steps: Steps, is_every: bool) -> None:
    recorded = [step for step in steps(MOVE) if not is_probe(step)]
    kills = Choice(is_every).at(recorded)
    assert {kill.step.name for kill in kills} == {step.name for step in recorded}
    if is_every:
        assert kills == [kill for step in recorded for kill in kills_at(step)]
