import pytest
import trio
from attrs import evolve, frozen
from trio.testing import MockClock, wait_all_tasks_blocked

from agent.actors.stability_tracker import actor as stability_tracker
from agent.actors.stability_tracker.actor import GROUP_FILES
from agent.actors.stability_tracker.tracker import StabilityTracker
from agent.config.sections import Route
from agent.journal import routes
from agent.messages.broadcaster import StatusesChanged
from agent.messages.channels import BroadcasterInbox, DispatcherInbox
from agent.messages.dispatcher import Gone, MessageGroup, Ready, SourceState
from agent.messages.stability_tracker import FilesRemoved, FilesUnfinished, FoldersTried, TrackerInbox
from agent.messages.watcher import Examine, PutBack, RemoveFolders, WatcherInbox
from agent.model.names import removing_path
from tests.actors.samples import PUBLISHED, drained
from tests.fakes import FakeJournal, lose_patience
from tests.samples import CLOSED, IDENTITY, LARGE_BYTES, ROUTE, a_file, a_look, a_scan, an_entry, kept_before

A_ROUTE = evolve(ROUTE, stable_s=10.0, scan_s=4.0)


@frozen
class Ends:
    scans: trio.MemorySendChannel[TrackerInbox]
    looks: trio.MemoryReceiveChannel[WatcherInbox]
    orders: trio.MemoryReceiveChannel[DispatcherInbox]
    facts: trio.MemoryReceiveChannel[BroadcasterInbox]

    async def order(self) -> DispatcherInbox:
        """The next message to the dispatcher about files."""
        while isinstance(message := await self.orders.receive(), SourceState):
            pass
        return message

    @property
    def has_order(self) -> bool:
        return any(not isinstance(message, SourceState) for message in drained(self.orders))


def track(
    nursery: trio.Nursery,
    journal: FakeJournal | None = None,
    *,
    looks: int = 64,
    facts: int = 64,
    route: Route = A_ROUTE,
) -> Ends:
    scans_in, scans_out = trio.open_memory_channel[TrackerInbox](0)
    looks_in, looks_out = trio.open_memory_channel[WatcherInbox](looks)
    orders_in, orders_out = trio.open_memory_channel[DispatcherInbox](64)
    facts_in, facts_out = trio.open_memory_channel[BroadcasterInbox](facts)
    tracker = StabilityTracker(route)
    nursery.start_soon(lose_patience)
    nursery.start_soon(
        stability_tracker.run, scans_out, looks_in, orders_in, facts_in, tracker, journal or FakeJournal()
    )
    return Ends(scans_in, looks_out, orders_out, facts_out)


