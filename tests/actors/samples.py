"""What the tests of the actors are made of, beside the samples of the rules and the fakes."""

from typing import TypeVar

import trio
from attrs import evolve

from agent.faults import Fault, FaultKind
from agent.protocol import DIGEST_BYTES, Copied, Place
from agent.terms import Step
from tests.rules.samples import NAS, ROUTE, a_config, a_file, a_transfer

T = TypeVar("T")

PLAN = a_config(ROUTE).destinations()[0]
PLACE = Place(NAS, 7)
FILE = a_file()
DIGEST = b"d" * DIGEST_BYTES
HASH = "xxh128:" + DIGEST.hex()
COPIED = Copied(DIGEST, "read_back", read_bytes=100, resumed_bytes=0, repaired_blocks=0)
CORRUPT = Fault(FaultKind.CORRUPT, "arrived altered")

COPYING = a_transfer()
INTENT = evolve(COPYING, step=Step.INTENT, name="a.mxf", hash=HASH, level="read_back")
PUBLISHED = evolve(INTENT, step=Step.PUBLISHED, name="a_1.mxf")


def drained(channel: trio.MemoryReceiveChannel[T]) -> list[T]:
    """All that waits in the channel now."""
    messages: list[T] = []
    while True:
        try:
            messages.append(channel.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            return messages
