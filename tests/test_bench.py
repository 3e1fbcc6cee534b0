"""The arithmetic of the benchmark: ratios, rounds, verdicts."""

import pytest
from attrs import evolve, frozen

from agent.journal.schema import history
from bench.comparison import Comparison, _compared, net_of, safe_of
from bench.disk_pair import DiskPair
from bench.goals import GOALS, Goal, Verdict, print_verdicts, verdicts
from bench.plan import Measurement, chosen, plan
from bench.report import percentile, ratios, spread
from bench.rounds import Rounds
from bench.subjects import RunTime, Subject
from bench.waiting import COLUMNS
from bench.workload import KIB, Workload

HOUR_MINUTES = 60


def no_move(_ground: DiskPair) -> RunTime:
    raise AssertionError


CP = Subject("cp -r", "nothing", "nothing", no_move)
RSYNC = Subject("rsync --fsync", "all", "each file", no_move, is_as_safe=True)
OURS = Subject("transfer-agent", "all", "each file", no_move, is_as_safe=True, is_ours=True)


def test_a_ratio_is_taken_round_by_round() -> None:
    assert ratios([1.0, 6.0], [2.0, 3.0]) == [0.5, 2.0]


def test_a_missing_round_is_an_error() -> None:
    with pytest.raises(ValueError, match="longer"):
        ratios([1.0], [2.0, 3.0])


def test_spread_is_median_smallest_and_largest() -> None:
    assert spread([3.0, 1.0, 2.0]) == "2.00 s (1.00 to 3.00)"
    assert spread([0.5], "") == "0.50"


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 51.0, 100.0, 100.0]


def test_the_agent_is_compared_by_its_net_time_and_a_tool_by_its_whole_time() -> None:
    comparison = Comparison(Workload("some", 1, KIB), (CP, RSYNC, OURS))
    took = {
        CP.name: [RunTime(2.0), RunTime(4.0)],
        RSYNC.name: [RunTime(8.0), RunTime(10.0)],
        OURS.name: [RunTime(4.0, 1.0), RunTime(6.0, 2.0)],
    }
    assert comparison.head == [
        *("subject", "took", "of cp", "net", "net, of cp", "of rsync as safe", "verified", "synced")
    ]
    assert _compared(comparison, CP, took) == {"of cp": [1.0, 1.0]}
    assert _compared(comparison, RSYNC, took) == {"of cp": [4.0, 2.5], safe_of("rsync"): [1.0, 1.0]}
    assert _compared(comparison, OURS, took) == {
        "of cp": [2.0, 1.5],
        net_of("cp"): [0.5, 0.5],
        safe_of("rsync"): [0.125, 0.2],
    }


@frozen
class Clock:
    """Returns the next of these times at each call."""

    times_s: list[float]

    def __call__(self) -> float:
        return self.times_s.pop(0)


@pytest.mark.parametrize(
    ("limit_s", "times_s", "rounds"),
    [
        (100.0, [0.0, 0.0, 10.0, 20.0, 30.0], 3),
        (29.0, [0.0, 0.0, 10.0, 20.0], 2),  # a third would end at 30
        (29.0, [0.0, 15.0, 25.0], 1),  # preparations count
        (29.0, [0.0, 0.0, 20.0], 1),
        (1.0, [0.0, 0.0, 50.0], 1),  # never none
    ],
)
def test_no_round_starts_that_would_end_too_late(limit_s: float, times_s: list[float], rounds: int) -> None:
    assert list(Rounds(3, limit_s, Clock(times_s))) == list(range(rounds))


@pytest.mark.parametrize(
    ("at_least", "measured", "words"),
    [
        (False, 0.5, "met"),
        (False, 0.51, "**missed**"),
        (True, 0.5, "met"),
        (True, 0.49, "**missed**"),
    ],
)
def test_a_limit_itself_is_still_met(at_least: bool, measured: float, words: str) -> None:
    goal = Goal(("some",), "figure", 0.5, " s", at_least=at_least)
    assert Verdict(goal, measured).words == words


def test_each_goal_of_a_measurement_gets_a_line_with_the_measured_value(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_verdicts(verdicts("lag", {"close to copy started, beside `stable`, p90": 0.42}))
    assert capsys.readouterr().out.splitlines()[2:3] == [
        "| close to copy started, beside `stable`, p90: at most 0.3 s | 0.42 s | **missed** |"
    ]


def test_a_measurement_without_goals_is_not_judged(capsys: pytest.CaptureFixture[str]) -> None:
    print_verdicts(verdicts("1000x1-4096B", {}))
    assert capsys.readouterr().out == ""


def test_a_figure_that_a_goal_needs_has_to_be_there() -> None:
    with pytest.raises(KeyError):
        verdicts("lag", {})


def test_every_goal_is_one_of_measurements_that_exist() -> None:
    assert {name for goal in GOALS for name in goal.measurements} <= {each.name for each in plan(small=False)}


def test_all_but_the_far_source_is_planned_for_an_hour() -> None:
    assert sum(each.minutes for each in plan(small=False) if each.group != "far") <= HOUR_MINUTES


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


def test_the_history_that_a_measurement_adds_has_the_columns_of_the_journal() -> None:
    required = {column.name for column in history.columns if not column.nullable} - {"id"}
    assert required <= set(COLUMNS) <= {column.name for column in history.columns}
