"""Find orphans: temporary files of this installation, recognized by the tag in their names."""

import errno
import os
import time
from collections.abc import Iterator

from attrs import define, field

from agent.fs import safe_open
from agent.fs.syscalls import closing_fd
from agent.model.built_in_excludes import is_system_name
from agent.model.names import has_our_tag

REPORT_S = 0.25
PART_PATHS = 1000  # paths

# The folder may not be read, is gone since its parent was listed, or is no folder any more.
_SKIPPED_ERRORS = {errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


@define
class OrphanScan:
    """One search below an open root: in the root folder only, or `deep` in every folder below it.

    It follows no symbolic link and stays on the root's file system. It enters no folder of the NAS's own:
    its snapshots show our partials too.
    """

    _root: int
    _identity: str
    _deep: bool
    _found: list[str] = field(factory=list, init=False)
    _reported_s: float = field(default=0.0, init=False)

    def parts(self) -> Iterator[tuple[str, ...]]:
        """Yield the paths found since the last part, which may be none: this shows that the search goes on.

        Folders below the root that cannot be read are skipped.

        Raises:
            OSError: the root cannot be read, or the file system fails.
        """
        folders = [""]
        device = os.fstat(self._root).st_dev
        while folders:
            folder = folders.pop()
            try:
                yield from self._folder(folder, folders, device)
            except OSError as error:
                if not folder or error.errno not in _SKIPPED_ERRORS:
                    raise
        yield tuple(self._found)

    def _folder(self, folder: str, folders: list[str], device: int) -> Iterator[tuple[str, ...]]:
        with (
            closing_fd(safe_open.open_folder(self._root, folder, create=False)) as descriptor,
            os.scandir(descriptor) as items,
        ):
            if os.fstat(descriptor).st_dev != device:
                return
            for item in items:
                path = f"{folder}/{item.name}" if folder else item.name
                if has_our_tag(self._identity, path) and item.is_file(follow_symlinks=False):
                    self._found.append(path)
                elif self._deep and not is_system_name(item.name) and item.is_dir(follow_symlinks=False):
                    folders.append(path)
                if self._is_due():
                    yield tuple(self._found)
                    self._found.clear()

    def _is_due(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._reported_s < REPORT_S and len(self._found) < PART_PATHS:
            return False
        self._reported_s = now_s
        return True
