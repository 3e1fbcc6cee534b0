import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.actors.watcher.scan_planner import (
    CHEAP_SCAN_FILES,
    MANY_PATHS,
    MAX_EXAMINED,
    MAX_REST_S,
    REST_FACTOR,
    ScanPlanner,
    ScanTask,
)
from agent.messages.watcher import Examine, PutBack, RemoveFolders, WatchEvent, WatchStatus
from agent.model.names import removing_path
from tests.samples import IDENTITY, an_entry

PATHS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3).map(tuple)
WHOLE = ScanTask(None)


def scanned() -> ScanPlanner:
    """An agenda whose first scan was at 0 s; the next is due at 10 s."""
    agenda = ScanPlanner(10.0)
    assert agenda.next(0.0) == WHOLE
    return agenda


def test_the_first_thing_to_do_is_a_whole_scan_and_then_one_every_interval() -> None:
    agenda = ScanPlanner(10.0)
    assert agenda.due_s() == -math.inf
    assert agenda.next(5.0) == WHOLE
    assert agenda.due_s() == 15.0
    assert agenda.next(14.9) is None
    assert agenda.next(15.0) == WHOLE


def test_a_hint_names_what_to_look_at_now() -> None:
    agenda = scanned()
    agenda.add(WatchEvent(("a",)))
    agenda.add(WatchEvent(("b", "a")))
    assert agenda.due_s() == -math.inf
    task = agenda.next(1.0)
    assert task is not None
    assert (sorted(task.paths or ()), task.closely) == (["a", "b"], frozenset())
    assert agenda.next(1.0) is None


def test_what_is_put_back_is_examined_under_its_own_name_before_anything_else() -> None:
    private = removing_path(IDENTITY, "day/a", ".p.partial")
    agenda = scanned()
    agenda.add(Examine(("b",)))
    agenda.add(PutBack((private,)))
    agenda.add(PutBack((private,)))
    assert agenda.due_s() == -math.inf
    assert agenda.next(1.0) == ScanTask(("day/a",), private_paths=(private,))
    assert agenda.next(1.0) == ScanTask(("b",), frozenset({"b"}))
    assert agenda.next(1.0) is None


def test_empty_folders_are_removed_before_the_next_scan_and_once() -> None:
    agenda = scanned()
    agenda.add(RemoveFolders(("day",)))
    agenda.add(RemoveFolders(("day", "day2")))
    assert agenda.due_s() == -math.inf
    assert agenda.next(1.0) == ScanTask((), empty_folders=("day", "day2"))
    assert agenda.next(1.0) is None


def test_many_wishes_are_looked_at_some_at_a_time_and_take_turns_with_a_scan_that_is_due() -> None:
    agenda = scanned()
    names = [str(number) for number in range(2 * MAX_EXAMINED + 1)]
    agenda.add(Examine(tuple(names)))
    tasks = [agenda.next(at_s) for at_s in (1.0, 10.0, 10.0, 10.0)]
    assert tasks[1] == WHOLE
    looks = [task for task in tasks if task is not None and task.paths is not None]
    assert [len(task.closely) for task in looks] == [MAX_EXAMINED, MAX_EXAMINED, 1]
    assert sorted(path for task in looks for path in task.closely) == sorted(names)
    assert agenda.next(10.0) is None


def test_while_files_wait_to_be_examined_scans_take_half_of_the_time() -> None:
    agenda = scanned()
    agenda.scanned(files=5, ended_s=100.0)
    kinds = []
    for at_s in (100.0, 101.0, 199.0, 200.0, 200.0):
        agenda.add(Examine((str(at_s),)))
        task = agenda.next(at_s)
        assert task is not None
        kinds.append(task.paths is None)
    assert kinds == [False, False, False, True, False]


def test_a_file_that_hung_is_examined_alone_after_all_others() -> None:
    agenda = scanned()
    agenda.add(Examine(("bad", "good")))
    agenda.add(WatchEvent(("changed",)))
    task = agenda.next(1.0)
    assert task is not None
    agenda.examined(task, ("changed", "bad"), "bad")
    agenda.add(WatchEvent(("bad",)))  # its turn comes anyway
    agenda.add(Examine(("other",)))
    tasks = [agenda.next(1.0) for _ in range(3)]
    assert tasks[0] == ScanTask(tuple({"other", "changed"}), frozenset({"other"}))
    assert tasks[1:] == [ScanTask(("bad",), frozenset({"bad"}), is_patient=True), None]
    assert tasks[1] is not None
    agenda.examined(tasks[1], (), None)  # it has answered
    agenda.add(Examine(("bad",)))
    assert agenda.next(1.0) == ScanTask(("bad",), frozenset({"bad"}))


def test_a_hint_without_paths_brings_the_whole_scan_forward() -> None:
    agenda = scanned()
    agenda.add(WatchEvent())
    assert agenda.due_s() == -math.inf
    assert agenda.next(1.0) == WHOLE
    assert agenda.due_s() == 11.0


