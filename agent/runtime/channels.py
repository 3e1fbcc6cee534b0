"""Every channel between actors is made here."""

import math
from typing import TypeVar

import trio

from agent.config.sections import DestinationPlan
from agent.messages.channels import BroadcasterInbox, DispatcherInbox
from agent.messages.copier_pool import CopierPoolInbox
from agent.messages.stability_tracker import TrackerInbox
from agent.messages.storage_monitor import ProbeNow
from agent.messages.upload_manager import UploadManagerInbox
from agent.messages.watcher import WatcherInbox

BROADCASTER_CAPACITY = 256
DISPATCHER_CAPACITY = 64
WATCHER_CAPACITY = 64

M = TypeVar("M")
Channel = tuple[trio.MemorySendChannel[M], trio.MemoryReceiveChannel[M]]


# The inbox of each actor. A sender waits while it is full, unless its comment says otherwise.


def open_broadcaster_inbox() -> Channel[BroadcasterInbox]:
    """From all actors, control and the supervisor; it outlives generations."""
    return trio.open_memory_channel[BroadcasterInbox](BROADCASTER_CAPACITY)


def open_dispatcher_inbox() -> Channel[DispatcherInbox]:
    """From trackers, copy tasks, monitors, watchers, the upload manager and control."""
    return trio.open_memory_channel[DispatcherInbox](DISPATCHER_CAPACITY)


def open_watcher_inbox() -> Channel[WatcherInbox]:
    """From the watcher's own listener, and from the tracker, which never waits."""
    return trio.open_memory_channel[WatcherInbox](WATCHER_CAPACITY)


def open_tracker_inbox() -> Channel[TrackerInbox]:
    """From the watcher, which scans no further than the tracker has read, and from copy tasks."""
    return trio.open_memory_channel[TrackerInbox](0)


def open_copier_pool_inbox(plan: DestinationPlan) -> Channel[CopierPoolInbox]:
    """From the dispatcher, which never waits: there is room for all that it may send.

    That is each copy and each followed file with its cancellation, one for all of them, and a recovery.
    """
    return trio.open_memory_channel[CopierPoolInbox](4 * plan.workers + 2)


def open_storage_monitor_inbox() -> Channel[ProbeNow]:
    """From the dispatcher, which never waits: one request to probe is enough."""
    return trio.open_memory_channel[ProbeNow](1)


def open_upload_manager_inbox() -> Channel[UploadManagerInbox]:
    """From control and the broadcaster, which never wait: the manager only notes what arrives."""
    return trio.open_memory_channel[UploadManagerInbox](math.inf)


def open_reload_requests() -> Channel[None]:
    """From control to the supervisor, which reads the configuration again; one request is enough."""
    return trio.open_memory_channel[None](1)
