"""Messages that carry a channel, and the inboxes that take them. Pure files import none of these."""

from typing import TypeVar

import trio
from attrs import frozen

from agent.config.sections import DestinationPlan
from agent.messages.broadcaster import CounterIncremented, StatusEvent
from agent.messages.copier_pool import CopierPoolInbox
from agent.messages.dispatcher import Command, CommandResult, SchedulerInput
from agent.messages.storage_monitor import ProbeNow
from agent.messages.upload_manager import UploadManagerInbox
from agent.model.views import Feed, Snapshot

T = TypeVar("T")


def offer(channel: trio.MemorySendChannel[T], message: T) -> bool:
    """Send to somebody who may have gone away; False: they have, or their channel is full.

    Whoever asks or subscribes closes either end whenever they like. No actor may fail with them.
    """
    try:
        channel.send_nowait(message)
    except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
        return False
    return True


@frozen
class ConnectDestination:
    """A destination that no configured route has, and the ends to its copier pool and storage monitor."""

    plan: DestinationPlan
    copier_pool: trio.MemorySendChannel[CopierPoolInbox]
    storage_monitor: trio.MemorySendChannel[ProbeNow]


@frozen
class AskScheduler:
    """A command of the operator; the scheduler answers with what it did or why not.

    `answer` has room for one message; it is sent after the status changes that follow from the command.
    """

    command: Command
    answer: trio.MemorySendChannel[CommandResult]


DispatcherInbox = ConnectDestination | AskScheduler | SchedulerInput


@frozen
class Subscribe:
    """A new subscriber: the feed gets a Snapshot, then Updates; a slow one is closed."""

    feed: trio.MemorySendChannel[Feed]


@frozen
class GetSnapshot:
    """A request for one Snapshot."""

    answer: trio.MemorySendChannel[Snapshot]


@frozen
class SubscribeEvents:
    """The upload manager asks for every event that may be about a job, in order.

    The first ones are the states of all destinations. The channel has no bound and the manager only notes
    what arrives, so the broadcaster never waits.
    """

    events: trio.MemorySendChannel[UploadManagerInbox]


@frozen
class UnsubscribeEvents:
    """No upload job is left: the manager needs no more events."""


BroadcasterInbox = (
    StatusEvent | CounterIncremented | Subscribe | GetSnapshot | SubscribeEvents | UnsubscribeEvents
)
