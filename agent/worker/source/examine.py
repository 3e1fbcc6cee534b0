"""Examine files closely: open writers, and the end of their containers."""

import os
import stat
from collections.abc import Iterator

from attrs import define

from agent.fs import platform, safe_open
from agent.fs.descriptors import closing_fd
from agent.model.names import file_filter
from agent.model.source_file import ContainerState, FinishEvidence, ScannedFile, WriterState
from agent.protocol.requests import SourceFolder
from agent.worker.source import containers
from agent.worker.source.source_file import READ_FLAGS, open_root, signature_of


def examine(
    source: SourceFolder, paths: tuple[str, ...], closely: frozenset[str], unseen: list[tuple[str, str]]
) -> Iterator[ScannedFile]:
    """These files as they stand now, with evidence for those to be looked at `closely`.

    What is missing, no regular file or not wanted is left out; what cannot be opened has unknown evidence.
    `unseen` gathers what could not be asked for, with the reason.

    Raises:
        Fault: SOURCE_OUTAGE: the source folder itself cannot be opened.
    """
    wanted = file_filter(source.include, source.exclude)
    with closing_fd(open_root(source.root)) as root:
        for path in paths:
            if wanted(path):
                yield from _examined(root, path, closely, unseen)


def _examined(
    root: int, path: str, closely: frozenset[str], unseen: list[tuple[str, str]]
) -> Iterator[ScannedFile]:
    try:
        status = safe_open.stat_at(root, path)
    except OSError as error:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            unseen.append((path, error.strerror or str(error)))
        return
    if not stat.S_ISREG(status.st_mode):
        return
    if path not in closely:
        yield ScannedFile(path, signature_of(status))
        return
    try:
        with closing_fd(safe_open.open_at(root, path, READ_FLAGS)) as descriptor:
            yield ScannedFile(path, signature_of(os.fstat(descriptor)), evidence(descriptor))
    except OSError as error:
        unknown = FinishEvidence(WriterState.UNKNOWN, ContainerState.UNKNOWN, error.strerror or str(error))
        yield ScannedFile(path, signature_of(status), unknown)


def evidence(descriptor: int) -> FinishEvidence:
    """Who writes to this open file, and what its own structure says about its end. Raises: OSError."""
    writer = platform.open_writer(descriptor)
    verdict = containers.judge(_FileReader(descriptor, os.fstat(descriptor).st_size))
    return FinishEvidence(writer, verdict.container, verdict.detail)


@define
class _FileReader:
    _descriptor: int
    size_bytes: int

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)
