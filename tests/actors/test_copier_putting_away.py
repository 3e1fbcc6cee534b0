"""What the copier pool does with a transfer that is given up or forgotten."""

import pytest
import trio
from trio.testing import MockClock

from agent.messages import (
    Abandon,
    Abandoned,
    Interrupted,
    Sweep,
)
from agent.protocol import (
    DiscardPartial,
)
from tests.actors.pools import Bench
from tests.actors.samples import COPYING, FILE, drained
from tests.fakes import Ended, FakeLedger
from tests.rules.samples import OUTAGE, SOURCE_FAULT


async def test_what_is_given_up_is_put_away_and_logged_as_failed(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeLedger(None, COPYING))
    await bench.order(Sweep(7), Abandon(FILE, 3, "unreadable", 7))
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Abandoned]
    assert bench.ledger.ended == [Ended("a.mxf", "failed", 3, "unreadable", None)]
    [record] = caplog.records
    assert record.levelname == "ERROR"


async def test_what_is_forgotten_is_put_away_without_a_word(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeLedger(None, COPYING))
    await bench.order(Sweep(7), Abandon(FILE, 0, None, 7))
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Abandoned]
    assert (bench.ledger.transfers, bench.ledger.ended, caplog.records) == ({}, [], [])


async def test_putting_away_waits_for_the_end_of_an_outage(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeLedger(None, COPYING))
    bench.workers.script(DiscardPartial, OUTAGE)
    await bench.order(Sweep(7), Abandon(FILE, 3, "unreadable", 7))
    [outcome] = drained(bench.outcomes)
    assert isinstance(outcome, Interrupted)
    assert outcome.fault == OUTAGE


async def test_a_partial_that_cannot_be_removed_is_left_to_the_next_sweep(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock, FakeLedger(None, COPYING))
    bench.workers.script(DiscardPartial, SOURCE_FAULT)
    await bench.order(Sweep(7), Abandon(FILE, 3, "unreadable", 7))
    assert [type(outcome) for outcome in drained(bench.outcomes)] == [Abandoned]
    assert list(bench.ledger.transfers.values()) == [COPYING]
