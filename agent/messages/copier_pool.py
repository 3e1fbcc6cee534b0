"""What the dispatcher orders at a destination."""

from attrs import frozen

from agent.model.source_file import FileVersion


@frozen
class Copy:
    """Carry this file over; `attempt` counts from 1 and is the last when it equals the route's maximum.

    `device`: the file system that the monitor has accepted at the destination.
    """

    file: FileVersion
    attempt: int
    device: int


@frozen
class CopyBatch:
    """Carry these small files of one route over together, none of which was tried before."""

    files: tuple[FileVersion, ...]
    device: int


@frozen
class Follow:
    """Copy what stands of this growing file, and its tail as it comes."""

    file: FileVersion
    device: int


@frozen
class AbortTransfer:
    """Put the transfer away for good and remove its partial; `error` None: its source vanished, forget it."""

    file: FileVersion
    attempts: int
    error: str | None
    device: int


@frozen
class CancelCopies:
    """Stop these running copies (None: all of them) by killing their workers."""

    file_ids: tuple[str, ...] | None = None


@frozen
class RecoverDestination:
    """Finish what is half-published and remove orphans of ours."""

    device: int


CopierPoolInbox = Copy | CopyBatch | Follow | AbortTransfer | CancelCopies | RecoverDestination
