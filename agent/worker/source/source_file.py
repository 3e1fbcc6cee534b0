"""One source file: open it, check that it has not changed, look it up."""

import os

from attrs import evolve

from agent.fs import platform, safe_open
from agent.fs.syscalls import close_unwritten, closing_fd
from agent.model.errors import Fault, FaultKind, Side, classify
from agent.model.source_file import Signature
from agent.protocol.replies import SourceExists
from agent.protocol.requests import ANY_MOUNT, SourceMount
from agent.worker.source.source_folder import open_mounted, open_root

READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def signature_of(status: os.stat_result) -> Signature:
    return Signature(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def source_fault(error: OSError) -> Fault:
    """Map an error of a source file that exists: ENOENT counts as SOURCE, not as SOURCE_GONE."""
    fault = classify(error, Side.SOURCE)
    return evolve(fault, kind=FaultKind.SOURCE) if fault.kind is FaultKind.SOURCE_GONE else fault


def open_source(root: str, path: str, expected: Signature) -> int:
    """Return a descriptor of the file, after a check that it still has the expected signature.

    Raises:
        Fault: SOURCE_GONE, SOURCE_CHANGED, SOURCE_OUTAGE, or SOURCE when the file cannot be opened.
    """
    with closing_fd(open_root(root)) as folder:
        return open_at(folder, path, expected)


def open_at(folder: int, path: str, expected: Signature) -> int:
    """As `open_source`, with a descriptor of the source folder."""
    descriptor = _open(folder, path, expected)
    try:
        check_unchanged_at(folder, path, descriptor, expected)
    except BaseException:
        close_unwritten(descriptor)
        raise
    return descriptor


def open_same_file(root: str, path: str, expected: Signature) -> int:
    """Return a descriptor of the file with the expected device and inode; it may have grown or changed.

    Raises:
        Fault: SOURCE_GONE, SOURCE_CHANGED when another file is at this path, SOURCE, SOURCE_OUTAGE.
    """
    with closing_fd(open_root(root)) as folder:
        descriptor = _open(folder, path, expected)
    try:
        is_same = signature_of(platform.fresh_fstat(descriptor)).is_same_file(expected)
    except OSError as error:
        close_unwritten(descriptor)
        raise classify(error, Side.SOURCE) from error
    if not is_same:
        close_unwritten(descriptor)
        raise Fault(FaultKind.SOURCE_CHANGED, "another file has taken the place of the source")
    return descriptor


def check_unchanged(root: str, path: str, descriptor: int, expected: Signature) -> None:
    """Check the signature through the open descriptor and through the path (promise S4).

    The server is asked: on a share the client's cache may be older than another machine's last write.

    Raises:
        Fault: SOURCE_GONE, SOURCE_CHANGED or SOURCE_OUTAGE.
    """
    with closing_fd(open_root(root)) as folder:
        check_unchanged_at(folder, path, descriptor, expected)


def check_unchanged_at(folder: int, path: str, descriptor: int, expected: Signature) -> None:
    """As `check_unchanged`, with a descriptor of the source folder."""
    try:
        by_path = safe_open.stat_at(folder, path)
        by_descriptor = platform.fresh_fstat(descriptor)
    except OSError as error:
        raise _unless_unmounted(folder, classify(error, Side.SOURCE), expected) from error
    if signature_of(by_path) != expected or signature_of(by_descriptor) != expected:
        raise Fault(FaultKind.SOURCE_CHANGED, "the source changed after it had become stable")


def check_renamed_at(folder: int, name: str, descriptor: int, expected: Signature) -> None:
    """Check, under its new name, that a file which we renamed is still the one with the expected signature.

    The name has to lead to the open file. Its ctime is left out, because a rename changes it; so is the
    device, which a network mount may number anew: the folder is the same.

    Raises:
        Fault: SOURCE_GONE, SOURCE_CHANGED or SOURCE_OUTAGE.
    """
    try:
        by_name = platform.fresh_stat(name, folder)
        by_descriptor = os.fstat(descriptor)  # of the same file, it is as fresh
    except OSError as error:
        raise classify(error, Side.SOURCE) from error
    is_open_file = os.path.samestat(by_name, by_descriptor)
    states = (signature_of(status).numbers[1:4] for status in (by_name, by_descriptor))
    if not is_open_file or any(state != expected.numbers[1:4] for state in states):
        raise Fault(FaultKind.SOURCE_CHANGED, "the source changed while it was being removed")


def look_up(root: str, path: str, private_path: str | None, mount: SourceMount = ANY_MOUNT) -> SourceExists:
    """Return whether this path exists, or else the private one; a symbolic link counts.

    Raises:
        Fault: SOURCE or SOURCE_OUTAGE when that is unknown.
    """
    with closing_fd(open_mounted(root, mount)) as folder:
        is_renamed = private_path is not None and _exists(folder, private_path)
        return SourceExists(is_renamed or _exists(folder, path), is_renamed)


def _exists(folder: int, path: str) -> bool:
    try:
        safe_open.stat_at(folder, path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise source_fault(error) from error
    return True


def open_for_reading(folder: int, path: str) -> int:
    """Return a descriptor of the file, whatever its state.

    Raises:
        Fault: SOURCE_GONE, SOURCE_OUTAGE, or SOURCE when the file cannot be opened.
    """
    try:
        return safe_open.open_at(folder, path, READ_FLAGS)
    except OSError as error:
        raise classify(error, Side.SOURCE) from error


def _open(folder: int, path: str, expected: Signature) -> int:
    try:
        return open_for_reading(folder, path)
    except Fault as fault:
        raise _unless_unmounted(folder, fault, expected) from fault


def _unless_unmounted(folder: int, fault: Fault, expected: Signature) -> Fault:
    """Return this fault of a source file; it is not gone where its whole file system is."""
    if fault.kind is FaultKind.SOURCE_GONE and os.fstat(folder).st_dev != expected.device:
        return Fault(FaultKind.SOURCE_OUTAGE, "the file system that held the file is not mounted")
    return fault
