"""The keeper of upload jobs: what it opens, writes down and closes, and when."""

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock, wait_all_tasks_blocked

from agent.actors.upload_manager.actor import RETRY_S, WRITE_EVERY_S
from agent.actors.upload_manager.upload_job import GONE_AFTER_S
from agent.messages.broadcaster import RouteAdded, StatusChanged, StatusesChanged
from agent.messages.channels import ConnectDestination, SubscribeEvents, UnsubscribeEvents
from agent.messages.dispatcher import AddRoute, DestinationState, RemoveDestination, RemoveRoute, SourceState
from agent.messages.upload_manager import UploadJobsChanged
from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.transfer import Status
from agent.model.upload import UploadState
from agent.protocol.replies import FolderResolved
from agent.protocol.requests import ResolveFolder
from tests.actors.samples import drained
from tests.actors.upload_manager.managers import (
    CONFIG,
    FakeCrew,
    Kept,
    a_job,
    keeper_of,
    route_of,
    scanned,
    stopped,
)
from tests.fakes import SILENCE
from tests.samples import a_file

JOB, OTHER = a_job(), a_job("j2")
ROUTE = route_of(JOB)
PLACE = ROUTE.destination
MOVED = a_file("a.mxf", route=ROUTE.name)
UNREACHABLE = SourceState(ROUTE.name, "source: gone", 0.0, 1.0)
OUTAGE = DestinationState(PLACE, OutageReason.HUNG, "no answer", 1.0, 1.0, None, None, None)


def opened(orders: list[object]) -> list[object]:
    """Orders, with a lane's plan instead of its ends."""
    return [order.plan if isinstance(order, ConnectDestination) else order for order in orders]


