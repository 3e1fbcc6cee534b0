"""The stability tracker of one route: takes in scans, reports the files that are ready, growing or gone."""

from collections.abc import Iterable
from contextlib import suppress
from typing import assert_never

import trio
from attrs import evolve

from agent.actors.stability_tracker.tracker import StabilityTracker
from agent.journal import history, routes, transfers
from agent.journal.client import JournalClient
from agent.journal.errors import JournalError
from agent.log import get_logger
from agent.messages.channels import BroadcasterInbox, DispatcherInbox
from agent.messages.dispatcher import Gone, Growing, MessageGroup, Ready, SourceState
from agent.messages.stability_tracker import (
    FilesRemoved,
    FoldersTried,
    ScanChunk,
    ScanResult,
    TrackerInbox,
)
from agent.messages.watcher import Examine, PutBack, RemoveFolders, WatcherInbox
from agent.model.names import removing_path, split_path
from agent.model.transfer import PriorResult

log = get_logger(__name__)
JOURNAL_RETRY_S = 1.0
TrackerMessage = Ready | Growing | Gone

GROUP_FILES = 250  # the dispatcher handles other messages in between


async def run(
    inbox: trio.MemoryReceiveChannel[TrackerInbox],
    watcher: trio.MemorySendChannel[WatcherInbox],
    dispatcher: trio.MemorySendChannel[DispatcherInbox],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    tracker: StabilityTracker,
    journal: JournalClient,
) -> None:
    """Events go out before messages to the dispatcher: the page knows a file before it is copied."""
    async with inbox, watcher, dispatcher, broadcaster:
        while True:
            message: TrackerInbox | None = None
            with trio.move_on_at(tracker.due_s()):
                message = await inbox.receive()
            match message:
                case FilesRemoved():
                    tracker.remove(message)
                case FoldersTried():
                    tracker.tried(message)
                case ScanChunk() | ScanResult():
                    empty_folders = await _report(tracker, message, dispatcher, broadcaster, journal)
                    if empty_folders:
                        await _remove_folders(tracker.route.name, empty_folders, watcher, journal)
                    if isinstance(message, ScanResult) and message.private_paths:
                        await _put_back_unknown(tracker.route.name, message.private_paths, watcher, journal)
                case None:
                    pass
                case _ as never:
                    assert_never(never)
            paths = await _due(tracker)
            if paths:
                with suppress(trio.WouldBlock):  # never wait for a higher rank; due again after `scan_s`
                    watcher.send_nowait(Examine(paths))


async def _report(
    tracker: StabilityTracker,
    scan: ScanChunk | ScanResult,
    dispatcher: trio.MemorySendChannel[DispatcherInbox],
    broadcaster: trio.MemorySendChannel[BroadcasterInbox],
    journal: JournalClient,
) -> tuple[str, ...]:
    """Pass on what follows from a scan; returns the folders to remove."""
    decisions = tracker.scanned(scan)
    for held in decisions.first_unseen:
        log.warning(
            "held, its writers cannot be seen", route=tracker.route.name, file=held.path, why=held.why
        )
    for event in decisions.events:
        await broadcaster.send(event)
        if isinstance(event, SourceState):
            await dispatcher.send(event)
    messages = await _with_prior_results(tracker.route.name, decisions.messages, journal)
    for start in range(0, len(messages), GROUP_FILES):
        some = tuple(messages[start : start + GROUP_FILES])
        await dispatcher.send(MessageGroup(some) if len(some) > 1 else some[0])
    return decisions.empty_folders


async def _remove_folders(
    route: str,
    folders: tuple[str, ...],
    watcher: trio.MemorySendChannel[WatcherInbox],
    journal: JournalClient,
) -> None:
    """Unless the operator has paused the route."""
    with suppress(JournalError, trio.WouldBlock):  # they are due again after the next scan
        if route not in await journal.read_latest(routes.paused):
            watcher.send_nowait(RemoveFolders(folders))


async def _put_back_unknown(
    route: str,
    private_paths: tuple[str, ...],
    watcher: trio.MemorySendChannel[WatcherInbox],
    journal: JournalClient,
) -> None:
    """Sources with private names that no transfer has: of a lost journal, or of a worker that was stuck.

    One that was moved with its folder while it is being removed is still known by its name.
    """
    with suppress(JournalError, trio.WouldBlock):  # the next scan finds them again
        partials = await journal.read_latest(transfers.partials_of_published, route)
        known = {
            split_path(removing_path(journal.identity, path, partial))[1]
            for path, partial in partials.items()
        }
        unknown = tuple(path for path in private_paths if split_path(path)[1] not in known)
        if unknown:
            watcher.send_nowait(PutBack(unknown))


async def _due(tracker: StabilityTracker) -> tuple[str, ...]:
    """The files to examine now; other tasks run in between where there are many."""
    now_s = trio.current_time()
    due: list[str] = []
    while some := tracker.due_paths(now_s):
        due += some
        await trio.lowlevel.checkpoint()
    return tuple(due)


async def _with_prior_results(
    route: str, messages: Iterable[TrackerMessage], journal: JournalClient
) -> list[TrackerMessage]:
    """Add the journal's prior results of files that are ready: without them nothing may be transferred."""
    ready = tuple(message.file.path for message in messages if isinstance(message, Ready))
    known = await _prior_results(route, ready, journal)
    return [
        evolve(message, prior_result=known.get(message.file.path)) if isinstance(message, Ready) else message
        for message in messages
    ]


async def _prior_results(
    route: str, paths: tuple[str, ...], journal: JournalClient
) -> dict[str, PriorResult]:
    is_logged = False
    while paths:
        try:
            results = await journal.read_latest(history.prior_results, route, paths)
            return {each.path: each for each in results}
        except JournalError as error:
            if not is_logged:
                log.warning("the journal cannot be read, files wait", route=route, error=str(error))
            is_logged = True
            await trio.sleep(JOURNAL_RETRY_S)
    return {}
