"""Scan a source: list all its files, or examine some of them for evidence that they are finished."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

from agent.fs import platform, root_folders, safe_open
from agent.fs.syscalls import closing_fd
from agent.model.built_in_excludes import excludes_name, excludes_path
from agent.model.errors import shortage
from agent.model.names import REMOVING, file_filter, has_our_tag
from agent.model.source_file import ContainerState, FinishEvidence, ScannedFile, WriterState
from agent.protocol.requests import SourceFolder
from agent.worker.for_each import for_each
from agent.worker.source.finish_evidence import finish_evidence
from agent.worker.source.source_file import READ_FLAGS, signature_of
from agent.worker.source.source_folder import calls_at_once, open_root, root_fault

STAT_FILES = 100  # they are looked up side by side where that is worth it

Unreadable = list[tuple[str, str]]  # paths that could not be listed or examined, with the reason


def list_files(
    source: SourceFolder,
    unreadable: Unreadable,
    private_paths: list[str],
    heartbeat: Callable[[], None] = lambda: None,
) -> Iterator[ScannedFile]:
    """Yield every regular file that the route wants, in no particular order; symbolic links are not followed.

    Folders with the name of a built-in exclude are not entered. Those that cannot be listed are appended to
    `unreadable`, what has a private name of ours to `private_paths`. `heartbeat` is called for each entry.

    Raises:
        Fault: SOURCE_OUTAGE: the source folder itself cannot be listed.
    """
    wanted = _file_filter(source, private_paths.append)
    with closing_fd(open_root(source.root)) as root:
        at_once = calls_at_once(root)
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with _open_folder(source.root, folder) as items:
                files = _files(items, folder, folders, wanted, heartbeat)
                while some := tuple(islice(files, STAT_FILES)):
                    yield from filter(None, for_each(some, _scanned, at_once, heartbeat))
        except OSError as error:
            lacking = shortage(error)
            if lacking is not None:
                raise lacking from error
            if not folder:
                raise root_fault(error) from error
            if not isinstance(error, FileNotFoundError):  # moved away since its parent was listed
                unreadable.append((folder, error.strerror or str(error)))


@contextmanager
def _open_folder(root: str, folder: str) -> Iterator[Iterator["os.DirEntry[str]"]]:
    with (
        closing_fd(root_folders.open_root(root)) as root_fd,
        closing_fd(safe_open.open_folder(root_fd, folder, create=False)) as descriptor,
        os.scandir(descriptor) as items,
    ):
        yield items


def _files(
    items: Iterable["os.DirEntry[str]"],
    folder: str,
    folders: list[str],
    wanted: Callable[[str], bool],
    heartbeat: Callable[[], None],
) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Yield the files of one folder by path; its subfolders are appended to `folders`."""
    for item in items:
        heartbeat()
        if excludes_name(item.name):
            continue
        path = f"{folder}/{item.name}" if folder else item.name
        if item.is_dir(follow_symlinks=False):
            folders.append(path)
        elif item.is_file(follow_symlinks=False) and wanted(path):
            yield path, item


def _file_filter(source: SourceFolder, on_private: Callable[[str], None]) -> Callable[[str], bool]:
    """Return a test whether the route wants a file; `on_private` is called with each private path of ours."""
    is_chosen = file_filter(source.include, source.exclude)

    def is_wanted(path: str) -> bool:
        if has_our_tag(source.identity, path, REMOVING):
            on_private(path)
            return False
        return path != source.mount.marker and is_chosen(path)

    return is_wanted


def _scanned(file: tuple[str, "os.DirEntry[str]"]) -> ScannedFile | None:
    """None: it was moved away since the folder was listed."""
    path, item = file
    try:
        return ScannedFile(path, signature_of(item.stat(follow_symlinks=False)))
    except FileNotFoundError:
        return None


def examine(
    source: SourceFolder,
    paths: Iterable[str],
    closely: frozenset[str],
    unreadable: Unreadable,
    heartbeat: Callable[[], None] = lambda: None,
) -> Iterator[ScannedFile]:
    """Yield the current state of these files, with finish evidence for those in `closely`.

    `heartbeat` is called for each block that is read.

    Paths that are missing, no regular file or not wanted by the route are left out. A file that cannot be
    opened has unknown evidence. Paths whose stat fails are appended to `unreadable`, and so are those that
    could not be examined because the agent itself is short of means: they have no evidence.

    Raises:
        Fault: SOURCE_OUTAGE: the source folder itself cannot be opened.
    """
    wanted = _file_filter(source, lambda _path: None)
    with closing_fd(open_root(source.root)) as root:
        for path in paths:
            if wanted(path) and not excludes_path(path):
                yield from _examined(root, path, closely, unreadable, heartbeat)


def _examined(
    root: int, path: str, closely: frozenset[str], unreadable: Unreadable, heartbeat: Callable[[], None]
) -> Iterator[ScannedFile]:
    try:
        status = safe_open.stat_at(root, path)
    except OSError as error:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            unreadable.append((path, error.strerror or str(error)))
        return
    if not stat.S_ISREG(status.st_mode):
        return
    if path not in closely:
        yield ScannedFile(path, signature_of(status))
        return
    try:
        with closing_fd(safe_open.open_at(root, path, READ_FLAGS)) as descriptor:
            yield ScannedFile(
                path, signature_of(platform.fresh_fstat(descriptor)), finish_evidence(descriptor, heartbeat)
            )
    except OSError as error:
        if shortage(error) is not None:  # that says nothing about the file
            unreadable.append((path, error.strerror or str(error)))
            yield ScannedFile(path, signature_of(status))
            return
        why = error.strerror or str(error)
        unknown = FinishEvidence(WriterState.UNKNOWN, ContainerState.UNKNOWN, why, unreadable=why)
        yield ScannedFile(path, signature_of(status), unknown)
