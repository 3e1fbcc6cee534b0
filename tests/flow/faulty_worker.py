"""A worker process whose source and destination go wrong as the file in FAULT_SCRIPT says.

With SMALL_BLOCKS set, a file of a few kilobytes has several windows, and each of these is a checkpoint.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from agent.fs.private_name import rename_to_private
from agent.model.errors import Side, classify
from agent.protocol.requests import DestinationRef
from agent.worker import server
from agent.worker.copy import batch, copy_file, engine, pipeline, reader, tail, verify
from agent.worker.copy.reader import read_exactly
from agent.worker.destinations import folder
from agent.worker.destinations.folder import FolderDestination, destination_faults
from agent.worker.source import delivered_source, source_file
from agent.worker.source.remove import remove_sources
from agent.worker.source.scan import examine, list_files
from agent.worker.source.source_file import open_at, open_for_reading, open_same_file, open_source
from tests.flow.fault_script import ENVIRONMENT, FileTroubles
from tests.worker.copy.faulty import FaultyDestination

SMALL_BLOCKS = "SMALL_BLOCKS"
SMALL_BLOCK_BYTES = 4096
R = TypeVar("R")


class DestinationTroubles(FileTroubles):
    """Its error numbers become outages just as those of system calls do."""

    @contextmanager
    def around(self, operation: str) -> Iterator[None]:
        with destination_faults(), super().around(operation):
            yield


def spoil(troubles: FileTroubles) -> None:
    destination = DestinationTroubles(troubles.path)

    @contextmanager
    def opened(desk: server.WorkerServer, place: DestinationRef) -> Iterator[FaultyDestination]:
        with ExitStack() as stack:
            with destination.around("open"):
                inner = stack.enter_context(FolderDestination.open(place, desk._publisher))
            yield FaultyDestination(inner, destination)

    def destination_side(operation: str, call: Callable[..., R]) -> Callable[..., R]:
        def spoilt(*values: Any, **named: Any) -> R:  # noqa: ANN401  passed on as they come
            with destination.around(operation):
                return call(*values, **named)

        return spoilt

    def source_side(operation: str, call: Callable[..., R], *, own: bool = False) -> Callable[..., R]:
        def spoilt(*values: Any, **named: Any) -> R:  # noqa: ANN401  as above
            try:
                with troubles.around(operation):
                    return call(*values, **named)
            except OSError as error:
                raise source_file.source_fault(error) if own else classify(error, Side.SOURCE) from error

        return spoilt

    def set_aside(*values: Any) -> None:  # noqa: ANN401  as above
        with troubles.around("set_aside"):
            rename_to_private(*values)

    pwrite = os.pwrite
    patches: list[tuple[object, str, object]] = [
        (server.WorkerServer, "_destination", opened),
        (folder, "probe", destination_side("probe", folder.probe)),
        (folder, "find", destination_side("probe", folder.find)),
        (os, "pwrite", lambda fd, data, offset: pwrite(fd, troubles.cut(data), offset)),
        (server, "list_files", source_side("list", list_files, own=True)),
        (server, "examine", source_side("examine", examine, own=True)),
        (source_file, "look_up", source_side("look_up", source_file.look_up, own=True)),
        (copy_file, "open_source", source_side("source_open", open_source)),
        (delivered_source, "open_for_reading", source_side("source_open", open_for_reading)),
        (batch, "open_at", source_side("source_open", open_at)),
        (copy_file, "read_exactly", source_side("source_read", read_exactly)),
        (reader, "read_exactly", source_side("source_read", read_exactly)),
        (batch, "read_exactly", source_side("source_read", read_exactly)),
        (tail, "open_same_file", source_side("source_open", open_same_file)),
        (delivered_source, "rename_to_private", set_aside),
        (server, "remove_sources", source_side("settle", remove_sources, own=True)),
    ]
    for owner, name, stand_in in patches:
        replace(owner, name, stand_in)


def shrink_blocks() -> None:
    for module in (pipeline, reader, engine, tail, copy_file, verify):
        replace(module, "BLOCK_BYTES", SMALL_BLOCK_BYTES)
    pipeline.REPORT_S = 0.0
    tail.HEADROOM_BYTES = SMALL_BLOCK_BYTES
    tail.POLL_S = 0.02
    tail.IDLE_S = 0.5


def replace(owner: object, name: str, stand_in: object) -> None:
    """Replace an attribute. Raises: AttributeError: it does not exist, so nobody would use the stand-in."""
    getattr(owner, name)
    setattr(owner, name, stand_in)


def main() -> None:
    if os.environ.get(SMALL_BLOCKS):
        shrink_blocks()
    spoil(FileTroubles(Path(os.environ[ENVIRONMENT])))
    server.main()


if __name__ == "__main__":
    main()
