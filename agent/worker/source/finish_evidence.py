"""Examine an open file: does a process write to it, and is its container complete?"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define

from agent.fs import platform
from agent.model.source_file import ContainerState, FinishEvidence, WriterState
from agent.model.verification import BLOCK_BYTES

if TYPE_CHECKING:
    from agent.worker.source.containers import ContainerVerdict


def finish_evidence(descriptor: int, heartbeat: Callable[[], None] = lambda: None) -> FinishEvidence:
    """Return whether a process writes to this open file, and the verdict on its container.

    A container that cannot be read is unknown; what was seen of writers holds all the same.

    Raises:
        OSError: the file's attributes cannot be read.
    """
    writer = platform.open_writer(descriptor)
    reader = FileReader(descriptor, os.fstat(descriptor).st_size, heartbeat)
    try:
        verdict = _judge(reader)
    except OSError as error:
        why = error.strerror or str(error)
        return FinishEvidence(writer, ContainerState.UNKNOWN, why, unreadable=why)
    return FinishEvidence(writer, verdict.container, verdict.detail)


def content_evidence(content: bytes, writer: WriterState) -> FinishEvidence:
    """Return the same of a file whose whole content and `writer` are known."""
    verdict = _judge(ContentReader(content))
    return FinishEvidence(writer, verdict.container, verdict.detail)


def _judge(reader: "ContentReader | FileReader") -> "ContainerVerdict":
    from agent.worker.source import containers  # noqa: PLC0415  whoever copies or probes needs no format

    return containers.judge(reader)


@define
class ContentReader:
    """The content of a whole file in memory."""

    _content: bytes

    @property
    def size_bytes(self) -> int:
        return len(self._content)

    def read(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]


@define
class FileReader:
    _descriptor: int
    size_bytes: int
    _heartbeat: Callable[[], None]

    def read(self, offset: int, length: int) -> bytes:
        """Read block by block, each of which is a sign of life."""
        data = bytearray()
        while len(data) < length:
            self._heartbeat()
            part = os.pread(self._descriptor, min(BLOCK_BYTES, length - len(data)), offset + len(data))
            if not part:
                break
            data += part
        return bytes(data)
