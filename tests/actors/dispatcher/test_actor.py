from collections.abc import Mapping

import pytest
import trio
from attrs import evolve, frozen
from trio.testing import MockClock, wait_all_tasks_blocked

from agent.actors.dispatcher import actor as dispatcher
from agent.actors.dispatcher.job import STOPPED
from agent.actors.dispatcher.scheduler import Scheduler
from agent.messages.broadcaster import RouteState, StatusesChanged
from agent.messages.channels import AskScheduler, BroadcasterInbox, ConnectDestination, DispatcherInbox
from agent.messages.copier_pool import AbortTransfer, CancelCopies, CopierPoolInbox, Copy, RecoverDestination
from agent.messages.dispatcher import (
    Aborted,
    AddRoute,
    AttemptFailed,
    Cancel,
    Command,
    CommandResult,
    Interrupted,
    PauseRoute,
    Refusal,
    RemoveDestination,
    RemoveRoute,
    ResumeRoute,
)
from agent.messages.storage_monitor import ProbeNow
from agent.model.transfer import Status
from tests.fakes import lose_patience
from tests.samples import NAS, ROUTE, SOURCE_FAULT, STALL, a_config, a_file, ready, usable

OTHER = "/other"
ROUTES = (ROUTE, evolve(ROUTE, name="wav", source="/src2", destination=OTHER))


@frozen
class Ends:
    inbox: trio.MemorySendChannel[DispatcherInbox]
    pools: Mapping[str, trio.MemoryReceiveChannel[CopierPoolInbox]]
    events: trio.MemoryReceiveChannel[BroadcasterInbox]
    probe_requests: Mapping[str, trio.MemoryReceiveChannel[ProbeNow]]


def dispatch(nursery: trio.Nursery, *, events: int = 64) -> Ends:
    inbox_in, inbox_out = trio.open_memory_channel[DispatcherInbox](64)
    events_in, events_out = trio.open_memory_channel[BroadcasterInbox](events)
    pools = {place: trio.open_memory_channel[CopierPoolInbox](6) for place in (NAS, OTHER)}
    monitors = {place: trio.open_memory_channel[ProbeNow](1) for place in (NAS, OTHER)}
    scheduler = Scheduler.start(a_config(*ROUTES), paused=["wav"])
    nursery.start_soon(lose_patience)
    nursery.start_soon(
        dispatcher.run,
        inbox_out,
        {place: ends[0] for place, ends in pools.items()},
        {place: ends[0] for place, ends in monitors.items()},
        events_in,
        scheduler,
    )
    return Ends(
        inbox_in,
        {place: ends[1] for place, ends in pools.items()},
        events_out,
        {place: ends[1] for place, ends in monitors.items()},
    )


