import math

from agent.rules.asks import Asks


def anything(_at_s: float, _path: str) -> bool:
    return True


def asks(*wanted: tuple[float, str]) -> Asks:
    found = Asks()
    for at_s, path in wanted:
        found.add(at_s, path)
    return found


def test_nothing_is_due_where_nothing_was_asked_for() -> None:
    assert asks().due_s(anything) == math.inf


def test_the_first_time_comes_first_and_what_is_wanted_then_in_the_order_in_which_it_was_asked_for() -> None:
    some = asks((2.0, "late"), (1.0, "b"), (1.0, "a"))
    assert len(some) == 3
    assert some.due_s(anything) == 1.0
    assert list(some.take(anything)) == ["b", "a"]
    assert (some.due_s(anything), len(some)) == (2.0, 1)
    assert list(some.take(anything)) == ["late"]
    assert (some.due_s(anything), len(some)) == (math.inf, 0)


def test_what_is_not_wanted_any_more_is_never_due_nor_given_out() -> None:
    some = asks((1.0, "gone"), (2.0, "gone"), (2.0, "a"), (2.0, "gone"))
    wanted = {(2.0, "a")}

    def is_wanted(at_s: float, path: str) -> bool:
        return (at_s, path) in wanted

    assert (some.due_s(is_wanted), len(some)) == (2.0, 2)
    assert list(some.take(is_wanted)) == ["a"]
    assert len(some) == 0


def test_what_is_asked_for_twice_is_given_out_once_if_it_is_not_wanted_after_that() -> None:
    some = asks((1.0, "a"), (1.0, "a"))
    wanted = {"a"}
    taken = []
    for path in some.take(lambda _at_s, path: path in wanted):
        taken.append(path)
        wanted.discard(path)
    assert taken == ["a"]


def test_after_a_renewal_only_what_was_named_is_wanted() -> None:
    some = asks((1.0, "a"), (1.5, "b"))
    some.renew([(3.0, "c")])
    assert (some.due_s(anything), len(some)) == (3.0, 1)
    assert list(some.take(anything)) == ["c"]
