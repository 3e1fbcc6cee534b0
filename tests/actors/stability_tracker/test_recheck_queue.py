import math

from agent.actors.stability_tracker.recheck_queue import RecheckQueue


def anything(_at_s: float, _path: str) -> bool:
    return True


def asks(*wanted: tuple[float, str]) -> RecheckQueue:
    found = RecheckQueue()
    for at_s, path in wanted:
        found.add(at_s, path)
    return found


def test_nothing_is_due_where_nothing_was_asked_for() -> None:
    assert asks().due_s(anything) == math.inf


def test_the_first_time_comes_first_and_with_it_all_that_is_wanted_then() -> None:
    some = asks((2.0, "late"), (1.0, "b"), (1.0, "a"))
    assert len(some) == 3
    assert [(some.due_s(anything), some.pop()) for _ in range(3)] == [(1.0, "a"), (1.0, "b"), (2.0, "late")]
    assert (some.due_s(anything), len(some)) == (math.inf, 0)


def test_what_is_not_wanted_any_more_is_never_due() -> None:
    some = asks((1.0, "gone"), (2.0, "gone"), (2.0, "a"), (2.0, "gone"))
    wanted = {(2.0, "a")}

    def is_wanted(at_s: float, path: str) -> bool:
        return (at_s, path) in wanted

    assert (some.due_s(is_wanted), some.pop()) == (2.0, "a")
    assert (some.due_s(is_wanted), len(some)) == (math.inf, 0)


def test_after_a_renewal_only_what_was_named_is_wanted() -> None:
    some = asks((1.0, "a"), (1.5, "b"))
    some.rebuild([(3.0, "c")])
    assert (some.due_s(anything), len(some)) == (3.0, 1)
    assert some.pop() == "c"
