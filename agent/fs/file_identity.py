"""The identity of a file: whether what has a name now is the very file that was verified, unaltered."""

import os
from typing import Self

from attrs import astuple, frozen


class IdentityMismatch(Exception):  # noqa: N818  no error: whoever meets it reads the content again
    """What has the partial's name is not provably what was verified. Nothing has been published.

    `is_other_file`: nor is it the same file, altered.
    """

    def __init__(self, *, is_other_file: bool) -> None:
        super().__init__()
        self.is_other_file = is_other_file


@frozen
class FileIdentity:
    """One state of one file. Any write, and any other file under its name, has another identity.

    `links`: how many names the file has.
    """

    device: int
    inode: int
    links: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        return cls(
            status.st_dev,
            status.st_ino,
            status.st_nlink,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `str`."""
        return cls(*map(int, text.split()))

    def __str__(self) -> str:
        return " ".join(map(str, astuple(self)))

    def is_same_file(self, other: "FileIdentity") -> bool:
        return (self.device, self.inode) == (other.device, other.inode)

    def is_same_content(self, other: "FileIdentity") -> bool:
        """Return whether at most the file's names have changed: a rename or a link alters its ctime."""
        mine = (self.size_bytes, self.mtime_ns)
        return self.is_same_file(other) and mine == (other.size_bytes, other.mtime_ns)
