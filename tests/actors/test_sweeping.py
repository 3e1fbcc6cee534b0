"""What a sweep makes of each transfer that the journal remembers on its destination."""

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from agent.actors.sweeping import sweep
from agent.config import Route
from agent.faults import Fault, FaultKind
from agent.protocol import DiscardPartial, Finished, LookUpSource, Presence, Published, PublishFile
from agent.terms import Transfer
from tests.actors.samples import COPYING, CORRUPT, DIGEST, INTENT, PLACE, PLAN, PUBLISHED
from tests.fakes import SILENCE, Ended, FakeLedger, FakeWorkers
from tests.rules.samples import NAS, OUTAGE, ROUTE, SOURCE_FAULT

STANDS, GONE = Presence(exists=True), Presence(exists=False)
OTHER = evolve(COPYING, id=2, path="b.mxf", partial=".b.mxf.0.partial")


class Bench:
    def __init__(self, clock: MockClock, *transfers: Transfer, routes: tuple[Route, ...] = (ROUTE,)) -> None:
        self.ledger = FakeLedger(None, *transfers)
        self.workers = FakeWorkers(clock, self.ledger.diary)
        self.workers.script(LookUpSource, GONE)
        self.workers.script(DiscardPartial, Finished())
        self.workers.script(PublishFile, Published("a.mxf", already_there=False))
        self.routes = {route.name: route for route in routes}

    async def sweep(self) -> list[str]:
        """The diary."""
        await sweep(PLAN, PLACE, self.routes, self.ledger, self.workers)
        return self.ledger.diary


@pytest.mark.parametrize("transfer", [COPYING, INTENT, PUBLISHED])
async def test_what_still_has_its_source_goes_the_ordinary_way(
    transfer: Transfer, autojump_clock: MockClock
) -> None:
    bench = Bench(autojump_clock, transfer)
    bench.workers.script(LookUpSource, STANDS)
    assert await bench.sweep() == ["running", "LookUpSource"]
    assert list(bench.ledger.transfers.values()) == [transfer]


async def test_a_half_copied_file_without_a_source_leaves_neither_partial_nor_history(
    autojump_clock: MockClock,
) -> None:
    bench = Bench(autojump_clock, COPYING)
    assert await bench.sweep() == ["running", "LookUpSource", "DiscardPartial", "drop"]
    assert [request for _, request in bench.workers.asked] == [
        LookUpSource("/src", "a.mxf"),
        DiscardPartial(PLACE, COPYING.partial),
    ]
    assert (bench.ledger.transfers, bench.ledger.ended) == ({}, [])


async def test_what_had_arrived_is_published_even_without_its_source(autojump_clock: MockClock) -> None:
    bench = Bench(autojump_clock, INTENT)
    bench.workers.script(PublishFile, Published("a_1.mxf", already_there=False))
    assert await bench.sweep() == ["running", "LookUpSource", "PublishFile", "published", "finish"]
    assert bench.workers.asked[-1][1] == PublishFile(PLACE, INTENT.partial, "a.mxf", "rename", 100, DIGEST)
    assert bench.ledger.ended == [Ended("a.mxf", "delivered", 1, None, f"{NAS}/a_1.mxf")]


async def test_what_was_published_only_has_to_be_written_down(autojump_clock: MockClock) -> None:
    bench = Bench(autojump_clock, PUBLISHED)
    assert await bench.sweep() == ["running", "LookUpSource", "finish"]
    assert bench.ledger.ended == [Ended("a.mxf", "delivered", 1, None, f"{NAS}/a_1.mxf")]


async def test_what_a_route_left_behind_that_is_no_longer_configured_is_swept_without_a_look(
    autojump_clock: MockClock,
) -> None:
    bench = Bench(autojump_clock, OTHER, INTENT, routes=())
    diary = ["running", "DiscardPartial", "drop", "PublishFile", "published", "finish"]
    assert await bench.sweep() == diary
    assert isinstance(request := bench.workers.asked[-1][1], PublishFile)
    assert request.conflict == "rename"


async def test_a_route_that_refuses_conflicts_refuses_them_here_too_and_keeps_what_it_holds(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(autojump_clock, INTENT, routes=(evolve(ROUTE, conflict="fail"),))
    bench.workers.script(PublishFile, Fault(FaultKind.CONFLICT, "the name is taken"))
    assert await bench.sweep() == ["running", "LookUpSource", "PublishFile"]
    assert isinstance(request := bench.workers.asked[-1][1], PublishFile)
    assert request.conflict == "fail"
    assert list(bench.ledger.transfers.values()) == [INTENT]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_what_vanished_at_both_ends_is_said_once_and_ends(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(autojump_clock, INTENT)
    bench.workers.script(PublishFile, CORRUPT)
    await bench.sweep()
    assert bench.ledger.ended == [Ended("a.mxf", "failed", 1, "arrived altered", None)]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_one_transfer_in_trouble_does_not_keep_the_others_from_being_swept(
    autojump_clock: MockClock,
) -> None:
    bench = Bench(autojump_clock, COPYING, OTHER)
    bench.workers.script(LookUpSource, SOURCE_FAULT, GONE)
    await bench.sweep()
    assert list(bench.ledger.transfers.values()) == [COPYING]


async def test_an_outage_ends_the_sweep_until_the_next_one(autojump_clock: MockClock) -> None:
    bench = Bench(autojump_clock, COPYING, OTHER)
    bench.workers.script(DiscardPartial, OUTAGE, Finished())
    assert await bench.sweep() == ["running", "LookUpSource", "DiscardPartial"]
    await bench.sweep()
    assert bench.ledger.transfers == {}


async def test_a_worker_that_falls_silent_ends_the_sweep(autojump_clock: MockClock) -> None:
    bench = Bench(autojump_clock, COPYING, OTHER)
    bench.workers.script(LookUpSource, SILENCE)
    assert await bench.sweep() == ["running", "LookUpSource"]
    assert trio.current_time() == PLAN.stall_timeout_s


@pytest.mark.parametrize("operation", ["running", "drop"])
async def test_a_journal_that_cannot_be_written_ends_the_sweep(
    operation: str, autojump_clock: MockClock
) -> None:
    bench = Bench(autojump_clock, COPYING, OTHER)
    bench.ledger.broken.add(operation)
    await bench.sweep()
    assert len(bench.ledger.transfers) == 2
    assert bench.ledger.diary[-1] == operation
