"""What the dispatcher orders at a destination."""

from attrs import frozen

from agent.faults import Fault
from agent.terms import SourceFile


@frozen
class Doubt:
    """A copy met an outage that the storage monitor has not seen: probe now."""

    fault: Fault


@frozen
class Copy:
    """Carry this file over; `attempt` counts from 1 and is the last when it equals the route's maximum.

    `device`: the file system that the monitor has accepted at the destination.
    """

    file: SourceFile
    attempt: int
    device: int


@frozen
class CopyLot:
    """Carry these small files of one route over together, none of which was tried before."""

    files: tuple[SourceFile, ...]
    device: int


@frozen
class Follow:
    """Copy what stands of this growing file, and its tail as it comes."""

    file: SourceFile
    device: int


@frozen
class Abandon:
    """Put the transfer away for good and remove its partial; `error` None: its source vanished, forget it."""

    file: SourceFile
    attempts: int
    error: str | None
    device: int


@frozen
class Halt:
    """Stop these running copies (None: all of them) by killing their workers."""

    file_ids: tuple[str, ...] | None = None


@frozen
class Sweep:
    """Finish what is half-published and remove orphans of ours."""

    device: int


LaneMessage = Copy | CopyLot | Follow | Abandon | Halt | Sweep
