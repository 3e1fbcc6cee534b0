"""Messages to a copier pool: the dispatcher's commands."""

from attrs import frozen

from agent.model.source_file import FileVersion


@frozen
class Copy:
    """Copy this file; `attempt` counts from 1 and is the last when it equals the route's maximum.

    `device`: the file system that the monitor has accepted at the destination.
    """

    file: FileVersion
    attempt: int
    device: int


@frozen
class CopyBatch:
    """Copy these small files of one route as a batch; none of them was tried before."""

    files: tuple[FileVersion, ...]
    device: int


@frozen
class Follow:
    """Copy what there is of this growing file, and its tail as it comes."""

    file: FileVersion
    device: int


@frozen
class AbortTransfer:
    """End the transfer for good and remove its partial; `error` None: its source has gone."""

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
    """Finish interrupted publications and remove orphans of ours."""

    device: int


CopierPoolInbox = Copy | CopyBatch | Follow | AbortTransfer | CancelCopies | RecoverDestination
