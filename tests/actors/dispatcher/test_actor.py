from collections.abc import Mapping

import pytest
import trio
from attrs import evolve, frozen
from trio.testing import MockClock, wait_all_tasks_blocked

from agent.actors.dispatcher import actor as dispatcher
from agent.actors.dispatcher.scheduler import STOPPED, Scheduler
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
from tests.samples import NAS, OUTAGE, ROUTE, SOURCE_FAULT, a_config, a_file, ready, usable

OTHER = "/other"
ROUTES = (ROUTE, evolve(ROUTE, name="wav", source="/src2", destination=OTHER))


@frozen
class Ends:
    inbox: trio.MemorySendChannel[DispatcherInbox]
    lanes: Mapping[str, trio.MemoryReceiveChannel[CopierPoolInbox]]
    facts: trio.MemoryReceiveChannel[BroadcasterInbox]
    doubts: Mapping[str, trio.MemoryReceiveChannel[ProbeNow]]


def dispatch(nursery: trio.Nursery, *, facts: int = 64) -> Ends:
    inbox_in, inbox_out = trio.open_memory_channel[DispatcherInbox](64)
    facts_in, facts_out = trio.open_memory_channel[BroadcasterInbox](facts)
    lanes = {place: trio.open_memory_channel[CopierPoolInbox](6) for place in (NAS, OTHER)}
    monitors = {place: trio.open_memory_channel[ProbeNow](1) for place in (NAS, OTHER)}
    scheduler = Scheduler.start(a_config(*ROUTES), paused=["wav"])
    nursery.start_soon(lose_patience)
    nursery.start_soon(
        dispatcher.run,
        inbox_out,
        {place: ends[0] for place, ends in lanes.items()},
        {place: ends[0] for place, ends in monitors.items()},
        facts_in,
        scheduler,
    )
    return Ends(
        inbox_in,
        {place: ends[1] for place, ends in lanes.items()},
        facts_out,
        {place: ends[1] for place, ends in monitors.items()},
    )


async def test_visitors_hear_at_once_which_routes_are_paused(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = dispatch(nursery)
    assert await ends.facts.receive() == RouteState("mxf", paused=False)
    assert await ends.facts.receive() == RouteState("wav", paused=True)
    assert autojump_clock.current_time() == 0


async def test_each_order_goes_into_the_lane_of_its_destination(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = dispatch(nursery)
    await ends.inbox.send(usable(OTHER))
    assert await ends.lanes[OTHER].receive() == RecoverDestination(7)
    await ends.inbox.send(usable(NAS))
    assert await ends.lanes[NAS].receive() == RecoverDestination(7)
    await ends.inbox.send(ready(a_file("a")))
    assert await ends.lanes[NAS].receive() == Copy(a_file("a"), 1, 7)
    with pytest.raises(trio.WouldBlock):
        ends.lanes[OTHER].receive_nowait()
    assert autojump_clock.current_time() == 0


async def test_facts_are_told_before_the_orders_that_follow_from_them(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = dispatch(nursery, facts=0)
    for _ in ROUTES:
        await ends.facts.receive()
    await ends.inbox.send(usable(NAS))
    assert await ends.facts.receive() == usable(NAS)
    assert await ends.lanes[NAS].receive() == RecoverDestination(7)
    await ends.inbox.send(ready(a_file("a")))
    await wait_all_tasks_blocked()
    with pytest.raises(trio.WouldBlock):
        ends.lanes[NAS].receive_nowait()
    fact = await ends.facts.receive()
    assert isinstance(fact, StatusesChanged)
    assert [moved.status for moved in fact.moved] == [Status.IN_QUEUE, Status.COPYING]
    assert isinstance(await ends.lanes[NAS].receive(), Copy)
    assert autojump_clock.current_time() == 0


async def test_a_failed_attempt_is_repeated_when_its_time_has_come(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = dispatch(nursery)
    await ends.inbox.send(usable(NAS))
    await ends.inbox.send(ready(a_file("a")))
    assert [type(await ends.lanes[NAS].receive()) for _ in range(2)] == [RecoverDestination, Copy]
    await ends.inbox.send(AttemptFailed(a_file("a"), SOURCE_FAULT, at=1.0))
    assert await ends.lanes[NAS].receive() == Copy(a_file("a"), 2, 7)
    assert autojump_clock.current_time() == ROUTE.retry_delay_s


async def test_a_dispatcher_that_ends_closes_every_lane(autojump_clock: MockClock) -> None:
    with pytest.RaisesGroup(trio.EndOfChannel):
        async with trio.open_nursery() as nursery:
            ends = dispatch(nursery)
            ends.inbox.close()
    for lane in ends.lanes.values():
        with pytest.raises(trio.EndOfChannel):
            await lane.receive()
    assert autojump_clock.current_time() == 0


async def test_a_monitor_hears_of_an_outage_that_a_copy_met_and_is_never_waited_for(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = dispatch(nursery)
    assert autojump_clock.current_time() == 0
    await ends.inbox.send(usable(began_s=1.0))
    for began_s in (2.0, 3.0):
        file = a_file()
        await ends.inbox.send(ready(file))
        await ends.inbox.send(Interrupted(file, OUTAGE, 0, 1000.0))
        await ends.inbox.send(usable(began_s=began_s))
    await wait_all_tasks_blocked()
    assert ends.doubts[NAS].receive_nowait() == ProbeNow(OUTAGE)
    with pytest.raises(trio.WouldBlock):
        ends.doubts[NAS].receive_nowait()


async def test_a_lane_that_comes_is_used_and_its_ends_are_closed_when_it_goes(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = dispatch(nursery)
    guest = evolve(ROUTE, name="guest", destination="/guest")
    lane_in, lane_out = trio.open_memory_channel[CopierPoolInbox](6)
    doubts_in, doubts_out = trio.open_memory_channel[ProbeNow](1)
    plan = a_config(ROUTE).plan([guest])
    file = a_file("a", route="guest")
    for message in (
        ConnectDestination(plan, lane_in, doubts_in),
        AddRoute(guest),
        usable("/guest"),
        ready(file),
    ):
        await ends.inbox.send(message)
    assert [await lane_out.receive() for _ in range(2)] == [RecoverDestination(7), Copy(file, 1, 7)]
    await ends.inbox.send(RemoveRoute("guest"))
    assert await lane_out.receive() == CancelCopies((file.id,))
    await ends.inbox.send(Interrupted(file, None, 0, 1.0))
    assert await lane_out.receive() == AbortTransfer(file, 0, STOPPED, 7)
    for last in (Aborted(file, 1.0), RemoveDestination("/guest")):
        await ends.inbox.send(last)
    assert [order async for order in lane_out] == []
    assert [doubt async for doubt in doubts_out] == []
    assert autojump_clock.current_time() == 0


def ask(ends: Ends, command: Command) -> trio.MemoryReceiveChannel[CommandResult]:
    answer_in, answer_out = trio.open_memory_channel[CommandResult](1)
    ends.inbox.send_nowait(AskScheduler(command, answer_in))
    return answer_out


async def test_a_command_is_answered_once_its_status_changes_are_sent(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = dispatch(nursery, facts=0)
    for _ in ROUTES:
        await ends.facts.receive()
    answer = ask(ends, PauseRoute("mxf"))
    await wait_all_tasks_blocked()
    with pytest.raises(trio.WouldBlock):
        answer.receive_nowait()
    assert await ends.facts.receive() == RouteState("mxf", paused=True)
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
