"""Where space has run out, a copy leaves some: for a probe of the destination, and for smaller files."""

from contextlib import suppress

from agent.model.errors import Fault, OutageReason
from agent.model.verification import BLOCK_BYTES
from agent.worker.destinations.base import Partial

SPARE_BLOCKS = 8


def make_room(partial: Partial, fault: Fault, known_blocks: int) -> None:
    """If the fault is that space has run out, give back what is not verified, and `SPARE_BLOCKS` that are.

    Under a quota that a partial of ours has used up, not even a probe could be written, and nothing would
    pass any more. A resumed copy goes on after the verified blocks that are left.
    """
    if fault.reason is OutageReason.FULL:
        with suppress(Fault):
            partial.leave_room(max(0, known_blocks - SPARE_BLOCKS) * BLOCK_BYTES)
