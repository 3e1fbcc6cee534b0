"""The steps of a simulated writer: one file operation each, at its time.

`at_s` counts from the start of the run. Paths are relative to the folder. Offsets and lengths are bytes.
"""

from typing import Literal

from attrs import frozen

from agent.simulate.content import Content

Allocation = Literal["none", "truncate", "fallocate", "keep-size"]


@frozen
class WriteStep:
    at_s: float
    path: str


@frozen
class Create(WriteStep):
    """Make a file that must not exist, and open it for writing."""


@frozen
class Open(WriteStep):
    """Open a file that exists for writing, as it is."""


@frozen
class Write(WriteStep):
    """Write bytes at an offset; `mapped`: through a shared memory mapping of the file."""

    offset: int
    content: Content
    mapped: bool = False


@frozen
class Allocate(WriteStep):
    """Allocate size and storage (`fallocate`), size alone (`truncate`) or storage alone (`keep-size`)."""

    length: int
    way: Allocation


@frozen
class Truncate(WriteStep):
    """Cut the file to a size."""

    length: int


@frozen
class Sync(WriteStep):
    """Flush the file to stable storage (fsync)."""


@frozen
class Stamp(WriteStep):
    """Set the file's times to `age_s` before now."""

    age_s: float


@frozen
class Close(WriteStep):
    """Close the file; `crashed`: because the writer died."""

    crashed: bool = False


@frozen
class Rename(WriteStep):
    """Rename the file to `to`; `replacing`: over an existing file."""

    to: str
    replacing: bool = False


@frozen
class Remove(WriteStep):
    """Delete the file."""
