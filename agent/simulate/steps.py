"""What a simulated writer does to a folder, one operation after the other, each at its time.

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
    """Put bytes at an offset; `mapped`: through a shared memory mapping of the file."""

    offset: int
    content: Content
    mapped: bool = False


@frozen
class Allocate(WriteStep):
    """Make room: the size at once, with storage (`fallocate`) or without (`truncate`), or storage alone."""

    length: int
    way: Allocation


@frozen
class Truncate(WriteStep):
    """Cut the file to a size."""

    length: int


@frozen
class Sync(WriteStep):
    """Bring the file to stable storage."""


@frozen
class Stamp(WriteStep):
    """Set the times of the file to what they were `age_s` ago."""

    age_s: float


@frozen
class Close(WriteStep):
    """Let go of the file; `crashed`: because the writer died."""

    crashed: bool = False


@frozen
class Rename(WriteStep):
    """Give the file another name, and replace what has it if `replacing`."""

    to: str
    replacing: bool = False


@frozen
class Remove(WriteStep):
    """Take the name away."""
