"""Every message that travels between actors, and each inbox's union. No behaviour.

`*_s` on a monotonic clock unless the name says `at`: `*_at` is wall time in seconds since the epoch.
Paths are relative to the route's source, separated by "/", with undecodable bytes as surrogates (PEP 383).
"""

from attrs import frozen

from agent.messages.dispatching import (
    Abandoned,
    Advanced,
    Cancel,
    CaughtUp,
    DispatcherInbox,
    Done,
    Failed,
    Interrupted,
    PauseRoute,
    ResumeRoute,
    Retry,
    SourceReach,
    StorageState,
)
from agent.messages.facts import (
    BroadcasterInbox,
    ConfigRejected,
    Counted,
    Crashed,
    Forgotten,
    GenerationStarted,
    JournalRenewed,
    JournalState,
    Moved,
    Moves,
    Progress,
    RouteState,
    SourceState,
    Subscribe,
    Swept,
)
from agent.messages.lanes import (
    Abandon,
    Copy,
    Doubt,
    Follow,
    Halt,
    LaneMessage,
    Sweep,
)
from agent.messages.sources import (
    Gone,
    Growing,
    Hint,
    Listening,
    Look,
    Ready,
    Scan,
    StabilityInbox,
    WatcherInbox,
)

__all__ = [
    "Abandon",
    "Abandoned",
    "Advanced",
    "BroadcasterInbox",
    "Cancel",
    "CaughtUp",
    "ConfigRejected",
    "Copy",
    "Counted",
    "Crashed",
    "DispatcherInbox",
    "Done",
    "Doubt",
    "Failed",
    "Follow",
    "Forgotten",
    "GenerationStarted",
    "Gone",
    "Growing",
    "Halt",
    "Hint",
    "Interrupted",
    "JournalRenewed",
    "JournalState",
    "LaneMessage",
    "Listening",
    "Look",
    "Moved",
    "Moves",
    "PauseRoute",
    "Progress",
    "Ready",
    "Reload",
    "ResumeRoute",
    "Retry",
    "RouteState",
    "Scan",
    "SourceReach",
    "SourceState",
    "StabilityInbox",
    "StorageState",
    "Subscribe",
    "Sweep",
    "Swept",
    "WatcherInbox",
]


@frozen
class Reload:
    """Read the configuration again."""