async def test_the_paused_routes_are_published_at_the_start(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = dispatch(nursery)
    assert await ends.events.receive() == RouteState("mxf", paused=False)
    assert await ends.events.receive() == RouteState("wav", paused=True)
    assert autojump_clock.current_time() == 0


async def test_each_command_goes_to_the_copier_pool_of_its_destination(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = dispatch(nursery)
    await ends.inbox.send(usable(OTHER))
    assert await ends.pools[OTHER].receive() == RecoverDestination(7)
    await ends.inbox.send(usable(NAS))
    assert await ends.pools[NAS].receive() == RecoverDestination(7)
    await ends.inbox.send(ready(a_file("a")))
    assert await ends.pools[NAS].receive() == Copy(a_file("a"), 1, 7)
    with pytest.raises(trio.WouldBlock):
        ends.pools[OTHER].receive_nowait()
    assert autojump_clock.current_time() == 0


async def test_events_are_published_before_the_commands_that_follow_from_them(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = dispatch(nursery, events=0)
    for _ in ROUTES:
        await ends.events.receive()
    await ends.inbox.send(usable(NAS))
    assert await ends.events.receive() == usable(NAS)
    assert await ends.pools[NAS].receive() == RecoverDestination(7)
    await ends.inbox.send(ready(a_file("a")))
    await wait_all_tasks_blocked()
    with pytest.raises(trio.WouldBlock):
        ends.pools[NAS].receive_nowait()
    event = await ends.events.receive()
    assert isinstance(event, StatusesChanged)
    assert [moved.status for moved in event.moved] == [Status.READY, Status.IN_QUEUE, Status.COPYING]
    assert isinstance(await ends.pools[NAS].receive(), Copy)
    assert autojump_clock.current_time() == 0


async def test_a_failed_attempt_is_repeated_when_its_time_has_come(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = dispatch(nursery)
    await ends.inbox.send(usable(NAS))
    await ends.inbox.send(ready(a_file("a")))
    assert [type(await ends.pools[NAS].receive()) for _ in range(2)] == [RecoverDestination, Copy]
    await ends.inbox.send(AttemptFailed(a_file("a"), SOURCE_FAULT, 0, at=1.0))
    assert await ends.pools[NAS].receive() == Copy(a_file("a"), 2, 7)
    assert autojump_clock.current_time() == ROUTE.retry_delay_s


async def test_a_dispatcher_that_ends_closes_the_channel_of_every_copier_pool(
    autojump_clock: MockClock,
) -> None:
    with pytest.RaisesGroup(trio.EndOfChannel):
        async with trio.open_nursery() as nursery:
            ends = dispatch(nursery)
            ends.inbox.close()
    for pool in ends.pools.values():
        with pytest.raises(trio.EndOfChannel):
            await pool.receive()
    assert autojump_clock.current_time() == 0


async def test_a_monitor_is_asked_to_probe_after_a_stall_and_is_never_waited_for(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = dispatch(nursery)
    assert autojump_clock.current_time() == 0
    await ends.inbox.send(usable(began_s=1.0))
    for began_s in (2.0, 3.0):
        file = a_file()
        await ends.inbox.send(ready(file))
        await ends.inbox.send(Interrupted(file, STALL, 0, 1000.0))
        await ends.inbox.send(usable(began_s=began_s))
    await wait_all_tasks_blocked()
    assert ends.probe_requests[NAS].receive_nowait() == ProbeNow(STALL)
    with pytest.raises(trio.WouldBlock):
        ends.probe_requests[NAS].receive_nowait()


async def test_a_destination_that_is_added_is_used_and_its_channels_are_closed_when_it_is_removed(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = dispatch(nursery)
    dynamic = evolve(ROUTE, name="dynamic", destination="/dynamic")
    pool_in, pool_out = trio.open_memory_channel[CopierPoolInbox](6)
    probes_in, probes_out = trio.open_memory_channel[ProbeNow](1)
    plan = a_config(ROUTE).plan([dynamic])
    file = a_file("a", route="dynamic")
    for message in (
        ConnectDestination(plan, pool_in, probes_in),
        AddRoute(dynamic),
        usable("/dynamic"),
        ready(file),
    ):
        await ends.inbox.send(message)
    assert [await pool_out.receive() for _ in range(2)] == [RecoverDestination(7), Copy(file, 1, 7)]
    await ends.inbox.send(RemoveRoute("dynamic"))
    assert await pool_out.receive() == CancelCopies((file.id,))
    await ends.inbox.send(Interrupted(file, None, 0, 1.0))
    assert await pool_out.receive() == AbortTransfer(file, 0, STOPPED, 7)
    for last in (Aborted(file, 1.0), RemoveDestination("/dynamic")):
        await ends.inbox.send(last)
    assert [command async for command in pool_out] == []
    assert [request async for request in probes_out] == []
    assert autojump_clock.current_time() == 0


def ask(ends: Ends, command: Command) -> trio.MemoryReceiveChannel[CommandResult]:
    answer_in, answer_out = trio.open_memory_channel[CommandResult](1)
    ends.inbox.send_nowait(AskScheduler(command, answer_in))
    return answer_out


async def test_a_command_is_answered_once_its_status_changes_are_sent(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = dispatch(nursery, events=0)
    for _ in ROUTES:
        await ends.events.receive()
    answer = ask(ends, PauseRoute("mxf"))
    await wait_all_tasks_blocked()
    with pytest.raises(trio.WouldBlock):
        answer.receive_nowait()
    assert await ends.events.receive() == RouteState("mxf", paused=True)
    assert await answer.receive() == CommandResult("route mxf is paused; running copies being stopped: 0")
    assert autojump_clock.current_time() == 0


async def test_a_client_that_has_left_is_not_waited_for(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = dispatch(nursery)
    ask(ends, ResumeRoute("wav")).close()
    answer = ask(ends, Cancel("f0"))
    assert await answer.receive() == CommandResult("no tracked file has the id 'f0'", Refusal.NOT_FOUND)
    assert autojump_clock.current_time() == 0
