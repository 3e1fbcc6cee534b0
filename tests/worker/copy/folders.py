"""A source folder, a destination folder, and the requests between them."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import xxhash
from attrs import frozen

from agent.fs.file_identity import FileIdentity
from agent.fs.mount_table import mounts
from agent.fs.platform import mount_point
from agent.fs.publisher import Publisher
from agent.model.errors import Fault
from agent.model.names import removing_path
from agent.model.source_file import FinishRule, Signature
from agent.model.verification import BLOCK_BYTES, VerifyLevel
from agent.protocol.replies import Published
from agent.protocol.requests import (
    Bandwidth,
    ConflictMode,
    CopyFile,
    DestinationRef,
    PartialToPublish,
    PublishFiles,
    RemoveSources,
    SourceFolder,
    SourceToRemove,
    VerifyMode,
)
from agent.worker.copy.publish import publish_files
from agent.worker.destinations.base import Destination
from agent.worker.destinations.folder import FolderDestination
from agent.worker.source.source_file import signature_of

PARTIAL = ".clip.mxf.0123456789abcdef.partial"
NOBODY = 65534


@frozen
class Ground:
    source: Path
    nas: Path

    @classmethod
    def below(cls, folder: Path) -> "Ground":
        (folder / "source").mkdir()
        (folder / "nas").mkdir()
        return cls(folder / "source", folder / "nas")

    @property
    def folder(self) -> SourceFolder:
        return SourceFolder(str(self.source), (), ())

    @property
    def place(self) -> DestinationRef:
        return DestinationRef(str(self.nas), self.nas.stat().st_dev)

    def destination(self) -> AbstractContextManager[FolderDestination]:
        return FolderDestination.open(self.place, Publisher())

    def signature(self, path: str = "clip.mxf") -> Signature:
        return signature_of((self.source / path).lstat())

    def copy(
        self,
        path: str = "clip.mxf",
        *,
        digests: tuple[bytes, ...] = (),
        verify: VerifyMode = "read_back",
        conflict: ConflictMode = "rename",
        partial: str = PARTIAL,
        finish_rule: FinishRule | None = None,
    ) -> CopyFile:
        return CopyFile(
            source=str(self.source),
            path=path,
            signature=self.signature(path),
            destination=self.place,
            name=path,
            partial=partial,
            digests=digests,
            verify=verify,
            conflict=conflict,
            bandwidth=Bandwidth(),
            finish_rule=finish_rule,
        )

    def publish(
        self,
        content: bytes,
        name: str = "clip.mxf",
        *,
        conflict: ConflictMode = "rename",
        partial: str = PARTIAL,
    ) -> PublishFiles:
        """As for a partial that is verified now."""
        digest = xxhash.xxh3_128_digest(content)
        identity = self.identity(partial) if (self.nas / partial).is_file() else None
        file = PartialToPublish(partial, name, len(content), digest, file_identity=identity)
        return PublishFiles(self.place, conflict, (file,))

    def identity(self, name: str) -> str:
        """That of this file at the destination, as it is now."""
        return str(FileIdentity.of((self.nas / name).lstat()))

    def published(self, name: str, *, already_present: bool, level: VerifyLevel | None = None) -> Published:
        """As it is reported of this file."""
        return Published(name, already_present, level, self.identity(name))

    def remove(self, *paths: str) -> RemoveSources:
        files = tuple(
            SourceToRemove(path, self.signature(path), removing_path("", path, PARTIAL))
            for path in paths or ("clip.mxf",)
        )
        return RemoveSources(str(self.source), "delete", None, files)

    def arrived(self) -> dict[str, bytes]:
        """Every file of the destination, with its content."""
        return {
            str(path.relative_to(self.nas)): path.read_bytes()
            for path in sorted(self.nas.rglob("*"))
            if path.is_file()
        }


def publish(
    request: PublishFiles, destination: Destination, heartbeat: Callable[[], None] = lambda: None
) -> Published:
    """Publish one file. Raises: Fault: the file's own, or that of the request."""
    [result] = publish_files(request, destination, heartbeat)
    if isinstance(result, Fault):
        raise result
    return result


def digests_of(content: bytes, block_bytes: int = BLOCK_BYTES) -> tuple[bytes, ...]:
    """The digest of every whole block."""
    whole = len(content) // block_bytes
    return tuple(
        xxhash.xxh3_128_digest(content[number * block_bytes : (number + 1) * block_bytes])
        for number in range(whole)
    )


@contextmanager
def nothing_left_over() -> Iterator[None]:
    """Every descriptor and thread after the block was there before it.

    Fewer may be left: idle threads of earlier tests end when they like.
    """
    before = _held()
    yield
    assert not _held() - before


def _held() -> set[tuple[str, str | int]]:
    descriptors = {("fd", entry.name) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()}
    return descriptors | {("thread", thread.ident or 0) for thread in threading.enumerate()}


@contextmanager
def unprivileged() -> Iterator[None]:
    """As root every permission is granted; as nobody they count."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def is_in_memory(path: Path) -> bool:
    """Whether a tmpfs is mounted there, whose pages always stay in the page cache."""
    here = mount_point(str(path))
    return [mount.file_system for mount in mounts() if mount.point == here][-1] == "tmpfs"
