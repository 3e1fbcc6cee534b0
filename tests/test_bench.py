"""What the benchmark makes of what it has seen: ratios, rounds, verdicts."""

import pytest
from attrs import evolve, frozen

from bench.goals import GOALS, Goal, Verdict, pronounce, verdicts
from bench.ground import Ground
from bench.moving import Course, _compared, net_of, safe_of
from bench.plan import Measurement, chosen, plan
from bench.report import percentile, ratios, spread
from bench.rounds import Rounds
from bench.subjects import Subject, Took
from bench.works import KIB, Work

HOUR_MINUTES = 60


def no_move(_ground: Ground) -> Took:
    raise AssertionError


CP = Subject("cp -r", "nothing", "nothing", no_move)
RSYNC = Subject("rsync --fsync", "all", "each file", no_move, equal=True)
OURS = Subject("transfer-agent", "all", "each file", no_move, equal=True, ours=True)


def test_a_ratio_is_taken_round_by_round() -> None:
    assert ratios([1.0, 6.0], [2.0, 3.0]) == [0.5, 2.0]


def test_a_lost_round_is_not_overlooked() -> None:
    with pytest.raises(ValueError, match="longer"):
        ratios([1.0], [2.0, 3.0])


def test_spread_is_median_smallest_and_largest() -> None:
    assert spread([3.0, 1.0, 2.0]) == "2.00 s (1.00 to 3.00)"
    assert spread([0.5], "") == "0.50"


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 51.0, 100.0, 100.0]


def test_ours_is_compared_net_and_a_peer_whole() -> None:
    course = Course(Work("some", 1, KIB), (CP, RSYNC, OURS))
    took = {
        CP.name: [Took(2.0), Took(4.0)],
        RSYNC.name: [Took(8.0), Took(10.0)],
        OURS.name: [Took(4.0, 1.0), Took(6.0, 2.0)],
    }
    assert course.head == [
        *("subject", "took", "of cp", "net", "net, of cp", "of rsync as safe", "verified", "synced")
    ]
    assert _compared(course, CP, took) == {"of cp": [1.0, 1.0]}
    assert _compared(course, RSYNC, took) == {"of cp": [4.0, 2.5], safe_of("rsync"): [1.0, 1.0]}
    assert _compared(course, OURS, took) == {
        "of cp": [2.0, 1.5],
        net_of("cp"): [0.5, 0.5],
        safe_of("rsync"): [0.125, 0.2],
    }


@frozen
class Clock:
    """Each look at it is so much later than the one before."""

    steps_s: list[float]

    def __call__(self) -> float:
        return self.steps_s.pop(0)


@pytest.mark.parametrize(
    ("limit_s", "looks_s", "rounds"),
    [
        (100.0, [0.0, 0.0, 10.0, 20.0, 30.0], 3),
        (29.0, [0.0, 0.0, 10.0, 20.0], 2),  # a third would end at 30
        (29.0, [0.0, 15.0, 25.0], 1),  # preparations count
        (29.0, [0.0, 0.0, 20.0], 1),
        (1.0, [0.0, 0.0, 50.0], 1),  # never none
    ],
)
def test_no_round_is_begun_that_would_end_too_late(limit_s: float, looks_s: list[float], rounds: int) -> None:
    assert list(Rounds(3, limit_s, Clock(looks_s))) == list(range(rounds))


@pytest.mark.parametrize(
    ("at_least", "seen", "words"),
    [
        (False, 0.5, "met"),
        (False, 0.51, "**missed**"),
        (True, 0.5, "met"),
        (True, 0.49, "**missed**"),
    ],
)
def test_a_limit_itself_is_still_met(at_least: bool, seen: float, words: str) -> None:
    goal = Goal(("some",), "figure", 0.5, " s", at_least=at_least)
    assert Verdict(goal, seen).words == words


def test_each_goal_of_a_measurement_gets_a_line_with_what_was_seen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pronounce(verdicts("lag", {"close to copy started, beside `stable`, p90": 0.42}))
    assert capsys.readouterr().out.splitlines()[2:3] == [
        "| close to copy started, beside `stable`, p90: at most 0.3 s | 0.42 s | **missed** |"
    ]


def test_a_measurement_without_goals_is_not_judged(capsys: pytest.CaptureFixture[str]) -> None:
    pronounce(verdicts("1000x1-4096B", {}))
    assert capsys.readouterr().out == ""


def test_a_figure_that_a_goal_needs_has_to_be_there() -> None:
    with pytest.raises(KeyError):
        verdicts("lag", {})


def test_every_goal_is_one_of_measurements_that_exist() -> None:
    assert {name for goal in GOALS for name in goal.measurements} <= {each.name for each in plan(small=False)}


def test_the_whole_of_it_is_planned_for_an_hour() -> None:
    assert sum(each.minutes for each in plan(small=False)) <= HOUR_MINUTES


def test_a_small_run_has_the_same_measurements() -> None:
    assert [each.name for each in plan(small=True)] == [each.name for each in plan(small=False)]


def names(some: list[Measurement]) -> list[str]:
    return [each.name for each in some]


def test_measurements_are_chosen_by_name_and_by_group_and_run_in_their_order() -> None:
    known = plan(small=True)
    assert names(chosen(known, ("lag", "link"))) == ["link-1Gbit", "link-4Gbit", "lag"]
    assert names(chosen(known, ())) == names(known)
    with pytest.raises(KeyError):
        chosen(known, ("lag", "lags"))


def test_more_rounds_than_planned_may_take_longer() -> None:
    [lag] = chosen(plan(small=True), ("lag",))
    minute = evolve(lag, minutes=1.0)
    assert [minute.rounds(count).limit_s for count in (1, 3, 6)] == [60.0, 60.0, 120.0]
    assert evolve(minute, after=0.5).rounds(6).limit_s == 60.0