def test_a_whole_scan_covers_what_hints_named() -> None:
    agenda = scanned()
    agenda.add(WatchEvent(("a",)))
    assert agenda.next(10.0) == WHOLE
    assert agenda.next(10.0) is None


def test_too_many_hints_become_a_whole_scan() -> None:
    agenda = scanned()
    agenda.add(WatchEvent(tuple(map(str, range(MANY_PATHS)))))
    assert agenda.due_s() == -math.inf
    agenda.add(WatchEvent(("one more",)))
    assert agenda.next(1.0) == WHOLE


def test_wishes_come_first_and_take_the_hints_along() -> None:
    agenda = scanned()
    agenda.add(WatchEvent(("a",)))
    agenda.add(Examine(("b",)))
    task = agenda.next(10.0)
    assert task is not None
    assert (sorted(task.paths or ()), task.closely) == (["a", "b"], frozenset("b"))
    assert agenda.next(10.0) == WHOLE


def rested(took_s: float, files: int = CHEAP_SCAN_FILES + 1) -> ScanPlanner:
    """An agenda with rests whose first scan began at 0 s."""
    agenda = ScanPlanner(10.0, rests=True)
    agenda.next(0.0)
    agenda.scanned(files, ended_s=took_s)
    return agenda


def test_a_scan_of_many_files_is_followed_by_a_rest_that_it_is_worth() -> None:
    assert rested(took_s=0.1).due_s() == pytest.approx(0.1 + REST_FACTOR * 0.1)
    assert rested(took_s=1.0).due_s() == 1.0 + MAX_REST_S
    assert rested(took_s=20.0).due_s() == 20.0 + 10 * 20.0


def test_a_rest_never_makes_scans_more_frequent_than_the_interval() -> None:
    assert rested(took_s=0.001).due_s() == 10.0


def test_a_scan_of_few_files_is_no_reason_to_rest() -> None:
    assert rested(took_s=1.0, files=CHEAP_SCAN_FILES).due_s() == 10.0


def test_without_leave_to_rest_there_is_none() -> None:
    agenda = scanned()
    agenda.scanned(CHEAP_SCAN_FILES + 1, ended_s=1.0)
    assert agenda.due_s() == 10.0


def test_where_no_events_come_there_is_no_rest_and_one_that_has_begun_is_over() -> None:
    agenda = rested(took_s=1.0)
    agenda.add(WatchStatus(active=False))
    assert agenda.due_s() == 10.0
    assert agenda.next(10.0) == WHOLE
    agenda.scanned(CHEAP_SCAN_FILES + 1, ended_s=11.0)
    assert agenda.due_s() == 20.0


def test_a_rest_comes_back_with_the_events() -> None:
    agenda = rested(took_s=1.0)
    agenda.add(WatchStatus(active=False))
    agenda.add(WatchStatus(active=True))
    assert agenda.next(10.0) == WHOLE
    agenda.scanned(CHEAP_SCAN_FILES + 1, ended_s=11.0)
    assert agenda.due_s() == 11.0 + MAX_REST_S


def test_lost_events_end_a_rest_at_once() -> None:
    agenda = rested(took_s=1.0)
    agenda.add(WatchEvent())
    assert agenda.next(2.0) == WHOLE


@given(st.lists(st.one_of(PATHS.map(WatchEvent), PATHS.map(Examine), st.floats(0, 10)), max_size=20))
def test_everything_named_is_looked_at(steps: list[WatchEvent | Examine | float]) -> None:
    agenda = scanned()
    hinted: set[str] = set()
    wanted: set[str] = set()
    now_s = 0.0
    for step in steps:
        if isinstance(step, float):
            now_s += step
            continue
        agenda.add(step)
        (hinted if isinstance(step, WatchEvent) else wanted).update(step.paths)
    while (task := agenda.next(now_s)) is not None:
        hinted -= hinted if task.paths is None else set(task.paths)
        wanted -= task.closely
        assert task.closely <= set(task.paths or ())
    assert hinted == wanted == set()
    assert agenda.due_s() > now_s


def test_closes_go_with_the_next_task_whatever_it_is_and_only_the_last_of_each_file() -> None:
    agenda = scanned()
    before, after, other = an_entry("a", version=1), an_entry("a", version=2), an_entry("b")
    agenda.add(WatchEvent(("a",), (before,)))
    agenda.add(WatchEvent(("a", "b"), (after, other)))
    agenda.add(Examine(("c",)))
    task = agenda.next(1.0)
    assert task is not None
    assert (set(task.closely), task.closed) == ({"c"}, (after, other))
    agenda.add(WatchEvent(("a",), (before,)))
    assert agenda.next(2.0) == ScanTask(("a",), closed=(before,))
    agenda.add(WatchEvent((), (other,)))  # the folder was renamed
    assert agenda.next(3.0) == ScanTask(None, closed=(other,))
    assert agenda.next(13.0) == WHOLE
