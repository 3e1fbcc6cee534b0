"""What the copier pool does with a transfer that is given up or forgotten."""

import logging

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from agent.messages.copier_pool import AbortTransfer, RecoverDestination
from agent.messages.dispatcher import Aborted
from agent.model.errors import Fault
from agent.protocol.replies import SourceExists
from agent.protocol.requests import DiscardPartial, LookUpSource
from tests.actors.copier_pool.pools import Bench
from tests.actors.samples import COPYING, DIGEST, FILE, NOT_FOUND, PLAN, PUBLISHED, drained
from tests.fakes import SILENCE, Ended, FakeJournal, Says
from tests.samples import NAS, OUTAGE, SOURCE_FAULT


async def test_a_failed_file_is_cleaned_up_and_logged_as_failed(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeJournal(None, COPYING))
    await bench.send(RecoverDestination(7), AbortTransfer(FILE, 3, "unreadable", 7))
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Aborted]
    assert bench.journal.ended == [Ended("a.mxf", "failed", 3, "unreadable", None)]
    [record] = caplog.records
    assert record.levelname == "ERROR"


async def test_a_forgotten_transfer_is_cleaned_up_without_a_log_line(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeJournal(None, COPYING))
    await bench.send(RecoverDestination(7), AbortTransfer(FILE, 0, None, 7))
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Aborted]
    assert (bench.journal.transfers, bench.journal.ended, caplog.records) == ({}, [], [])


@pytest.mark.parametrize(("exists", "event"), [(True, "kept"), (False, "delivered")])
async def test_what_had_arrived_when_it_was_given_up_is_logged_as_the_history_has_it(
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    exists: bool,
    event: str,
) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench.open(nursery, autojump_clock, FakeJournal(None, PUBLISHED))
    bench.workers.script(LookUpSource, SourceExists(exists=True), SourceExists(exists=exists))
    await bench.send(RecoverDestination(7), AbortTransfer(FILE, 3, "cannot be deleted", 7))
    [ended] = bench.journal.ended
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    outcomes = [line for line in lines if line["event"] in ("delivered", "kept", "failed")]
    logged = [(line["event"], line["transfer_id"], line["route"], line["file"]) for line in outcomes]
    assert ended.result == event
    assert logged == [(event, PUBLISHED.id, PUBLISHED.route, PUBLISHED.path)]


@pytest.mark.parametrize("trouble", [OUTAGE, SOURCE_FAULT, SILENCE])
@pytest.mark.parametrize("error", ["unreadable", None])
async def test_a_partial_that_cannot_be_removed_becomes_an_orphan_and_delays_nobody(
    nursery: trio.Nursery, autojump_clock: MockClock, trouble: Fault | Says, error: str | None
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeJournal(None, COPYING))
    bench.workers.script(DiscardPartial, trouble)
    await bench.send(RecoverDestination(7), AbortTransfer(FILE, 3, error, 7))
    assert isinstance(await bench.outcomes.receive(), Aborted)
    assert autojump_clock.current_time() == (PLAN.stall_timeout_s if trouble is SILENCE else 0)
    assert bench.journal.transfers == {}
    assert [ended.result for ended in bench.journal.ended] == (["failed"] if error else [])
    assert bench.journal.orphans == [(NAS, COPYING.partial)]


@pytest.mark.parametrize("blocks", [(), (DIGEST,)])
async def test_a_partial_that_is_not_under_its_name_is_left_to_recovery_if_it_was_written(
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    blocks: tuple[bytes, ...],
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeJournal(None, evolve(COPYING, blocks=blocks)))
    bench.workers.script(DiscardPartial, NOT_FOUND)
    await bench.send(RecoverDestination(7), AbortTransfer(FILE, 0, None, 7))
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Aborted]
    assert bench.journal.orphans == ([(NAS, COPYING.partial)] if blocks else [])
    assert len(caplog.records) == len(blocks)


async def test_a_partial_that_a_killed_worker_may_create_once_more_becomes_an_orphan(
    nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeJournal(None, COPYING))
    monkeypatch.setattr(type(bench.workers), "none_unkillable", False)
    await bench.send(RecoverDestination(7), AbortTransfer(FILE, 3, "unreadable", 7))
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Aborted]
    assert bench.journal.orphans == [(NAS, COPYING.partial)]
