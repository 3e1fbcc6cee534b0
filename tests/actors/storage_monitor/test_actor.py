"""A storage monitor alone: what its probes find, and what it makes of it."""

from typing import Self

import pytest
import trio
from attrs import evolve, frozen
from trio.testing import MockClock, wait_all_tasks_blocked

from agent.actors.storage_monitor import actor as storage_monitor
from agent.actors.storage_monitor.availability import AvailabilityTracker
from agent.messages.channels import DispatcherInbox
from agent.messages.dispatcher import DestinationState
from agent.messages.storage_monitor import ProbeNow
from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.names import has_our_tag
from agent.protocol.replies import Probed
from agent.protocol.requests import ProbeDestination
from tests.actors.samples import PLAN as ANY_PLAN
from tests.fakes import SILENCE, FakeJournal, FakeWorkers, lose_patience
from tests.samples import IDENTITY, NAS, OUTAGE

PLAN = evolve(ANY_PLAN, probe_s=5.0, probe_timeout_s=10.0, marker="here")
SHORTAGE = Fault(FaultKind.SHORTAGE, "this machine is short of memory")
WELL = Probed(device=7, mount_point="/nas", free_bytes=5, total_bytes=9)


@frozen
class Bench:
    states: trio.MemoryReceiveChannel[DispatcherInbox]
    to_monitor: trio.MemorySendChannel[ProbeNow]
    journal: FakeJournal
    workers: FakeWorkers

    @classmethod
    def open(
        cls, nursery: trio.Nursery, clock: MockClock, known: str | None = None, *, has_marker: bool = False
    ) -> Self:
        journal, workers = FakeJournal(), FakeWorkers(clock)
        states_in, states_out = trio.open_memory_channel[DispatcherInbox](0)
        doubts_in, doubts_out = trio.open_memory_channel[ProbeNow](1)
        reach = AvailabilityTracker(NAS, has_marker, PLAN.probe_s, known)
        workers.script(ProbeDestination, WELL)
        nursery.start_soon(lose_patience)
        nursery.start_soon(storage_monitor.run, doubts_out, states_in, PLAN, reach, journal, workers)
        return cls(states_out, doubts_in, journal, workers)

    async def next(self) -> DestinationState:
        state = await self.states.receive()
        assert isinstance(state, DestinationState)
        return state


