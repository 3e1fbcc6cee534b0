"""How the first half of a recovery ends each transfer that the journal has to its destination."""

import logging

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from agent.model.errors import Fault, FaultKind
from agent.model.names import removing_path
from agent.model.transfer import Transfer
from agent.model.views import HistoryResult
from agent.protocol.replies import (
    Finished,
    OrphansFound,
    Published,
    PublishedFiles,
    RemovedSources,
    SourceExists,
    SourceRemoved,
    VerifyResult,
)
from agent.protocol.requests import (
    ConfirmDelivery,
    FindOrphans,
    LookUpSource,
    PartialToPublish,
    PublishFiles,
    RemoveSources,
    SourceToRemove,
    VerifyFile,
)
from tests.actors.copier_pool.recoveries import AGAIN_S, EXISTS, GONE, OTHER, Bench
from tests.actors.samples import COPYING, CORRUPT, DIGEST, PARTIAL_GONE, PLACE, PLAN, PUBLISHED, VERIFIED
from tests.fakes import SILENCE, Ended, Says
from tests.samples import IDENTITY, NAS, OUTAGE, ROUTE, SOURCE_FAULT


@pytest.mark.parametrize("transfer", [COPYING, VERIFIED, PUBLISHED])
async def test_what_still_has_its_source_goes_the_ordinary_way(
    transfer: Transfer, autojump_clock: MockClock
) -> None:
    bench = Bench(autojump_clock, transfer)
    bench.workers.script(LookUpSource, EXISTS)
    assert await bench.finish() == ["running", "LookUpSource"]
    assert list(bench.journal.transfers.values()) == [transfer]


async def test_a_half_copied_file_without_a_source_leaves_only_an_orphan(
    autojump_clock: MockClock,
) -> None:
    bench = Bench(autojump_clock, COPYING)
    assert await bench.finish() == ["running", "LookUpSource", "drop"]
    assert [request for _, request in bench.workers.asked] == [LookUpSource("/src", "a.mxf")]
    assert (bench.journal.transfers, bench.journal.ended) == ({}, [])
    assert bench.journal.orphans == [(NAS, COPYING.partial)]


async def test_what_had_arrived_is_published_even_without_its_source(autojump_clock: MockClock) -> None:
    bench = Bench(autojump_clock, VERIFIED)
    bench.workers.script(PublishFiles, PublishedFiles((Published("a_1.mxf", already_present=False),)))
    assert await bench.finish() == ["running", "LookUpSource", "PublishFiles", "mark_published", "finish"]
    file = PartialToPublish(VERIFIED.partial, "a.mxf", 100, DIGEST)
    assert bench.workers.asked[-1][1] == PublishFiles(PLACE, "rename", (file,))
    assert bench.journal.ended == [Ended("a.mxf", "delivered", 1, None, f"{NAS}/a_1.mxf")]


async def test_what_was_published_only_has_to_be_written_down(autojump_clock: MockClock) -> None:
    bench = Bench(autojump_clock, PUBLISHED)
    assert await bench.finish() == ["running", "LookUpSource", "RemoveSources", "finish"]
    assert bench.journal.ended == [Ended("a.mxf", "delivered", 1, None, f"{NAS}/a_1.mxf")]


@pytest.mark.parametrize("kept_because", [None, "it was written to after it had been copied"])
async def test_a_removal_that_was_cut_off_is_ended(
    autojump_clock: MockClock, kept_because: str | None
) -> None:
    """Its file has a private name, so no scan finds it."""
    bench = Bench(autojump_clock, PUBLISHED)
    bench.workers.script(LookUpSource, SourceExists(exists=True, is_renamed=True))
    bench.workers.script(RemoveSources, RemovedSources((SourceRemoved(kept_because),)))
    await bench.finish()
    private = removing_path(IDENTITY, "a.mxf", PUBLISHED.partial)
    file = SourceToRemove("a.mxf", PUBLISHED.signature, private, is_renamed=True)
    assert [request for _, request in bench.workers.asked] == [
        LookUpSource("/src", "a.mxf", private),
        ConfirmDelivery(VerifyFile(PLACE, "a_1.mxf", 100, DIGEST)),
        RemoveSources("/src", "delete", None, (file,)),
    ]
    result: HistoryResult = "delivered" if kept_because is None else "kept"
    assert bench.journal.ended == [Ended("a.mxf", result, 1, kept_because, f"{NAS}/a_1.mxf")]


