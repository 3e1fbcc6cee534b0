"""The source side: list it, look closely at a file, open one that has not changed."""

import os
import stat
import time
from collections.abc import Callable, Iterator

from attrs import define, evolve, field

from agent.faults import Fault, FaultKind, Side, classify
from agent.protocol import SourceFolder
from agent.rules import containers
from agent.rules.naming import file_filter
from agent.stores import beneath, platform
from agent.stores.descriptors import held
from agent.terms import Container, Entry, Evidence, Signature, Writer

LOOK_AGAIN_S = 0.2
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def signature_of(status: os.stat_result) -> Signature:
    return Signature(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def open_root(root: str) -> int:
    """A descriptor of the source folder. Raises: Fault: SOURCE_OUTAGE."""
    try:
        return beneath.open_root(root)
    except OSError as error:
        raise root_fault(error) from error


def root_fault(error: OSError) -> Fault:
    """The source folder itself does not answer as it should: no file of it is at fault."""
    return Fault(FaultKind.SOURCE_OUTAGE, classify(error, Side.SOURCE).detail)


def own_fault(error: OSError) -> Fault:
    """The fault of a source that is there but refuses, even if the error says that something is missing."""
    fault = classify(error, Side.SOURCE)
    return evolve(fault, kind=FaultKind.SOURCE) if fault.kind is FaultKind.SOURCE_GONE else fault


def prepare(root: str) -> None:
    """Make the source folder if it is missing. Raises: Fault: SOURCE_OUTAGE."""
    try:
        os.makedirs(root, exist_ok=True)
    except OSError as error:
        raise root_fault(error) from error


def wait_for(root: str) -> None:
    """Until the source folder is there, for as long as that takes."""
    while not os.path.isdir(root):
        time.sleep(LOOK_AGAIN_S)


def free_bytes(root: str) -> int:
    """What another writer could still put there. Raises: Fault: SOURCE_OUTAGE."""
    with held(open_root(root)) as descriptor:
        try:
            return platform.free_bytes(descriptor)[0]
        except OSError as error:
            raise root_fault(error) from error


@define
class Listing:
    """A walk over a source; `unseen` gathers the folders that could not be listed, with the reason."""

    source: SourceFolder
    unseen: list[tuple[str, str]] = field(factory=list, init=False)

    def entries(self) -> Iterator[Entry]:
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
                    self.unseen.append((folder, error.strerror or str(error)))

    def _folder(self, folder: str, folders: list[str], wanted: Callable[[str], bool]) -> Iterator[Entry]:
        with (
            held(beneath.open_root(self.source.root)) as root,
            held(beneath.open_folder(root, folder, create=False)) as descriptor,
            os.scandir(descriptor) as items,
        ):
            for item in items:
                path = f"{folder}/{item.name}" if folder else item.name
                if item.is_dir(follow_symlinks=False):
                    folders.append(path)
                elif item.is_file(follow_symlinks=False) and wanted(path):
                    yield from _entry(path, item)


def _entry(path: str, item: "os.DirEntry[str]") -> Iterator[Entry]:
    try:
        yield Entry(path, signature_of(item.stat(follow_symlinks=False)))
    except FileNotFoundError:
        return  # moved away since the folder was read


def examine(
    source: SourceFolder, paths: tuple[str, ...], closely: frozenset[str], unseen: list[tuple[str, str]]
) -> Iterator[Entry]:
    """These files as they stand now, with evidence for those to be looked at `closely`.

    What is missing, no regular file or not wanted is left out; what cannot be opened has unknown evidence.
    `unseen` gathers what could not be asked for, with the reason.

    Raises:
        Fault: SOURCE_OUTAGE: the source folder itself cannot be opened.
    """
    wanted = file_filter(source.include, source.exclude)
    with held(open_root(source.root)) as root:
        for path in paths:
            if wanted(path):
                yield from _examined(root, path, closely, unseen)


def _examined(
    root: int, path: str, closely: frozenset[str], unseen: list[tuple[str, str]]
) -> Iterator[Entry]:
    try:
        status = beneath.stat_beneath(root, path)
    except OSError as error:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            unseen.append((path, error.strerror or str(error)))
        return
    if not stat.S_ISREG(status.st_mode):
        return
    if path not in closely:
        yield Entry(path, signature_of(status))
        return
    try:
        with held(beneath.open_beneath(root, path, READ_FLAGS)) as descriptor:
            yield Entry(path, signature_of(os.fstat(descriptor)), evidence(descriptor))
    except OSError as error:
        unknown = Evidence(Writer.UNKNOWN, Container.UNKNOWN, error.strerror or str(error))
        yield Entry(path, signature_of(status), unknown)


def evidence(descriptor: int) -> Evidence:
    """Who writes to this open file, and what its own structure says about its end. Raises: OSError."""
    writer = platform.open_writer(descriptor)
    verdict = containers.judge(_FileReader(descriptor, os.fstat(descriptor).st_size))
    return Evidence(writer, verdict.container, verdict.detail)


@define
class _FileReader:
    _descriptor: int
    size_bytes: int

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)