async def test_a_destination_is_probed_at_once_and_then_in_every_interval(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    state = await bench.next()
    assert (state.reason, state.free_bytes, state.total_bytes, state.device) == (None, 5, 9, 7)
    await bench.next()
    assert bench.workers.times(ProbeDestination) == [0, PLAN.probe_s]


async def test_only_where_it_is_not_known_to_be_usable_is_a_file_written(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(ProbeDestination, WELL, OUTAGE, WELL)
    for _ in range(4):
        await bench.next()
    probes = [request for _, request in bench.workers.asked if isinstance(request, ProbeDestination)]
    assert [probe.marker for probe in probes] == ["here"] * 4
    first, look, second, last_look = [probe.try_writing for probe in probes]
    assert look is last_look is None
    assert first != second
    assert has_our_tag(IDENTITY, first or "")
    assert has_our_tag(IDENTITY, second or "")


async def test_an_outage_has_the_reason_of_the_fault_and_its_beginning_and_end_are_logged(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(ProbeDestination, WELL, OUTAGE, OUTAGE, WELL)
    states = [await bench.next() for _ in range(4)]
    assert [state.reason for state in states] == [None, OutageReason.IO_ERROR, OutageReason.IO_ERROR, None]
    assert states[1].detail == OUTAGE.detail
    assert states[1].since_at == states[2].since_at
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_names_that_are_not_protected_are_told_once(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    weak = evolve(WELL, publish_strategy="placeholder")
    bench.workers.script(ProbeDestination, weak, WELL, OUTAGE, weak)
    for _ in range(4):
        await bench.next()
    told = [record for record in caplog.records if "names are not protected" in record.getMessage()]
    assert [record.levelname for record in told] == ["WARNING"]
    request = next(each for _, each in bench.workers.asked if isinstance(each, ProbeDestination))
    assert has_our_tag(IDENTITY, request.try_publishing or "")


async def test_no_answer_in_time_means_hung(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(ProbeDestination, SILENCE, WELL)
    state = await bench.next()
    assert (state.reason, state.detail) == (OutageReason.HUNG, "no answer within 10 s")
    assert (state.began_s, trio.current_time()) == (0, PLAN.probe_timeout_s)
    assert (await bench.next()).reason is None


async def test_a_worker_that_dies_leaves_the_destination_unreachable(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(ProbeDestination, Fault(FaultKind.WORKER, "worker process 1 died"))
    assert (await bench.next()).reason is OutageReason.UNREACHABLE


async def test_a_mount_is_remembered_when_it_is_first_seen_and_when_it_changes(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    moved = evolve(WELL, mount_point="/elsewhere")
    bench.workers.script(ProbeDestination, OUTAGE, WELL, WELL, moved)
    seen = []
    for _ in range(4):
        await bench.next()
        seen.append(dict(bench.journal.mounts))
    assert seen == [{}, {NAS: "/nas"}, {NAS: "/nas"}, {NAS: "/elsewhere"}]
    assert bench.journal.diary == ["routes.remember_mount"] * 2


async def test_a_mount_that_is_known_already_is_not_remembered_again(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock, known="/nas")
    await bench.next()
    assert bench.journal.diary == []


async def test_the_folder_below_a_mount_that_is_gone_is_not_the_destination(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock, known="/nas")
    bench.workers.script(ProbeDestination, evolve(WELL, mount_point="/"))
    assert (await bench.next()).reason is OutageReason.UNMOUNTED
    assert bench.journal.diary == []


async def test_a_mount_that_could_not_be_written_down_is_tried_again_and_stops_nobody(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.journal.broken.add("routes.remember_mount")
    assert (await bench.next()).reason is None
    bench.journal.broken.clear()
    await bench.next()
    assert bench.journal.mounts == {NAS: "/nas"}


async def test_a_doubt_is_looked_into_at_once_by_writing(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    await bench.next()
    await trio.sleep(1.0)
    await bench.to_monitor.send(ProbeNow(OUTAGE))
    assert (await bench.next()).reason is None
    assert bench.workers.times(ProbeDestination) == [0.0, 1.0]
    probes = [request for _, request in bench.workers.asked if isinstance(request, ProbeDestination)]
    assert all(probe.try_writing is not None for probe in probes)


async def test_a_fault_that_may_be_a_files_own_is_looked_into_by_writing_and_is_no_outage(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(ProbeDestination, WELL, SHORTAGE, WELL)
    await bench.next()
    await trio.sleep(1.0)
    await bench.to_monitor.send(ProbeNow(None))
    assert (await bench.next()).reason is None
    await bench.next()
    assert bench.workers.times(ProbeDestination) == [0.0, 1.0, 6.0, 11.0]
    probes = [request for _, request in bench.workers.asked if isinstance(request, ProbeDestination)]
    assert [probe.try_writing is not None for probe in probes] == [True, True, True, False]
    assert caplog.records == []


async def test_an_outage_that_only_copies_met_is_logged_with_its_end(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    bench = Bench.open(nursery, autojump_clock)
    await bench.next()
    await bench.to_monitor.send(ProbeNow(OUTAGE))
    await bench.next()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert autojump_clock.current_time() == 0.0


async def test_probes_come_more_seldom_while_an_outage_lasts(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(ProbeDestination, OUTAGE)
    for _ in range(7):
        await bench.next()
    assert bench.workers.times(ProbeDestination) == [0.0, 5.0, 15.0, 35.0, 75.0, 135.0, 195.0]


async def test_a_monitor_whose_dispatcher_has_fallen_leaves_the_word_to_it(autojump_clock: MockClock) -> None:
    with trio.fail_after(1.0):
        async with trio.open_nursery() as nursery:
            bench = Bench.open(nursery, autojump_clock)
            await bench.next()
            bench.to_monitor.close()
            await wait_all_tasks_blocked()
            assert bench.states.statistics().open_send_channels == 0
            nursery.cancel_scope.cancel()


async def test_a_shortage_of_this_machine_says_nothing_about_the_destination(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    bench = Bench.open(nursery, autojump_clock)
    bench.workers.script(ProbeDestination, WELL, SHORTAGE, SHORTAGE, WELL)
    states = [await bench.next() for _ in range(2)]
    assert [state.reason for state in states] == [None, None]
    assert len(bench.workers.times(ProbeDestination)) == 4
