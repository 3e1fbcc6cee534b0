"""The source side: list it, look closely at a file, open one that has not changed."""

import os

from attrs import evolve

from agent.fs import platform, safe_open
from agent.fs.descriptors import closing_fd
from agent.model.errors import Fault, FaultKind, Side, classify
from agent.model.source_file import Signature

READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def signature_of(status: os.stat_result) -> Signature:
    return Signature(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def open_root(root: str) -> int:
    """A descriptor of the source folder. Raises: Fault: SOURCE_OUTAGE."""
    try:
        return safe_open.open_root(root)
    except OSError as error:
        raise root_fault(error) from error


def root_fault(error: OSError) -> Fault:
    """The source folder itself does not answer as it should: no file of it is at fault."""
    return Fault(FaultKind.SOURCE_OUTAGE, classify(error, Side.SOURCE).detail)


def own_fault(error: OSError) -> Fault:
    """The fault of a source that is there but refuses, even if the error says that something is missing."""
    fault = classify(error, Side.SOURCE)
    return evolve(fault, kind=FaultKind.SOURCE) if fault.kind is FaultKind.SOURCE_GONE else fault


def calls_at_once(root: int) -> int:
    """How many calls for different files below this open root are worth having under way.

    Raises: Fault: SOURCE_OUTAGE.
    """
    try:
        return platform.calls_at_once(root)
    except OSError as error:
        raise root_fault(error) from error


def open_source(root: str, path: str, expected: Signature) -> int:
    """A descriptor of the file, which is still in the expected state.

    Raises:
        Fault: SOURCE_GONE, SOURCE_CHANGED, SOURCE when it cannot be opened, SOURCE_OUTAGE.
    """
    with closing_fd(open_root(root)) as folder:
        return open_at(folder, path, expected)


def open_at(folder: int, path: str, expected: Signature) -> int:
    """As `open_source`, with the source folder open."""
    try:
        descriptor = safe_open.open_at(folder, path, READ_FLAGS)
    except OSError as error:
        raise classify(error, Side.SOURCE) from error
    try:
        check_unchanged_at(folder, path, descriptor, expected)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_same_file(root: str, path: str, expected: Signature) -> int:
    """A descriptor of the file with this device and inode, in whatever state it is.

    Raises:
        Fault: SOURCE_GONE, SOURCE_CHANGED when another file has its place, SOURCE, SOURCE_OUTAGE.
    """
    with closing_fd(open_root(root)) as folder:
        try:
            descriptor = safe_open.open_at(folder, path, READ_FLAGS)
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
    with closing_fd(open_root(root)) as folder:
        check_unchanged_at(folder, path, descriptor, expected)


def check_unchanged_at(folder: int, path: str, descriptor: int, expected: Signature) -> None:
    """As `check_unchanged`, with the source folder open."""
    try:
        by_path = safe_open.stat_at(folder, path)
        by_descriptor = os.fstat(descriptor)
    except OSError as error:
        raise classify(error, Side.SOURCE) from error
    if signature_of(by_path) != expected or signature_of(by_descriptor) != expected:
        raise Fault(FaultKind.SOURCE_CHANGED, "the source changed after it had become stable")


def exists(root: str, path: str) -> bool:
    """Whether anything stands at this path. Raises: Fault: SOURCE: that cannot be said."""
    with closing_fd(open_root(root)) as folder:
        try:
            safe_open.stat_at(folder, path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise own_fault(error) from error
    return True
