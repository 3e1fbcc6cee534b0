from itertools import pairwise

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agent.actors.stability_tracker.growth import MIN_GROWTHS, GrowthDetector
from tests.samples import ROUTE, STATE, a_state, but

GROWING = evolve(ROUTE, growing=True, growing_min_size_bytes=100)


def grown(*sizes: int) -> GrowthDetector:
    growth = GrowthDetector()
    for before, after in pairwise(sizes):
        growth.seen(a_state(before), a_state(after), took_s=2.0)
    return growth


def test_a_file_that_grew_more_than_once_and_is_large_enough_may_be_followed() -> None:
    assert not grown(100, 200).may_be_followed(a_state(200), GROWING)
    assert grown(100, 200, 300).may_be_followed(a_state(300), GROWING)
    assert grown(1, 2, 100).may_be_followed(a_state(100), GROWING)
    assert not grown(1, 2, 99).may_be_followed(a_state(99), GROWING)


def test_where_the_route_does_not_say_so_nothing_is_followed() -> None:
    assert not grown(100, 200, 300).may_be_followed(a_state(300), evolve(GROWING, growing=False))


def test_a_file_that_shrank_or_was_replaced_begins_anew() -> None:
    growth = grown(100, 200, 300)
    assert not growth.seen(a_state(300), a_state(299), 1.0)
    assert not growth.may_be_followed(a_state(299), GROWING)
    growth = grown(100, 200, 300)
    assert not growth.seen(a_state(300), but(a_state(400), inode=9), 1.0)
    assert not growth.may_be_followed(a_state(400), GROWING)


def test_a_rewritten_head_neither_counts_nor_disturbs() -> None:
    growth = grown(100, 200, 300)
    assert growth.seen(a_state(300), but(STATE, size_bytes=300, mtime_ns=9), 1.0)
    assert growth.growths == MIN_GROWTHS
    assert growth.rate_bytes_s == 50.0


@given(st.lists(st.integers(1, 10**12), min_size=2, max_size=20, unique=True).map(sorted))
def test_every_rise_counts(sizes: list[int]) -> None:
    assert grown(*sizes).growths == len(sizes) - 1
