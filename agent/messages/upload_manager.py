"""Messages to the upload manager."""

from attrs import frozen

from agent.messages.broadcaster import (
    RouteRemoved,
    StatusChanged,
    StatusesChanged,
    Untracked,
)
from agent.messages.dispatcher import DestinationState, SourceState, TransferProgress


@frozen
class UploadJobsChanged:
    """Upload jobs were added or stopped; the journal says which."""


UploadEvent = (
    StatusChanged
    | StatusesChanged
    | Untracked
    | TransferProgress
    | DestinationState
    | SourceState
    | RouteRemoved
)


UploadManagerInbox = UploadEvent | UploadJobsChanged
