"""Which folder does a path name, and is it one that may be read?"""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator

from attrs import define, field

from agent.fs import platform, safe_open
from agent.fs.descriptors import closing_fd
from agent.model.errors import Side, classify
from agent.model.names import file_filter
from agent.model.source_file import ScannedFile
from agent.model.text import is_inside
from agent.protocol.replies import FolderResolved
from agent.protocol.requests import SourceFolder
from agent.worker.source.source_file import open_root, root_fault, signature_of

ROOT_POLL_S = 0.2


def prepare(root: str) -> None:
    """Make the source folder if it is missing. Raises: Fault: SOURCE_OUTAGE."""
    try:
        os.makedirs(root, exist_ok=True)
    except OSError as error:
        raise root_fault(error) from error


def wait_for(root: str) -> None:
    """Until the source folder is there, for as long as that takes."""
    while not os.path.isdir(root):
        time.sleep(ROOT_POLL_S)


def free_bytes(root: str) -> int:
    """What another writer could still put there. Raises: Fault: SOURCE_OUTAGE."""
    with closing_fd(open_root(root)) as descriptor:
        try:
            return platform.free_bytes(descriptor)[0]
        except OSError as error:
            raise root_fault(error) from error


@define
class SourceListing:
    """A walk over a source; `unreadable` gathers the folders that could not be listed, with the reason."""

    source: SourceFolder
    unreadable: list[tuple[str, str]] = field(factory=list, init=False)

    def entries(self) -> Iterator[ScannedFile]:
        """Every regular file that the route wants, in no particular order; links are not followed.

        Raises:
            Fault: SOURCE_OUTAGE: the source folder itself cannot be listed.
        """
        wanted = file_filter(self.source.include, self.source.exclude)
        folders = [""]
        while folders:
            folder = folders.pop()
            try:
                yield from self._folder(folder, folders, wanted)
            except OSError as error:
                if not folder:
                    raise root_fault(error) from error
                if not isinstance(error, FileNotFoundError):  # moved away since its parent was read
                    self.unreadable.append((folder, error.strerror or str(error)))

    def _folder(
        self, folder: str, folders: list[str], wanted: Callable[[str], bool]
    ) -> Iterator[ScannedFile]:
        with (
            closing_fd(safe_open.open_root(self.source.root)) as root,
            closing_fd(safe_open.open_folder(root, folder, create=False)) as descriptor,
            os.scandir(descriptor) as items,
        ):
            for item in items:
                path = f"{folder}/{item.name}" if folder else item.name
                if item.is_dir(follow_symlinks=False):
                    folders.append(path)
                elif item.is_file(follow_symlinks=False) and wanted(path):
                    yield from _entry(path, item)


def _entry(path: str, item: "os.DirEntry[str]") -> Iterator[ScannedFile]:
    try:
        yield ScannedFile(path, signature_of(item.stat(follow_symlinks=False)))
    except FileNotFoundError:
        return  # moved away since the folder was read


def resolve_allowed_folder(path: str, roots: tuple[str, ...]) -> FolderResolved:
    """Symbolic links are resolved on both sides; a root that is not there allows nothing.

    Raises:
        Fault: SOURCE_GONE: there is no such folder; SOURCE or SOURCE_OUTAGE: that cannot be said.
    """
    try:
        found = os.path.realpath(path, strict=True)
        if not stat.S_ISDIR(os.stat(found).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    except OSError as error:
        raise classify(error, Side.SOURCE) from error
    real = [os.path.realpath(root) for root in roots]
    return FolderResolved(found, any(is_inside(found, root) for root in real))
