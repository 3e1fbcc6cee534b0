"""Root folders of sources, destinations and archives, which have to go on leading to where they led at first.

Symbolic links in a root's own path are the operator's, and followed when it is first opened. From then on
the real path alone is opened, without following any link: a link that replaces a folder while the agent runs
would lead to files that nobody has configured. Another mount at the same path is not refused here.
"""

import errno
import os
import sys
from collections.abc import Callable, Mapping

from attrs import define

from agent.fs import safe_open

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class RootMoved(OSError):  # noqa: N818  a state of affairs, not a mistake
    """The path of a root leads to another folder than before."""


@define
class KnownRoots:
    """Where each root led when it was first opened; `report` is called with every new one."""

    real_paths: dict[str, str]
    report: Callable[[str, str], None]

    def real_path(self, path: str) -> str:
        """As `real_path`."""
        now = os.path.realpath(path, strict=True)
        if path not in self.real_paths:
            self.real_paths[path] = now
            self.report(path, now)
        known = self.real_paths[path]
        if now != known:
            raise RootMoved(
                errno.ELOOP,
                f"{path} leads to {now} now, and not to {known} as before: nothing is touched there; put the "
                f"folder back, or reload the configuration if this is meant",
            )
        return known


_roots: KnownRoots | None = None


def begin(known: Mapping[str, str], report: Callable[[str, str], None]) -> None:
    """From now on check all roots of this process, some of which were opened before, by other processes."""
    global _roots  # noqa: PLW0603  roots belong to the process, as its working directory does
    _roots = KnownRoots(dict(known), report)


def real_path(path: str) -> str:
    """Return the path of a root without links.

    Raises:
        RootMoved: it has led to another folder before.
        OSError: it does not exist, or cannot be resolved.
    """
    return os.path.realpath(path, strict=True) if _roots is None else _roots.real_path(path)


def open_root(path: str) -> int:
    """Return a descriptor of a root folder.

    Raises:
        RootMoved: the path has led to another folder before.
        OSError: it cannot be opened, or is not a folder.
    """
    if _roots is None:
        return safe_open.open_root(path)
    return _open_without_links(_roots.real_path(path))


if sys.platform == "darwin":

    def _open_without_links(path: str) -> int:
        return os.open(path, _FOLDER & ~os.O_NOFOLLOW | os.O_NOFOLLOW_ANY)

else:

    def _open_without_links(path: str) -> int:
        names = [name for name in path.split("/") if name]
        if not names:
            return os.open("/", _FOLDER)
        descriptor = os.open("/", _FOLDER)
        try:
            for name in names[:-1]:
                # Only for passing through: the right to list the folders above a root may be missing.
                below = os.open(name, _FOLDER | os.O_PATH, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            return os.open(names[-1], _FOLDER, dir_fd=descriptor)
        finally:
            os.close(descriptor)
