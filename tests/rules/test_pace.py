from agent.protocol import Pace
from agent.rules.pace import limit_bytes_s
from agent.terms import BandwidthStep

DAY = (BandwidthStep(8 * 60, 20_000_000), BandwidthStep(19 * 60, None))


def test_without_a_timetable_there_is_no_limit() -> None:
    assert limit_bytes_s(Pace(), 0) is None


def test_the_step_that_began_last_holds() -> None:
    assert limit_bytes_s(Pace(DAY), 8 * 60) == 20_000_000
    assert limit_bytes_s(Pace(DAY), 18 * 60 + 59) == 20_000_000
    assert limit_bytes_s(Pace(DAY), 19 * 60) is None


def test_before_the_first_step_of_the_day_yesterdays_last_holds() -> None:
    assert limit_bytes_s(Pace((BandwidthStep(60, 1000), BandwidthStep(120, 500))), 0) == 500


def test_copies_share_the_limit() -> None:
    assert limit_bytes_s(Pace(DAY, shares=4), 9 * 60) == 5_000_000