def open_source(root: str, path: str, expected: Signature) -> int:
    """A descriptor of the file, which is still in the expected state.

    Raises:
        Fault: SOURCE_GONE, SOURCE_CHANGED, SOURCE when it cannot be opened, SOURCE_OUTAGE.
    """
    with held(open_root(root)) as folder:
        return open_below(folder, path, expected)


def open_below(folder: int, path: str, expected: Signature) -> int:
    """As `open_source`, with the source folder open."""
    try:
        descriptor = beneath.open_beneath(folder, path, READ_FLAGS)
    except OSError as error:
        raise classify(error, Side.SOURCE) from error
    try:
        check_below(folder, path, descriptor, expected)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_same_file(root: str, path: str, expected: Signature) -> int:
    """A descriptor of the file with this device and inode, in whatever state it is.

    Raises:
        Fault: SOURCE_GONE, SOURCE_CHANGED when another file has its place, SOURCE, SOURCE_OUTAGE.
    """
    with held(open_root(root)) as folder:
        try:
            descriptor = beneath.open_beneath(folder, path, READ_FLAGS)
        except OSError as error:
            raise classify(error, Side.SOURCE) from error
    try:
        is_same = signature_of(os.fstat(descriptor)).is_same_file(expected)
    except OSError as error:
        os.close(descriptor)
        raise classify(error, Side.SOURCE) from error
    if not is_same:
        os.close(descriptor)
        raise Fault(FaultKind.SOURCE_CHANGED, "another file has taken the place of the source")
    return descriptor


def check_unchanged(root: str, path: str, descriptor: int, expected: Signature) -> None:
    """The same state through the descriptor and through the path (promise S4).

    Raises:
        Fault: SOURCE_GONE, SOURCE_CHANGED or SOURCE_OUTAGE.
    """
    with held(open_root(root)) as folder:
        check_below(folder, path, descriptor, expected)


def check_below(folder: int, path: str, descriptor: int, expected: Signature) -> None:
    """As `check_unchanged`, with the source folder open."""
    try:
        by_path = beneath.stat_beneath(folder, path)
        by_descriptor = os.fstat(descriptor)
    except OSError as error:
        raise classify(error, Side.SOURCE) from error
    if signature_of(by_path) != expected or signature_of(by_descriptor) != expected:
        raise Fault(FaultKind.SOURCE_CHANGED, "the source changed after it had become stable")


def exists(root: str, path: str) -> bool:
    """Whether anything stands at this path. Raises: Fault: SOURCE: that cannot be said."""
    with held(open_root(root)) as folder:
        try:
            beneath.stat_beneath(folder, path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise own_fault(error) from error
    return True
