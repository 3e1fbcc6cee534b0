"""One delivered source, from its last check to its removal.

A check and a removal are two calls, and in between a name can get another file: the check would be of one
file and the removal of another. So the source is first renamed to a private name, which nobody else uses,
compared there with the file that is open, and only then removed. Any other file gets its name back.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from attrs import define, evolve, field

from agent.fs import platform
from agent.fs.private_name import has_name, rename_to_private
from agent.fs.publisher import Publisher
from agent.fs.syscalls import close_unwritten
from agent.model.errors import Fault, FaultKind, Side, classify
from agent.model.names import split_path
from agent.model.source_file import WriterState
from agent.protocol.replies import SourceRemoved
from agent.protocol.requests import RemoveSources, SourceToRemove
from agent.worker.source.archive import ArchiveTarget, sync_archive
from agent.worker.source.source_file import (
    check_renamed_at,
    check_unchanged_at,
    open_for_reading,
    signature_of,
    source_fault,
)

NOT_THERE = (FaultKind.SOURCE_GONE, FaultKind.SOURCE_CHANGED)


@define(eq=False)
class DeliveredSource:
    """The source with this `name` in its `folder`, which is open, or with its private name there."""

    request: RemoveSources
    file: SourceToRemove
    folder: int
    name: str
    publisher: Publisher
    heartbeat: Callable[[], None]
    _put_back_as: str | None = field(default=None, init=False)

    @property
    def private_name(self) -> str:
        return split_path(self.file.private_path)[1]

    def remove(self) -> SourceRemoved:
        """Remove the source, or what an earlier request that was cut off has left of it.

        Raises:
            Fault: SOURCE when a process has it open for writing, or a call fails; SOURCE_OUTAGE.
            OSError: the file system refuses.
        """
        found: set[FaultKind] = set()
        for remove in (self._remove_named, self._remove_renamed):
            try:
                remove()
            except Fault as fault:
                if fault.kind not in NOT_THERE:
                    raise
                found.add(fault.kind)
            else:
                return SourceRemoved(None, self._put_back_as)
        if FaultKind.SOURCE_CHANGED in found:
            return SourceRemoved("it was written to after it had been copied", self._put_back_as)
        if self.request.archive is not None:
            # An earlier request may have failed before that.
            sync_archive(self.request.archive, self.file.path)
        return SourceRemoved(None)

    def put_back(self) -> SourceRemoved:
        """Give a source that is to be kept its name back.

        Raises:
            OSError: the file system refuses.
        """
        if has_name(self.folder, self.private_name):
            self._give_name_back()
        elif not has_name(self.folder, self.name):
            return SourceRemoved(None)
        return SourceRemoved("it is not to be removed any more", self._put_back_as)

    def _remove_named(self) -> None:
        """Raises: Fault: SOURCE_GONE or SOURCE_CHANGED when another file, or none, has the name."""
        with self._archive() as archive, ExitStack() as opened:
            descriptor = self._open(self.name, opened)
            if signature_of(os.fstat(descriptor)) != self.file.signature:
                raise Fault(FaultKind.SOURCE_CHANGED, "the source changed after it had become stable")
            if archive is not None:
                archive.copy_if_elsewhere(descriptor, self.folder, is_repeated=False)
            writer = opened.enter_context(platform.read_lease(descriptor))
            _check_no_writer(writer)
            check_unchanged_at(self.folder, self.name, descriptor, self.file.signature)
            self._rename()
            self._finish(descriptor, writer, archive, opened)

    def _remove_renamed(self) -> None:
        """Raises: Fault: SOURCE_GONE: no file has the private name; SOURCE_CHANGED: it got its name back."""
        with self._archive() as archive, ExitStack() as opened:
            with self._or_give_name_back():
                descriptor = self._open(self.private_name, opened)
                if archive is not None:
                    check_renamed_at(self.folder, self.private_name, descriptor, self.file.signature)
                    archive.copy_if_elsewhere(descriptor, self.folder, is_repeated=True)
                writer = opened.enter_context(platform.read_lease(descriptor))
                _check_no_writer(writer)
            self._finish(descriptor, writer, archive, opened)

    def _open(self, name: str, opened: ExitStack) -> int:
        descriptor = open_for_reading(self.folder, name)
        opened.callback(close_unwritten, descriptor)
        return descriptor

    def _archive(self) -> AbstractContextManager[ArchiveTarget | None]:
        """The place in the archive, if the route has one; what can fail there fails before the rename."""
        if self.request.archive is None:
            return nullcontext()
        return ArchiveTarget.open(
            self.request.archive, self.file.path, self.private_name, self.publisher, self.heartbeat
        )

    def _finish(
        self, descriptor: int, writer: WriterState, archive: ArchiveTarget | None, opened: ExitStack
    ) -> None:
        """Remove the file under its private name if it is the source, and no writer waits for our lease."""
        with self._or_give_name_back():
            check_renamed_at(self.folder, self.private_name, descriptor, self.file.signature)
            if writer is not WriterState.NONE:
                opened.close()  # there is no lease to lose, and NFS and FUSE keep removed files that are open
            elif platform.is_lease_broken(descriptor):
                _check_no_writer(WriterState.OPEN)
            if archive is None:
                os.unlink(self.private_name, dir_fd=self.folder)
            else:
                archive.take(self.folder, self.private_name)

    def _rename(self) -> None:
        try:
            try:
                rename_to_private(self.name, self.private_name, self.folder)
            except FileExistsError:  # a request was cut off before it had put another file back
                self._give_name_back()
                rename_to_private(self.name, self.private_name, self.folder)
        except FileNotFoundError as error:
            raise classify(error, Side.SOURCE) from error

    @contextmanager
    def _or_give_name_back(self) -> Iterator[None]:
        """If the block fails, a file with the private name gets its own back."""
        try:
            yield
        except (Fault, OSError) as failure:
            if isinstance(failure, Fault) and failure.kind is FaultKind.SOURCE_GONE:
                raise
            try:
                self._give_name_back()
            except FileNotFoundError:
                pass
            except OSError as error:
                fault = source_fault(error)
                where = f"it cannot be put back and stands as {self.file.private_path!r}"
                raise evolve(fault, detail=f"{fault.detail}; {where}") from error
            raise

    def _give_name_back(self) -> None:
        name = give_name_back(self.publisher, self.folder, self.private_name, self.name)
        self._put_back_as = None if name == self.name else name


def give_name_back(publisher: Publisher, folder: int, private_name: str, name: str) -> str:
    """Rename to this name, or to the next one that is free, and return it. Nothing is replaced.

    Raises:
        OSError: the file system refuses; FileNotFoundError when no file has the private name.
    """
    number = 0
    while True:
        target = platform.conflict_name(folder, name, number)
        try:
            publisher.move(private_name, target, folder)
        except FileExistsError:
            number += 1
        else:
            return target


def _check_no_writer(writer: WriterState) -> None:
    if writer is WriterState.OPEN:
        raise Fault(FaultKind.SOURCE, "delivered, but a process holds the source open for writing")
