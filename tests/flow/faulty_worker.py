"""A worker process whose source and destination go wrong as the file in FAULT_SCRIPT says.

With SMALL_BLOCKS set, a file of a few kilobytes has several windows, and each of these is a checkpoint.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from agent import worker
from agent.faults import Side, classify
from agent.protocol import Place
from agent.stores import (
    arriving,
    checking,
    copying,
    folder,
    following,
    pipeline,
    reading,
    settling,
    source,
    together,
)
from agent.stores.folder import FolderDestination, destination_faults
from agent.stores.reading import read_exactly
from agent.stores.settling import settle
from agent.stores.source import open_below, open_same_file, open_source
from agent.stores.together import settle_together
from tests.flow.fault_script import ENVIRONMENT, FileTroubles
from tests.stores.faulty import FaultyDestination

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
    def opened(desk: worker.Desk, place: Place) -> Iterator[FaultyDestination]:
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
                raise source.own_fault(error) if own else classify(error, Side.SOURCE) from error

        return spoilt

    pwrite = os.pwrite
    patches: list[tuple[object, str, object]] = [
        (worker.Desk, "_destination", opened),
        (folder, "probe", destination_side("probe", folder.probe)),
        (folder, "find", destination_side("probe", folder.find)),
        (os, "pwrite", lambda fd, data, offset: pwrite(fd, troubles.cut(data), offset)),
        (source.Listing, "entries", source_side("list", source.Listing.entries, own=True)),
        (source, "examine", source_side("examine", source.examine, own=True)),
        (source, "exists", source_side("look_up", source.exists, own=True)),
        (arriving, "open_source", source_side("source_open", open_source)),
        (settling, "open_below", source_side("source_open", open_below)),
        (together, "open_below", source_side("source_open", open_below)),
        (arriving, "read_exactly", source_side("source_read", read_exactly)),
        (reading, "read_exactly", source_side("source_read", read_exactly)),
        (together, "read_exactly", source_side("source_read", read_exactly)),
        (following, "open_same_file", source_side("source_open", open_same_file)),
        (worker, "settle", source_side("settle", settle, own=True)),
        (worker, "settle_together", source_side("settle", settle_together, own=True)),
    ]
    for place, name, stand_in in patches:
        setattr(place, name, stand_in)


def shrink_blocks() -> None:
    for module in (pipeline, reading, copying, following, arriving, checking):
        setattr(module, "BLOCK_BYTES", SMALL_BLOCK_BYTES)  # noqa: B010  a constant to all but us
    pipeline.REPORT_S = 0.0
    following.HEADROOM_BYTES = SMALL_BLOCK_BYTES
    following.LOOK_S = 0.02
    following.IDLE_S = 0.5


def main() -> None:
    if os.environ.get(SMALL_BLOCKS):
        shrink_blocks()
    spoil(FileTroubles(Path(os.environ[ENVIRONMENT])))
    worker.main()


if __name__ == "__main__":
    main()