async def test_a_job_is_opened_kept_and_closed(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    kept = await keeper_of(nursery, autojump_clock, JOB)
    assert opened(drained(kept.orders)) == [CONFIG.plan([ROUTE]), AddRoute(ROUTE)]
    subscribed, added = drained(kept.facts)
    assert (type(subscribed), added) == (SubscribeEvents, RouteAdded(ROUTE))
    assert (kept.crew.joined, kept.crew.watched) == ([ROUTE.name], [ROUTE.name])
    await kept.complete(JOB)
    assert kept.crew.watched == []
    assert drained(kept.orders) == [RemoveRoute(ROUTE.name)]
    assert kept.journal.closed == []
    await kept.leaves(JOB)
    assert drained(kept.orders) == [RemoveDestination(PLACE)]
    assert kept.journal.closed == [JOB.id]
    assert ("uploads.add_orphans", ROUTE.name) in kept.journal.calls
    assert kept.journal.jobs[JOB.id].state is UploadState.COMPLETED
    assert kept.crew.joined == []


async def test_jobs_to_one_bucket_share_its_lane(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    kept = await keeper_of(nursery, autojump_clock, JOB, OTHER)
    orders = drained(kept.orders)
    assert [type(order) for order in orders] == [ConnectDestination, AddRoute, AddRoute]
    for job in (JOB, OTHER):
        await kept.complete(job)
        await kept.leaves(job)
    assert [type(order) for order in drained(kept.orders)] == [RemoveRoute, RemoveRoute, RemoveDestination]


async def test_a_lane_of_the_configuration_is_neither_opened_nor_closed(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    kept = await keeper_of(nursery, autojump_clock, JOB, crew=FakeCrew((PLACE,)))
    await kept.complete(JOB)
    await kept.leaves(JOB)
    assert [type(order) for order in drained(kept.orders)] == [AddRoute, RemoveRoute]


async def test_jobs_that_are_added_and_stopped_are_found_in_the_journal(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    kept = await keeper_of(nursery, autojump_clock)
    assert drained(kept.orders) == []
    kept.journal.add(JOB)
    await kept.hear(OUTAGE, UploadJobsChanged(), UploadJobsChanged())
    assert [type(order) for order in drained(kept.orders)] == [ConnectDestination, AddRoute]
    kept.journal.stop(JOB)
    await kept.hear(UploadJobsChanged())
    assert drained(kept.orders) == [RemoveRoute(ROUTE.name)]
    await kept.hear(UploadJobsChanged())
    assert drained(kept.orders) == []


async def test_a_job_that_ended_since_the_journal_was_read_is_not_taken_up_again(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    kept = await keeper_of(nursery, autojump_clock, JOB)
    await kept.complete(JOB)
    await kept.leaves(JOB)
    drained(kept.orders)
    kept.journal.reopen(JOB)
    await kept.hear(UploadJobsChanged())
    assert drained(kept.orders) == []


async def test_a_job_that_had_been_stopped_is_only_put_away(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    kept = await keeper_of(nursery, autojump_clock, stopped(JOB))
    assert [type(order) for order in drained(kept.orders)] == [ConnectDestination, RemoveDestination]
    assert kept.journal.closed == [JOB.id]
    assert not any(isinstance(fact, RouteAdded) for fact in drained(kept.facts))


async def test_a_job_is_closed_only_when_nothing_is_left_over_in_its_bucket(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    kept = await keeper_of(nursery, autojump_clock, JOB)
    kept.journal.orphans = [(PLACE, ".a.partial")]
    await kept.complete(JOB)
    await kept.leaves(JOB)
    await trio.sleep(2 * RETRY_S)
    assert kept.journal.closed == []
    kept.journal.orphans = []
    await trio.sleep(RETRY_S)
    assert kept.journal.closed == [JOB.id]


@pytest.mark.parametrize(
    "operation", ["uploads.needing_cleanup", "uploads.files", "uploads.add_orphans", "uploads.mark_cleaned"]
)
async def test_a_journal_in_trouble_is_tried_again(
    nursery: trio.Nursery, autojump_clock: MockClock, operation: str
) -> None:
    kept = await keeper_of(nursery, autojump_clock)
    kept.journal.add(JOB)
    kept.journal.fails_next.append(operation)
    await kept.hear(UploadJobsChanged())
    await trio.sleep(RETRY_S + 1)
    await kept.complete(JOB)
    await kept.leaves(JOB)
    await trio.sleep(RETRY_S + 1)
    assert (kept.journal.closed, kept.journal.fails_next) == ([JOB.id], [])


async def test_what_could_not_be_written_down_is_written_later(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    kept = await keeper_of(nursery, autojump_clock, JOB)
    kept.journal.fails_next += ["uploads.upsert"] * 2
    await kept.hear(StatusChanged(MOVED.id, Status.READY, 1.0, MOVED))
    assert kept.journal.paths(JOB) == []
    await trio.sleep(3 * WRITE_EVERY_S)
    assert kept.journal.paths(JOB) == ["a.mxf"]
    kept.journal.fails_next += ["uploads.upsert"] * 2
    await kept.complete(a_job("nobody"))
    await kept.hear(StatusChanged(MOVED.id, Status.COMPLETED, 1.0, MOVED))
    await kept.complete(JOB)
    await kept.leaves(JOB)
    await trio.sleep(RETRY_S + 1)
    assert kept.journal.jobs[JOB.id].state is UploadState.COMPLETED


async def test_a_job_that_its_journal_has_lost_is_written_down_again_as_a_whole(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    kept = await keeper_of(nursery, autojump_clock, JOB)
    await kept.hear(StatusesChanged((StatusChanged(MOVED.id, Status.READY, 1.0, MOVED),)))
    await trio.sleep(WRITE_EVERY_S)
    kept.journal.lose_jobs()
    await kept.hear(scanned(JOB, 1.0))
    await trio.sleep(3 * WRITE_EVERY_S)
    assert JOB.id in kept.journal.jobs
    assert kept.journal.paths(JOB) == ["a.mxf"]


async def test_a_folder_that_may_not_be_read_ends_its_job(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    kept = await keeper_of(nursery, autojump_clock)
    for name, found in (
        ("j1", FolderResolved("/media/j1", is_allowed=False)),
        ("j2", FolderResolved("/media/elsewhere", is_allowed=True)),
    ):
        kept.workers.script(ResolveFolder, found)
        kept.journal.add(a_job(name))
        await kept.hear(UploadJobsChanged())
        await trio.sleep(2 * WRITE_EVERY_S)
        job = kept.journal.jobs[name]
        assert job.state is UploadState.FAILED
        assert "roots" in (job.error or "")


@pytest.mark.parametrize(
    "answer",
    [SILENCE, Fault(FaultKind.SOURCE_OUTAGE, "stale"), Fault(FaultKind.SOURCE_GONE, "gone")],
)
async def test_only_a_folder_that_has_been_gone_for_long_ends_its_job(
    nursery: trio.Nursery, autojump_clock: MockClock, answer: object
) -> None:
    kept = await keeper_of(nursery, autojump_clock, JOB)
    kept.workers.script(ResolveFolder, answer)  # type: ignore[arg-type]
    await kept.hear(UNREACHABLE)
    await trio.sleep(GONE_AFTER_S - 1)
    await kept.hear(UNREACHABLE)
    assert len(kept.workers.times(ResolveFolder)) == 1
    await trio.sleep(1)
    await kept.hear(UNREACHABLE, evolve(UNREACHABLE, at=2.0))
    await trio.sleep(ROUTE.stall_timeout_s + WRITE_EVERY_S)
    await wait_all_tasks_blocked()
    is_gone = isinstance(answer, Fault) and answer.kind is FaultKind.SOURCE_GONE
    assert kept.journal.jobs[JOB.id].state.is_end is is_gone
    assert len(kept.workers.times(ResolveFolder)) == 2


async def test_events_are_subscribed_to_only_while_jobs_run(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    kept = await keeper_of(nursery, autojump_clock)
    assert subscriptions(kept) == []
    for job in (JOB, OTHER):
        kept.journal.add(job)
        await kept.hear(UploadJobsChanged())
    assert subscriptions(kept) == [SubscribeEvents]
    await kept.complete(JOB)
    await kept.leaves(JOB)
    assert subscriptions(kept) == []
    await kept.complete(OTHER)
    await kept.leaves(OTHER)
    assert subscriptions(kept) == [UnsubscribeEvents]
    again = a_job("j3")
    kept.journal.add(again)
    await kept.hear(UploadJobsChanged())
    assert subscriptions(kept) == [SubscribeEvents]


async def test_a_job_that_starts_while_the_last_one_ends_is_subscribed(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    kept = await keeper_of(nursery, autojump_clock, JOB)
    await kept.complete(JOB)
    kept.journal.add(OTHER)
    kept.journal.delays_s["uploads.files"] = 1.0  # the other job is being read while this one ends
    await kept.hear(UploadJobsChanged())
    await kept.leaves(JOB)
    await trio.sleep(2.0)
    assert subscriptions(kept) == [SubscribeEvents, UnsubscribeEvents, SubscribeEvents]


def subscriptions(kept: Kept) -> list[type]:
    """What the broadcaster was sent since the last time, but for routes."""
    return [type(fact) for fact in drained(kept.facts) if not isinstance(fact, RouteAdded)]
