from hypothesis import given
from hypothesis import strategies as st

from agent.actors.broadcaster.route_status import WINDOW_S, Rate


def test_without_progress_the_rate_is_zero() -> None:
    assert Rate().bytes_s(0.0) == 0.0


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 4)), max_size=20), st.integers(0, 6))
def test_the_rate_is_the_mean_of_the_last_seconds(amounts: list[tuple[int, int]], later_s: int) -> None:
    rate, now_s, added = Rate(), 0, list[tuple[int, int]]()
    for amount_bytes, pause_s in amounts:
        now_s += pause_s
        rate.add(amount_bytes, now_s)
        added.append((now_s, amount_bytes))
        assert rate.bytes_s(now_s) == sum(each for at, each in added if at > now_s - WINDOW_S) / WINDOW_S
    end_s = now_s + later_s
    assert rate.bytes_s(end_s) == sum(each for at, each in added if at > end_s - WINDOW_S) / WINDOW_S
