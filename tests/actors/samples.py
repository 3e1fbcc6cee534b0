"""What the tests of the actors are made of, beside the samples of the rules and the fakes."""

from typing import TypeVar

import trio
from attrs import evolve

from agent.model.errors import Fault, FaultKind
from agent.model.transfer import TransferPhase
from agent.model.verification import DIGEST_BYTES
from agent.protocol.replies import Copied, Discarded
from agent.protocol.requests import DestinationRef
from tests.samples import NAS, ROUTE, a_config, a_file, a_transfer

T = TypeVar("T")

PLAN = a_config(ROUTE).destinations()[0]
PLACE = DestinationRef(NAS, 7)
FILE = a_file()
DIGEST = b"d" * DIGEST_BYTES
HASH = "xxh128:" + DIGEST.hex()
COPIED = Copied(DIGEST, "read_back", read_bytes=100, resumed_bytes=0, repaired_blocks=0)
CORRUPT = Fault(FaultKind.CORRUPT, "arrived altered")
PARTIAL_GONE = Fault(FaultKind.PARTIAL_GONE, "the partial has lost its name")
DISCARDED, NOT_FOUND = Discarded(is_gone=True), Discarded(is_gone=False)

COPYING = a_transfer()
VERIFIED = evolve(COPYING, phase=TransferPhase.VERIFIED, name="a.mxf", hash=HASH, level="read_back")
PUBLISHED = evolve(VERIFIED, phase=TransferPhase.PUBLISHED, name="a_1.mxf")


def drained(channel: trio.MemoryReceiveChannel[T]) -> list[T]:
    """All that waits in the channel now."""
    messages: list[T] = []
    while True:
        try:
            messages.append(channel.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            return messages
