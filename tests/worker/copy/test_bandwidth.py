from agent.model.storage import BandwidthStep
from agent.protocol.requests import Bandwidth
from agent.worker.copy.bandwidth import limit_bytes_s

DAY = (BandwidthStep(8 * 60, 20_000_000), BandwidthStep(19 * 60, None))


def test_without_a_timetable_there_is_no_limit() -> None:
    assert limit_bytes_s(Bandwidth(), 0) is None


def test_the_step_that_began_last_holds() -> None:
    assert limit_bytes_s(Bandwidth(DAY), 8 * 60) == 20_000_000
    assert limit_bytes_s(Bandwidth(DAY), 18 * 60 + 59) == 20_000_000
    assert limit_bytes_s(Bandwidth(DAY), 19 * 60) is None


def test_before_the_first_step_of_the_day_yesterdays_last_holds() -> None:
    assert limit_bytes_s(Bandwidth((BandwidthStep(60, 1000), BandwidthStep(120, 500))), 0) == 500


def test_copies_share_the_limit() -> None:
    assert limit_bytes_s(Bandwidth(DAY, shares=4), 9 * 60) == 5_000_000
