"""Which orphans recovery removes while copies run, and which it leaves for the next one."""

import logging

import pytest
import trio
from trio.testing import MockClock

from agent.actors.copier_pool.recovery import SEARCH_REST_FACTOR
from agent.protocol.replies import Finished, OrphansFound
from agent.protocol.requests import DiscardPartial, FindOrphans
from tests.actors.copier_pool.recoveries import AGAIN_S, Bench
from tests.actors.samples import COPYING, CORRUPT, DISCARDED, NOT_FOUND, PLACE, PLAN
from tests.fakes import SILENCE, Says
from tests.samples import IDENTITY, NAS, OUTAGE

ONE, TWO, THREE = ".1.partial", "day/.2.partial", "day/.3.partial"
FOUND = Says(
    Finished(),
    (OrphansFound(()), OrphansFound((ONE,)), OrphansFound(()), OrphansFound((TWO, COPYING.partial))),
)
ELSEWHERE = "/elsewhere"


async def test_orphans_are_removed_and_forgotten(autojump_clock: MockClock) -> None:
    bench = Bench(autojump_clock)
    bench.journal.orphans = [(NAS, ONE), (ELSEWHERE, THREE), (NAS, TWO)]
    await bench.collect_orphans()
    assert bench.discarded() == [ONE, TWO]
    assert bench.journal.orphans == [(ELSEWHERE, THREE)]


@pytest.mark.parametrize("trouble", [OUTAGE, CORRUPT, SILENCE])
async def test_an_orphan_that_refuses_or_hangs_stays_and_the_others_are_removed(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, trouble: Says
) -> None:
    bench = Bench(autojump_clock)
    bench.journal.orphans = [(NAS, ONE), (NAS, TWO), (NAS, THREE)]
    bench.workers.script(DiscardPartial, DISCARDED, trouble, DISCARDED)
    caplog.set_level(logging.INFO)
    await bench.collect_orphans()
    assert bench.discarded() == [ONE, TWO, THREE]
    assert bench.journal.orphans == [(NAS, TWO)]
    [line] = bench.logged(caplog, "recovered")
    assert (line["removed"], line["left"]) == (2, 1)
    [stays] = bench.logged(caplog, "orphan stays")
    assert stays["path"] == f"{NAS}/{TWO}"
    assert stays["error"]


async def test_each_orphan_has_a_deadline_of_its_own(autojump_clock: MockClock) -> None:
    bench = Bench(autojump_clock)
    bench.journal.orphans = [(NAS, ONE), (NAS, TWO)]
    bench.workers.script(DiscardPartial, SILENCE)
    await bench.collect_orphans()
    assert bench.workers.times(DiscardPartial) == [0, PLAN.stall_timeout_s]


async def test_after_a_hang_nothing_is_removed_until_the_next_recovery(autojump_clock: MockClock) -> None:
    bench = Bench(autojump_clock)
    bench.journal.orphans = [(NAS, ONE)]
    bench.workers.script(DiscardPartial, SILENCE, DISCARDED)
    await bench.recovery.collect_orphans()
    assert bench.journal.orphans == [(NAS, ONE)]
    await bench.collect_orphans()
    assert bench.journal.orphans == []


async def test_what_is_left_behind_later_is_removed_without_waiting_for_an_outage(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench(autojump_clock)

    async def leave_later() -> None:
        await trio.sleep(AGAIN_S / 2)
        bench.journal.orphans += [(NAS, ONE)]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leave_later)
        await bench.collect_orphans(rounds=4)
    assert bench.workers.times(DiscardPartial) == [AGAIN_S]
    assert [line["removed"] for line in bench.logged(caplog, "recovered")] == [0, 1]


