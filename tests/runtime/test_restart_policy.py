from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.runtime import MAX_RESTARTS, RESTART_WINDOW_S, RestartPolicy


def test_five_falls_in_ten_minutes_are_survived_after_ever_longer_waits() -> None:
    budget = RestartPolicy()
    assert [budget.record_failure(float(now_s)) for now_s in range(5)] == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert budget.record_failure(599.9) is None


def test_falls_that_lie_ten_minutes_back_are_forgiven() -> None:
    budget = RestartPolicy()
    for now_s in range(5):
        budget.record_failure(float(now_s))
    assert budget.record_failure(600.0) == 16.0
    assert budget.record_failure(2000.0) == 1.0


@given(st.lists(st.floats(0, 300), max_size=30))
def test_the_budget_is_spent_exactly_when_too_many_falls_lie_in_the_window(pauses: list[float]) -> None:
    budget = RestartPolicy()
    falls: list[float] = []
    for pause_s in pauses:
        falls.append((falls[-1] if falls else 0.0) + pause_s)
        recent = sum(fall_s > falls[-1] - RESTART_WINDOW_S for fall_s in falls)
        assert budget.record_failure(falls[-1]) == (None if recent > MAX_RESTARTS else 2.0 ** (recent - 1))
