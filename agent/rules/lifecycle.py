"""A transfer's next step, from what the journal remembers of it."""

import enum

from agent.terms import SourceFile, Step, Transfer


class Next(enum.Enum):
    """Where a copy task begins."""

    BEGIN = "begin"  # nothing is remembered
    RESUME = "resume"  # the partial may hold verified blocks of this very state of the file
    REVISE = "revise"  # as before, but of an earlier state: each block has to be compared
    START_OVER = "start over"  # remembered for another state or destination: its partial is of no use
    PUBLISH = "publish"  # verified; the name may or may not have been given
    SETTLE = "settle"  # delivered; only the source is left


AFTER = {Step.COPYING: Next.RESUME, Step.INTENT: Next.PUBLISH, Step.PUBLISHED: Next.SETTLE}


def opening(transfer: Transfer | None, file: SourceFile, destination: str) -> Next:
    """How to go on with this file, which is ready."""
    if transfer is None:
        return Next.BEGIN
    if transfer.destination != destination:
        return Next.START_OVER
    if transfer.signature == file.signature:
        return AFTER[transfer.step]
    reusable = transfer.step is Step.COPYING and transfer.signature.is_same_file(file.signature)
    return Next.REVISE if reusable else Next.START_OVER
