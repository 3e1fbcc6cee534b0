"""The stability tracker of one route: takes in scans, reports the files that are ready, growing or gone."""

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import assert_never

import trio
from attrs import define, evolve

from agent.actors.stability_tracker.tracked_file import TrackerDecisions
from agent.actors.stability_tracker.tracker import StabilityTracker
from agent.journal import history, routes, transfers
from agent.journal.client import JournalClient
from agent.journal.errors import JournalError
from agent.log import get_logger
from agent.messages.channels import BroadcasterInbox, DispatcherInbox
from agent.messages.dispatcher import Gone, Growing, MessageGroup, Ready, SourceState
from agent.messages.stability_tracker import (
    FilesRemoved,
    FilesUnfinished,
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
    """Runs until it is cancelled."""
    report = Reports(tracker.route.name, dispatcher, broadcaster, journal)
    async with inbox, watcher, dispatcher, broadcaster:
        while True:
            message: TrackerInbox | None = None
            with trio.move_on_at(tracker.due_s()):
                message = await inbox.receive()
            match message:
                case FilesRemoved():
                    tracker.remove(message)
                case FilesUnfinished():
                    await report.send(tracker.unfinished(message))
                case FoldersTried():
                    tracker.tried(message)
                case ScanChunk() | ScanResult():
                    decisions = tracker.scanned(message)
                    await report.send(decisions)
                    if decisions.empty_folders:
                        await _remove_folders(tracker.route.name, decisions.empty_folders, watcher, journal)
                    if isinstance(message, ScanResult) and message.private_paths:
                        await _put_back_unknown(tracker.route.name, message.private_paths, watcher, journal)
                case None:
                    pass
                case _ as never:
                    assert_never(never)
            paths = await _report_due(tracker, report)
            if paths:
                with suppress(trio.WouldBlock):  # never wait for a higher rank; due again after `scan_s`
                    watcher.send_nowait(Examine(paths))


@define(eq=False)
class Reports:
    """Passes decisions on. Events go out first: the page knows a file before it is copied."""

    _route: str
    _dispatcher: trio.MemorySendChannel[DispatcherInbox]
    _broadcaster: trio.MemorySendChannel[BroadcasterInbox]
    _journal: JournalClient

    async def send(self, decisions: TrackerDecisions) -> None:
        for held in decisions.first_unseen:
            log.warning("held, its writers cannot be seen", route=self._route, file=held.path, why=held.why)
        for event in decisions.events:
            await self._broadcaster.send(event)
            if isinstance(event, SourceState):
                await self._dispatcher.send(event)
        await self.send_files(decisions.messages)

    async def send_files(self, messages: Iterable[TrackerMessage]) -> None:
        known = await _with_prior_results(self._route, messages, self._journal)
        for start in range(0, len(known), GROUP_FILES):
            some = tuple(known[start : start + GROUP_FILES])
            await self._dispatcher.send(MessageGroup(some) if len(some) > 1 else some[0])


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


async def _report_due(tracker: StabilityTracker, report: Reports) -> tuple[str, ...]:
    """Report the files that are ready; return those to examine. Other tasks run in between where many are."""
    now_s, at = trio.current_time(), time.time()
    paths: list[str] = []
    while True:
        due = tracker.due_files(now_s, at)
        if not due.paths and not due.ready:
            return tuple(paths)
        paths += due.paths
        await report.send_files(due.ready)
        await trio.lowlevel.checkpoint()


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