async def test_while_a_killed_worker_lives_what_it_may_make_once_more_is_remembered(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(autojump_clock)
    bench.journal.orphans = [(NAS, ONE)]
    with monkeypatch.context() as stuck:
        stuck.setattr(type(bench.workers), "none_unkillable", False)
        await bench.collect_orphans()
    assert (bench.discarded(), bench.journal.orphans) == ([ONE], [(NAS, ONE)])
    await bench.collect_orphans()
    assert bench.journal.orphans == []


async def test_where_the_journal_knows_of_all_orphans_only_the_root_is_scanned(
    autojump_clock: MockClock,
) -> None:
    bench = Bench(autojump_clock)
    bench.workers.script(FindOrphans, Says(Finished(), (OrphansFound((ONE,)),)))
    assert await bench.collect_orphans() == [
        *("orphans.at_destination", "orphans.is_scan_done", "FindOrphans", "orphans.add"),
        *("orphans.at_destination", "DiscardPartial", "orphans.forget"),
    ]
    assert [request for _, request in bench.workers.asked if isinstance(request, FindOrphans)] == [
        FindOrphans(PLACE, IDENTITY, deep=False)
    ]


async def test_after_a_journal_was_lost_the_whole_destination_is_searched_once(
    autojump_clock: MockClock,
) -> None:
    bench = Bench(autojump_clock, COPYING)
    bench.journal.scanned = [ELSEWHERE]
    bench.workers.script(FindOrphans, FOUND)
    await bench.collect_orphans()
    assert bench.discarded() == [ONE, TWO]  # but not what a running transfer has
    assert bench.journal.scanned == [ELSEWHERE, NAS]
    await bench.collect_orphans()
    assert bench.searches() == [True, False]


MOVED = "day_ok/.2.partial"


async def test_an_orphan_that_is_not_under_its_name_is_searched_for_and_removed_where_it_is(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench(autojump_clock)
    bench.journal.orphans = [(NAS, TWO)]
    bench.workers.script(DiscardPartial, NOT_FOUND, DISCARDED)
    bench.workers.script(FindOrphans, Says(Finished(), (OrphansFound((MOVED,)),)))
    await bench.recovery.collect_orphans()
    assert bench.discarded() == [TWO, MOVED]
    assert bench.searches() == [True]
    assert bench.journal.orphans == []
    [line] = bench.logged(caplog, "recovered")
    assert (line["removed"], line["left"]) == (1, 0)


async def test_an_orphan_that_is_found_nowhere_is_forgotten_and_not_called_removed(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench(autojump_clock)
    bench.journal.orphans = [(NAS, ONE)]
    bench.workers.script(DiscardPartial, NOT_FOUND)
    await bench.recovery.collect_orphans()
    assert (bench.discarded(), bench.journal.orphans) == ([ONE], [])
    [line] = bench.logged(caplog, "recovered")
    assert (line["removed"], line["left"]) == (0, 0)


async def test_what_is_moved_later_is_searched_for_without_waiting_for_an_outage(
    autojump_clock: MockClock,
) -> None:
    bench = Bench(autojump_clock)
    recovery = bench.recovery
    bench.workers.script(DiscardPartial, NOT_FOUND)
    await recovery.collect_orphans()
    bench.journal.orphans = [(NAS, ONE)]
    with trio.move_on_after(2 * AGAIN_S - 1):
        await recovery.run_periodically()
    assert bench.searches() == [False, True]
    assert bench.journal.orphans == []


async def test_searches_of_a_large_destination_are_far_between(autojump_clock: MockClock) -> None:
    bench = Bench(autojump_clock)
    recovery = bench.recovery
    bench.workers.script(DiscardPartial, NOT_FOUND)
    bench.workers.script(FindOrphans, Says(Finished(), took_s=10.0))
    bench.journal.orphans = [(NAS, ONE)]
    await recovery.collect_orphans()
    bench.journal.orphans = [(NAS, TWO)]
    with trio.move_on_after(SEARCH_REST_FACTOR * 10.0 + AGAIN_S):
        await recovery.run_periodically()
    first, second = bench.workers.times(FindOrphans)
    assert SEARCH_REST_FACTOR * 10.0 <= second - first <= SEARCH_REST_FACTOR * 10.0 + AGAIN_S
    assert bench.journal.orphans == []


async def test_a_search_that_fails_forgets_nothing_and_is_done_again(autojump_clock: MockClock) -> None:
    bench = Bench(autojump_clock)
    bench.journal.orphans = [(NAS, ONE)]
    bench.workers.script(DiscardPartial, NOT_FOUND)
    bench.workers.script(FindOrphans, OUTAGE, Finished())
    await bench.collect_orphans(rounds=2)
    assert bench.searches() == [True, True]
    assert bench.journal.orphans == []


async def test_while_a_killed_worker_lives_what_was_not_found_is_remembered(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(autojump_clock)
    bench.journal.orphans = [(NAS, ONE)]
    bench.workers.script(DiscardPartial, NOT_FOUND)
    monkeypatch.setattr(type(bench.workers), "none_unkillable", False)
    await bench.recovery.collect_orphans()
    assert bench.journal.orphans == [(NAS, ONE)]


@pytest.mark.parametrize("trouble", [OUTAGE, CORRUPT, None])
async def test_a_search_that_was_cut_off_is_done_again_and_what_it_found_is_removed(
    autojump_clock: MockClock, trouble: None
) -> None:
    bench = Bench(autojump_clock)
    bench.journal.scanned = []
    bench.workers.script(FindOrphans, Says(trouble, (OrphansFound((ONE,)),)), FOUND)
    await bench.collect_orphans()
    assert (bench.discarded(), bench.journal.orphans, bench.journal.scanned) == ([ONE], [], [])
    await bench.collect_orphans()
    assert bench.journal.scanned == [NAS]


@pytest.mark.parametrize(
    "operation",
    [
        "orphans.at_destination",
        "orphans.forget",
        "orphans.is_scan_done",
        "orphans.add",
        "orphans.mark_scan_done",
    ],
)
async def test_a_journal_that_cannot_be_used_interrupts_until_the_next_recovery(
    autojump_clock: MockClock, operation: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(autojump_clock)
    bench.journal.orphans, bench.journal.scanned = [(NAS, THREE)], []
    bench.workers.script(FindOrphans, FOUND)
    bench.journal.broken.add(operation)
    await bench.collect_orphans()
    assert bench.logged(caplog, "recovery interrupted")
    bench.journal.broken.clear()
    bench.workers.script(FindOrphans, Finished())
    await bench.collect_orphans()
    assert (bench.journal.orphans, bench.journal.scanned) == ([], [NAS])