async def test_a_removal_that_was_cut_off_is_undone_if_the_destination_has_lost_the_file(
    autojump_clock: MockClock,
) -> None:
    bench = Bench(autojump_clock, PUBLISHED)
    bench.workers.script(LookUpSource, SourceExists(exists=True, is_renamed=True))
    bench.workers.script(ConfirmDelivery, VerifyResult("missing"))
    bench.workers.script(RemoveSources, RemovedSources((SourceRemoved("it is not to be removed"),)))
    await bench.finish()
    private = removing_path(IDENTITY, "a.mxf", PUBLISHED.partial)
    file = SourceToRemove("a.mxf", PUBLISHED.signature, private, is_renamed=True)
    assert bench.workers.asked[-1][1] == RemoveSources("/src", "keep", None, (file,))
    assert list(bench.journal.transfers.values()) == [PUBLISHED]  # its next copy begins again


async def test_a_removal_that_was_cut_off_and_cannot_be_ended_is_postponed(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(autojump_clock, PUBLISHED)
    bench.workers.script(LookUpSource, SourceExists(exists=True, is_renamed=True))
    bench.workers.script(RemoveSources, RemovedSources((SOURCE_FAULT,)))
    await bench.finish()
    assert list(bench.journal.transfers.values()) == [PUBLISHED]
    assert len(bench.logged(caplog, "recovery postponed")) == 1


async def test_transfers_of_a_route_that_is_gone_are_completed_without_a_look_at_the_source(
    autojump_clock: MockClock,
) -> None:
    bench = Bench(autojump_clock, OTHER, VERIFIED, routes=())
    assert await bench.finish() == ["running", "PublishFiles", "mark_published", "finish", "drop"]
    assert isinstance(request := bench.workers.asked[-1][1], PublishFiles)
    assert request.conflict == "rename"


async def test_a_route_that_refuses_conflicts_refuses_them_here_too_and_keeps_what_it_holds(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(autojump_clock, VERIFIED, routes=(evolve(ROUTE, conflict="fail"),))
    bench.workers.script(PublishFiles, PublishedFiles((Fault(FaultKind.CONFLICT, "the name is taken"),)))
    assert await bench.finish() == ["running", "LookUpSource", "PublishFiles"]
    assert isinstance(request := bench.workers.asked[-1][1], PublishFiles)
    assert request.conflict == "fail"
    assert list(bench.journal.transfers.values()) == [VERIFIED]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_file_that_vanished_at_both_ends_fails_once(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(autojump_clock, VERIFIED)
    bench.workers.script(PublishFiles, PublishedFiles((CORRUPT,)))
    await bench.finish()
    assert bench.journal.ended == [Ended("a.mxf", "failed", 1, "arrived altered", None)]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


AWAY = evolve(VERIFIED, path="day/a.mxf", partial="day/.a.1.partial", name="day/a.mxf")


async def test_the_only_copy_whose_folder_was_renamed_is_published_where_it_is_now(
    autojump_clock: MockClock,
) -> None:
    bench = Bench(autojump_clock, AWAY)
    published = Published("day_ok/a.mxf", already_present=False)
    bench.workers.script(PublishFiles, PublishedFiles((PARTIAL_GONE,)), PublishedFiles((published,)))
    found = OrphansFound((".other.partial", "day_ok/.a.1.partial"))
    bench.workers.script(FindOrphans, Says(Finished(), (found,)))
    await bench.finish()
    [_, again] = [request for _, request in bench.workers.asked if isinstance(request, PublishFiles)]
    assert [(file.partial, file.name) for file in again.files] == [("day_ok/.a.1.partial", "day_ok/a.mxf")]
    assert bench.journal.ended == [Ended("day/a.mxf", "delivered", 1, None, f"{NAS}/day_ok/a.mxf")]
    assert bench.journal.orphans == []


async def test_the_only_copy_that_is_found_nowhere_has_failed(autojump_clock: MockClock) -> None:
    bench = Bench(autojump_clock, AWAY)
    bench.workers.script(PublishFiles, PublishedFiles((PARTIAL_GONE,)))
    await bench.finish()
    assert bench.searches() == [True]
    assert bench.journal.ended == [Ended("day/a.mxf", "failed", 1, PARTIAL_GONE.detail, None)]


async def test_one_transfer_with_a_fault_does_not_keep_the_others_from_being_completed(
    autojump_clock: MockClock,
) -> None:
    bench = Bench(autojump_clock, COPYING, OTHER)
    bench.workers.script(LookUpSource, SOURCE_FAULT, GONE)
    await bench.finish()
    assert list(bench.journal.transfers.values()) == [COPYING]


async def test_an_outage_interrupts_until_the_next_recovery(autojump_clock: MockClock) -> None:
    bench = Bench(autojump_clock, VERIFIED, OTHER)
    bench.workers.script(PublishFiles, OUTAGE, PublishedFiles((Published("a.mxf", already_present=False),)))
    assert await bench.finish() == ["running", "LookUpSource", "PublishFiles"]
    await bench.finish()
    assert bench.journal.transfers == {}


async def test_a_worker_that_falls_silent_ends_the_finishing(autojump_clock: MockClock) -> None:
    bench = Bench(autojump_clock, COPYING, OTHER)
    bench.workers.script(LookUpSource, SILENCE)
    assert await bench.finish() == ["running", "LookUpSource"]
    assert trio.current_time() == PLAN.stall_timeout_s


DEAD = evolve(ROUTE, name="card", source="/dead")
OF_DEAD = evolve(OTHER, route="card")


async def test_a_dead_source_holds_up_neither_transfers_nor_copies_of_other_routes(
    autojump_clock: MockClock,
) -> None:
    bench = Bench(autojump_clock, OF_DEAD, VERIFIED, routes=(DEAD,))  # no source is looked at for the other
    bench.workers.script(LookUpSource, SILENCE)
    recovery = bench.recovery
    waited = {}

    async def copy(route: str) -> None:
        await recovery.gate.wait(route)
        waited[route] = trio.current_time()

    async with trio.open_nursery() as nursery:
        for route in ("card", "mxf", "without transfers"):
            nursery.start_soon(copy, route)
        await recovery.complete_published()
    assert waited == {"card": PLAN.stall_timeout_s, "mxf": 0.0, "without transfers": 0.0}
    assert list(bench.journal.transfers.values()) == [OF_DEAD]


@pytest.mark.parametrize("trouble", [SILENCE, Fault(FaultKind.SOURCE_OUTAGE, "not mounted")])
async def test_what_a_dead_source_has_left_is_completed_when_it_is_back(
    autojump_clock: MockClock, trouble: Says | Fault
) -> None:
    bench = Bench(autojump_clock, COPYING, OTHER)
    bench.workers.script(LookUpSource, trouble, GONE)
    is_idle = False
    recovery = evolve(bench.recovery, is_idle=lambda _: is_idle)
    await recovery.complete_published()
    assert bench.journal.diary == ["running", "LookUpSource"]
    with trio.move_on_after(AGAIN_S + 1):
        await recovery.run_periodically()
    assert len(bench.journal.transfers) == 2  # a copy of the route runs
    is_idle = True
    with trio.move_on_after(AGAIN_S + 1):
        await recovery.run_periodically()
    assert bench.journal.transfers == {}
    await recovery.gate.wait("mxf")


@pytest.mark.parametrize("operation", ["running", "drop"])
async def test_a_journal_that_cannot_be_written_ends_the_finishing(
    operation: str, autojump_clock: MockClock
) -> None:
    bench = Bench(autojump_clock, COPYING, OTHER)
    bench.journal.broken.add(operation)
    await bench.finish()
    assert len(bench.journal.transfers) == 2
    assert bench.journal.diary[-1] == operation


async def test_a_recovery_logs_one_line_with_what_it_did(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    third = evolve(VERIFIED, id=3, path="c.mxf", partial=".c.mxf.0.partial")
    bench = Bench(autojump_clock, PUBLISHED, OTHER, third)
    bench.workers.script(PublishFiles, PublishedFiles((Fault(FaultKind.CONFLICT, "the name is taken"),)))
    await bench.recover()
    [line] = bench.logged(caplog, "recovered")
    assert (line["destination"], line["finished"], line["removed"], line["left"]) == (NAS, 1, 1, 1)