async def test_a_file_that_stood_still_is_looked_at_and_then_ready(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = track(nursery)
    await ends.scans.send(a_scan(an_entry("a", LARGE_BYTES)))
    assert await ends.looks.receive() == Examine(("a",))
    assert autojump_clock.current_time() == A_ROUTE.stable_s
    await ends.scans.send(a_look(an_entry("a", LARGE_BYTES, evidence=CLOSED), began_s=10.0))
    message = await ends.order()
    assert isinstance(message, Ready)
    assert message.file.path == "a"


async def test_a_small_file_that_stood_still_is_ready_unexamined_and_taken_back_if_its_copy_refuses_it(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = track(nursery)
    await ends.scans.send(a_scan(an_entry("a")))
    ready = await ends.order()
    assert isinstance(ready, Ready)
    assert ready.file.finish_rule is not None
    assert autojump_clock.current_time() == A_ROUTE.stable_s
    await ends.scans.send(FilesUnfinished(((ready.file, None),), 10.0, 1010.0))
    assert await ends.looks.receive() == Examine(("a",))
    assert autojump_clock.current_time() == A_ROUTE.stable_s


async def test_many_that_are_ready_at_once_are_said_at_once_but_not_all_of_a_multitude(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = track(nursery)
    names = [f"{number:03}" for number in range(GROUP_FILES + 5)]
    await ends.scans.send(a_scan(*map(an_entry, names)))
    await ends.scans.send(
        a_look(*(an_entry(name, evidence=CLOSED) for name in names), began_s=A_ROUTE.stable_s)
    )
    said = [await ends.order() for _ in range(2)]
    assert [len(each.messages) for each in said if isinstance(each, MessageGroup)] == [GROUP_FILES, 5]
    files = [order.file.path for each in said if isinstance(each, MessageGroup) for order in each.messages]
    assert files == names
    assert autojump_clock.current_time() == 0


async def test_what_the_journal_knows_of_a_file_comes_along_when_it_is_ready(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    journal = FakeJournal([])
    file = a_file("a", discovered_at=1000.0)
    journal.remember_result(kept_before(file))
    ends = track(nursery, journal)
    await ends.scans.send(a_scan(an_entry("a"), an_entry("b")))
    looked = [an_entry(name, evidence=CLOSED) for name in ("a", "b")]
    await ends.scans.send(a_look(*looked, began_s=10.0))
    first, second = (
        Ready(file, 1010.0, kept_before(file)),
        Ready(a_file("b", discovered_at=1000.0), 1010.0),
    )
    assert await ends.order() == MessageGroup((first, second))
    assert journal.diary == ["history.prior_results"]
    assert autojump_clock.current_time() == 0


async def test_while_the_journal_cannot_be_read_nothing_is_ready_and_that_is_said_once(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    journal = FakeJournal()
    journal.broken.add("history.prior_results")
    ends = track(nursery, journal)
    await ends.scans.send(a_scan(an_entry("a")))
    await ends.scans.send(a_look(an_entry("a", evidence=CLOSED), began_s=10.0))
    await trio.sleep(3.5 * stability_tracker.JOURNAL_RETRY_S)
    assert not ends.has_order
    assert len(caplog.records) == 1
    journal.broken.clear()
    assert isinstance(await ends.order(), Ready)
    assert autojump_clock.current_time() == 4 * stability_tracker.JOURNAL_RETRY_S


async def test_the_dispatcher_and_the_page_learn_that_the_source_was_scanned(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = track(nursery)
    await ends.scans.send(a_look(began_s=1.0))
    await ends.scans.send(a_scan(began_s=2.0))
    state = SourceState("mxf", None, 2.0, 1002.0, 5)
    assert await ends.orders.receive() == state
    assert await ends.facts.receive() == state
    assert autojump_clock.current_time() == 0


async def test_a_source_with_a_private_name_that_no_transfer_has_is_put_back(nursery: trio.Nursery) -> None:
    known = removing_path(IDENTITY, PUBLISHED.path, PUBLISHED.partial)
    unknown = removing_path(IDENTITY, "b.mxf", PUBLISHED.partial)
    ends = track(nursery, FakeJournal(None, PUBLISHED), looks=1)
    await ends.scans.send(evolve(a_scan(), private_paths=(known,)))
    await ends.scans.send(evolve(a_scan(), private_paths=(known, unknown)))
    assert await ends.looks.receive() == PutBack((unknown,))


async def test_a_private_name_of_a_running_removal_is_known_in_whatever_folder(
    nursery: trio.Nursery,
) -> None:
    running = evolve(PUBLISHED, path="day/a.mxf")
    known = removing_path(IDENTITY, running.path, running.partial)
    moved = known.replace("day/", "day_ok/")
    ended = removing_path(IDENTITY, "day/b.mxf", ".b.partial").replace("day/", "day_ok/")
    ends = track(nursery, FakeJournal(None, running), looks=1)
    await ends.scans.send(evolve(a_scan(), private_paths=(moved, ended)))
    assert await ends.looks.receive() == PutBack((ended,))


EMPTYING = evolve(A_ROUTE, remove_empty_folders=True)
DAY = FilesRemoved((a_file("day/a.mxf"),), removed_s=1.0)


async def emptied(ends: Ends, began_s: float) -> list[WatcherInbox]:
    """What the watcher is asked after a scan that finds nothing."""
    await ends.scans.send(a_scan(began_s=began_s))
    await wait_all_tasks_blocked()
    return drained(ends.looks)


async def test_a_folder_that_we_emptied_is_removed_unless_its_route_is_paused(nursery: trio.Nursery) -> None:
    journal = FakeJournal()
    ends = track(nursery, journal, route=EMPTYING)
    await ends.scans.send(DAY)
    await journal.write(routes.set_paused, EMPTYING.name, paused=True)
    assert await emptied(ends, began_s=20.0) == []
    await journal.write(routes.set_paused, EMPTYING.name, paused=False)
    journal.fails_next = ["routes.paused"]
    assert await emptied(ends, began_s=30.0) == []
    assert await emptied(ends, began_s=40.0) == [RemoveFolders(("day",))]
    await ends.scans.send(FoldersTried(("day",), ("day",), 41.0, 42.0))
    assert await emptied(ends, began_s=90.0) == []


async def test_without_the_key_no_folder_is_removed(nursery: trio.Nursery) -> None:
    ends = track(nursery)
    await ends.scans.send(DAY)
    assert await emptied(ends, began_s=1000.0) == []


async def test_what_cannot_be_put_back_now_is_so_after_the_next_scan(nursery: trio.Nursery) -> None:
    journal, unknown = FakeJournal(), removing_path(IDENTITY, "b.mxf", PUBLISHED.partial)
    journal.fails_next = ["partials_of_published"]
    ends = track(nursery, journal, looks=1)
    put_back = []
    for _ in range(3):  # the journal is broken; then it is sent; then the watcher's inbox is full
        await ends.scans.send(evolve(a_scan(), private_paths=(unknown,)))
        await wait_all_tasks_blocked()
        put_back.append(ends.looks.statistics().current_buffer_used)
    assert put_back == [0, 1, 1]
    assert drained(ends.looks) == [PutBack((unknown,))]


async def test_a_ready_file_that_left_is_gone(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    ends = track(nursery)
    await ends.scans.send(a_scan(an_entry("a")))
    await ends.scans.send(a_look(an_entry("a", evidence=CLOSED), began_s=10.0))
    await ends.scans.send(a_scan(began_s=12.0))
    messages = [await ends.order() for _ in range(2)]
    assert [type(message) for message in messages] == [Ready, Gone]
    assert autojump_clock.current_time() == 0


async def test_a_watcher_that_takes_nothing_holds_nobody_up_and_is_asked_again(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = track(nursery, looks=0)
    await ends.scans.send(a_scan(an_entry("a", LARGE_BYTES)))
    await trio.sleep(A_ROUTE.stable_s + 1)  # the look was due and could not be told
    await ends.scans.send(a_scan(an_entry("a", LARGE_BYTES), began_s=11.0))
    assert await ends.looks.receive() == Examine(("a",))
    assert autojump_clock.current_time() == A_ROUTE.stable_s + A_ROUTE.scan_s


async def test_the_page_knows_a_file_before_the_dispatcher_does(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ends = track(nursery, facts=0)
    async with trio.open_nursery() as senders:
        senders.start_soon(ends.scans.send, a_scan(an_entry("a")))
        await wait_all_tasks_blocked()
        senders.start_soon(ends.scans.send, a_look(an_entry("a", evidence=CLOSED), began_s=10.0))
        await wait_all_tasks_blocked()
        assert not ends.has_order  # the event has not been taken yet
        first = [await ends.facts.receive(), await ends.facts.receive()]
    assert [type(fact) for fact in first] == [StatusesChanged, SourceState]
    assert isinstance(await ends.order(), Ready)
    assert autojump_clock.current_time() == 0
