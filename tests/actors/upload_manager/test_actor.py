"""The upload manager: which routes it adds, what it writes and when it cleans up."""

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
    FakeRoutes,
    RunningManager,
    a_job,
    manager_of,
    route_of,
    scanned,
    stopped,
)
from tests.fakes import SILENCE
from tests.samples import a_file

JOB, OTHER = a_job(), a_job("j2")
ROUTE = route_of(JOB)
BUCKET = ROUTE.destination
MOVED = a_file("a.mxf", route=ROUTE.name)
UNREACHABLE = SourceState(ROUTE.name, "source: gone", 0.0, 1.0)
OUTAGE = DestinationState(BUCKET, OutageReason.HUNG, "no answer", 1.0, 1.0, None, None, None)


def opened(to_dispatcher: list[object]) -> list[object]:
    """Messages, with the plan of a destination instead of its channels."""
    return [message.plan if isinstance(message, ConnectDestination) else message for message in to_dispatcher]


async def test_a_job_is_started_watched_and_cleaned_up(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    manager = await manager_of(nursery, autojump_clock, JOB)
    assert opened(drained(manager.to_dispatcher)) == [CONFIG.plan([ROUTE]), AddRoute(ROUTE)]
    subscribed, added = drained(manager.to_broadcaster)
    assert (type(subscribed), added) == (SubscribeEvents, RouteAdded(ROUTE))
    assert (manager.routes.added, manager.routes.watched) == ([ROUTE.name], [ROUTE.name])
    await manager.complete(JOB)
    assert manager.routes.watched == []
    assert drained(manager.to_dispatcher) == [RemoveRoute(ROUTE.name)]
    assert manager.journal.closed == []
    await manager.route_removed(JOB)
    assert drained(manager.to_dispatcher) == [RemoveDestination(BUCKET)]
    assert manager.journal.closed == [JOB.id]
    assert ("uploads.add_orphans", ROUTE.name) in manager.journal.calls
    assert manager.journal.jobs[JOB.id].state is UploadState.COMPLETED
    assert manager.routes.added == []


async def test_jobs_to_one_bucket_share_its_copier_pool(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    manager = await manager_of(nursery, autojump_clock, JOB, OTHER)
    to_dispatcher = drained(manager.to_dispatcher)
    assert [type(message) for message in to_dispatcher] == [ConnectDestination, AddRoute, AddRoute]
    for job in (JOB, OTHER):
        await manager.complete(job)
        await manager.route_removed(job)
    assert [type(message) for message in drained(manager.to_dispatcher)] == [
        RemoveRoute,
        RemoveRoute,
        RemoveDestination,
    ]


async def test_a_destination_of_the_configuration_is_neither_added_nor_removed(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    manager = await manager_of(nursery, autojump_clock, JOB, routes=FakeRoutes((BUCKET,)))
    await manager.complete(JOB)
    await manager.route_removed(JOB)
    assert [type(message) for message in drained(manager.to_dispatcher)] == [AddRoute, RemoveRoute]


async def test_jobs_that_are_added_and_stopped_are_found_in_the_journal(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    manager = await manager_of(nursery, autojump_clock)
    assert drained(manager.to_dispatcher) == []
    manager.journal.add(JOB)
    await manager.send(OUTAGE, UploadJobsChanged(), UploadJobsChanged())
    assert [type(message) for message in drained(manager.to_dispatcher)] == [ConnectDestination, AddRoute]
    manager.journal.stop(JOB)
    await manager.send(UploadJobsChanged())
    assert drained(manager.to_dispatcher) == [RemoveRoute(ROUTE.name)]
    await manager.send(UploadJobsChanged())
    assert drained(manager.to_dispatcher) == []


async def test_a_job_that_ended_since_the_journal_was_read_is_not_taken_up_again(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    manager = await manager_of(nursery, autojump_clock, JOB)
    await manager.complete(JOB)
    await manager.route_removed(JOB)
    drained(manager.to_dispatcher)
    manager.journal.reopen(JOB)
    await manager.send(UploadJobsChanged())
    assert drained(manager.to_dispatcher) == []


async def test_a_job_that_had_been_stopped_is_only_cleaned_up(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    manager = await manager_of(nursery, autojump_clock, stopped(JOB))
    assert [type(message) for message in drained(manager.to_dispatcher)] == [
        ConnectDestination,
        RemoveDestination,
    ]
    assert manager.journal.closed == [JOB.id]
    assert not any(isinstance(event, RouteAdded) for event in drained(manager.to_broadcaster))


async def test_a_job_is_closed_only_when_nothing_is_left_over_in_its_bucket(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    manager = await manager_of(nursery, autojump_clock, JOB)
    manager.journal.orphans = [(BUCKET, ".a.partial")]
    await manager.complete(JOB)
    await manager.route_removed(JOB)
    await trio.sleep(2 * RETRY_S)
    assert manager.journal.closed == []
    manager.journal.orphans = []
    await trio.sleep(RETRY_S)
    assert manager.journal.closed == [JOB.id]


@pytest.mark.parametrize(
    "operation", ["uploads.needing_cleanup", "uploads.files", "uploads.add_orphans", "uploads.mark_cleaned"]
)
async def test_a_journal_in_trouble_is_tried_again(
    nursery: trio.Nursery, autojump_clock: MockClock, operation: str
) -> None:
    manager = await manager_of(nursery, autojump_clock)
    manager.journal.add(JOB)
    manager.journal.fails_next.append(operation)
    await manager.send(UploadJobsChanged())
    await trio.sleep(RETRY_S + 1)
    await manager.complete(JOB)
    await manager.route_removed(JOB)
    await trio.sleep(RETRY_S + 1)
    assert (manager.journal.closed, manager.journal.fails_next) == ([JOB.id], [])


async def test_what_could_not_be_written_down_is_written_later(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    manager = await manager_of(nursery, autojump_clock, JOB)
    manager.journal.fails_next += ["uploads.upsert"] * 2
    await manager.send(StatusChanged(MOVED.id, Status.READY, 1.0, MOVED))
    assert manager.journal.paths(JOB) == []
    await trio.sleep(3 * WRITE_EVERY_S)
    assert manager.journal.paths(JOB) == ["a.mxf"]
    manager.journal.fails_next += ["uploads.upsert"] * 2
    await manager.complete(a_job("nobody"))
    await manager.send(StatusChanged(MOVED.id, Status.COMPLETED, 1.0, MOVED))
    await manager.complete(JOB)
    await manager.route_removed(JOB)
    await trio.sleep(RETRY_S + 1)
    assert manager.journal.jobs[JOB.id].state is UploadState.COMPLETED


async def test_a_job_that_its_journal_has_lost_is_written_down_again_as_a_whole(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    manager = await manager_of(nursery, autojump_clock, JOB)
    await manager.send(StatusesChanged((StatusChanged(MOVED.id, Status.READY, 1.0, MOVED),)))
    await trio.sleep(WRITE_EVERY_S)
    manager.journal.lose_jobs()
    await manager.send(scanned(JOB, 1.0))
    await trio.sleep(3 * WRITE_EVERY_S)
    assert JOB.id in manager.journal.jobs
    assert manager.journal.paths(JOB) == ["a.mxf"]


async def test_a_folder_that_may_not_be_read_ends_its_job(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    manager = await manager_of(nursery, autojump_clock)
    manager.workers.script(ResolveFolder, FolderResolved("/media/j1", is_allowed=False))
    manager.journal.add(a_job("j1"))
    await manager.send(UploadJobsChanged())
    await trio.sleep(2 * WRITE_EVERY_S)
    job = manager.journal.jobs["j1"]
    assert job.state is UploadState.FAILED
    assert "roots" in (job.error or "")


async def test_a_folder_that_leads_elsewhere_now_ends_no_job(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    manager = await manager_of(nursery, autojump_clock)
    manager.workers.script(ResolveFolder, FolderResolved("/elsewhere", is_allowed=False))
    manager.journal.add(a_job("j1"))
    await manager.send(UploadJobsChanged())
    await trio.sleep(2 * WRITE_EVERY_S)
    assert not manager.journal.jobs["j1"].state.is_end


@pytest.mark.parametrize(
    "answer",
    [SILENCE, Fault(FaultKind.SOURCE_OUTAGE, "stale"), Fault(FaultKind.SOURCE_GONE, "gone")],
)
async def test_only_a_folder_that_has_been_gone_for_long_ends_its_job(
    nursery: trio.Nursery, autojump_clock: MockClock, answer: object
) -> None:
    manager = await manager_of(nursery, autojump_clock, JOB)
    manager.workers.script(ResolveFolder, answer)  # type: ignore[arg-type]
    await manager.send(UNREACHABLE)
    await trio.sleep(GONE_AFTER_S - 1)
    await manager.send(UNREACHABLE)
    assert manager.examinations(JOB) == 1
    await trio.sleep(1)
    await manager.send(UNREACHABLE, evolve(UNREACHABLE, at=2.0))
    await trio.sleep(ROUTE.stall_timeout_s + WRITE_EVERY_S)
    await wait_all_tasks_blocked()
    is_gone = isinstance(answer, Fault) and answer.kind is FaultKind.SOURCE_GONE
    assert manager.journal.jobs[JOB.id].state.is_end is is_gone
    assert manager.examinations(JOB) == 2


async def test_events_are_subscribed_to_only_while_jobs_run(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    manager = await manager_of(nursery, autojump_clock)
    assert subscriptions(manager) == []
    for job in (JOB, OTHER):
        manager.journal.add(job)
        await manager.send(UploadJobsChanged())
    assert subscriptions(manager) == [SubscribeEvents]
    await manager.complete(JOB)
    await manager.route_removed(JOB)
    assert subscriptions(manager) == []
    await manager.complete(OTHER)
    await manager.route_removed(OTHER)
    assert subscriptions(manager) == [UnsubscribeEvents]
    again = a_job("j3")
    manager.journal.add(again)
    await manager.send(UploadJobsChanged())
    assert subscriptions(manager) == [SubscribeEvents]


async def test_a_job_that_starts_while_the_last_one_ends_is_subscribed(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    manager = await manager_of(nursery, autojump_clock, JOB)
    await manager.complete(JOB)
    manager.journal.add(OTHER)
    manager.journal.delays_s["uploads.files"] = 1.0  # the other job is being read while this one ends
    await manager.send(UploadJobsChanged())
    await manager.route_removed(JOB)
    await trio.sleep(2.0)
    assert subscriptions(manager) == [SubscribeEvents, UnsubscribeEvents, SubscribeEvents]


def subscriptions(manager: RunningManager) -> list[type]:
    """What the broadcaster was sent since the last time, but for routes."""
    return [type(event) for event in drained(manager.to_broadcaster) if not isinstance(event, RouteAdded)]
