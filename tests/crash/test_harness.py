"""The harness itself: it fails when a kill or a power cut does not happen."""

from pathlib import Path

import pytest

from tests.crash.conftest import Steps
from tests.crash.kills import Kill, KillTarget, Step
from tests.crash.matrix import KillMatrix, Selection, alone, is_probe, kills_at
from tests.crash.power import PowerCutRig, PriorRun, Scenario, cut_each
from tests.crash.runner import ForkServerClient, Outcome, Trial
from tests.crash.variants import MOVE
from tests.mounts.mounts import FaultMount

EVERY = Selection(is_every=True)
FIRST_START = Scenario("harness", MOVE, PriorRun.NONE, stride=1)


def unlisted(*_: object) -> None:
    """Keep these kills out of the table."""


@pytest.mark.parametrize("effective", [0, 1, 2])
def test_power_that_is_not_cut_after_each_operation_fails(
    rig: PowerCutRig, monkeypatch: pytest.MonkeyPatch, effective: int
) -> None:
    """Only the first runs are cut, or none."""
    cut_after = FaultMount.cut_after

    def cut(mount: FaultMount, mutations: int) -> None:
        if mutations < effective:
            cut_after(mount, mutations)

    monkeypatch.setattr(FaultMount, "cut_after", cut)
    with pytest.raises(AssertionError, match=rf"^{effective} power cuts, where [1-9]\d* operations make it"):
        cut_each(rig, FIRST_START, unlisted, EVERY)


def test_a_shard_without_operations_to_cut_after_fails(rig: PowerCutRig) -> None:
    with pytest.raises(AssertionError, match=r"^0 power cuts, where"):
        cut_each(rig, FIRST_START, unlisted, EVERY, shard=1_000_000, shards=1_000_001)


def test_a_selection_without_kills_fails(fork_server: ForkServerClient, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"^0 kills, where 0 were due"):
        KillMatrix(fork_server, tmp_path, unlisted).kill_each([], MOVE)


def test_a_kill_at_a_step_that_never_comes_fails(fork_server: ForkServerClient, tmp_path: Path) -> None:
    never = Kill(Step("journal: begin_or_resume", 1000), "before", KillTarget.ALL)
    with pytest.raises(AssertionError, match="the step never came"):
        KillMatrix(fork_server, tmp_path, unlisted).kill_each(alone([never]), MOVE)


def test_kills_that_do_not_happen_fail(
    fork_server: ForkServerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Trial.run

    def not_killed(trial: Trial) -> Outcome:
        trial.kills = ()
        return run(trial)

    monkeypatch.setattr(Trial, "run", not_killed)
    with pytest.raises(AssertionError, match=r"^0 kills, where 2 were due"):
        KillMatrix(fork_server, tmp_path, unlisted).kill_each(
            alone(kills_at(Step("journal: begin_or_resume", 1))[:2]), MOVE
        )


@pytest.mark.parametrize("is_every", [False, True])
def test_each_step_of_a_recorded_run_has_its_kills(steps: Steps, is_every: bool) -> None:
    recorded = [step for step in steps(MOVE) if not is_probe(step)]
    kills = Selection(is_every).at(recorded)
    assert {kill.step.name for kill in kills} == {step.name for step in recorded}
    if is_every:
        assert kills == [kill for step in recorded for kill in kills_at(step)]
