"""A transfer's next step, from what the journal remembers of it."""

import enum

from agent.model.source_file import FileVersion
from agent.model.transfer import Transfer, TransferPhase


class ResumeAction(enum.Enum):
    """Where a copy task begins."""

    RESUME = "resume"  # the partial may hold verified blocks of this very state of the file, or nothing yet
    RECONCILE = "revise"  # as before, but of an earlier state: each block has to be compared
    START_OVER = "start over"  # remembered for another state or destination: its partial is of no use
    PUBLISH = "publish"  # verified; the name may or may not have been given
    REMOVE_SOURCE = "settle"  # delivered; only the source is left


AFTER = {
    TransferPhase.COPYING: ResumeAction.RESUME,
    TransferPhase.VERIFIED: ResumeAction.PUBLISH,
    TransferPhase.PUBLISHED: ResumeAction.REMOVE_SOURCE,
}


def resume_action(transfer: Transfer, file: FileVersion, destination: str) -> ResumeAction:
    """How to go on with this file, which is ready."""
    if transfer.destination != destination:
        return ResumeAction.START_OVER
    if transfer.signature == file.signature:
        return AFTER[transfer.phase]
    reusable = transfer.phase is TransferPhase.COPYING and transfer.signature.is_same_file(file.signature)
    return ResumeAction.RECONCILE if reusable else ResumeAction.START_OVER
