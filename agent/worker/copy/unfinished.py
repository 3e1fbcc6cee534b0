"""Files that were not examined before they are copied, and prove to be unfinished."""

from agent.model.errors import Fault, FaultKind, Side, classify
from agent.protocol.replies import Unfinished
from agent.protocol.requests import CopyFile
from agent.worker.copy.pipeline import CopyProgress
from agent.worker.source.finish_evidence import finish_evidence

NOT_AS_BEFORE = (FaultKind.SOURCE_CHANGED, FaultKind.SOURCE_GONE)


def examine(request: CopyFile, source: int, progress: CopyProgress) -> Unfinished | None:
    """Examine the open source by the rule of the request, if it has one; None: it may be copied.

    Raises:
        Fault: SOURCE or SOURCE_OUTAGE.
    """
    if request.finish_rule is None:
        return None
    try:
        with progress.io_side.at_source():
            evidence = finish_evidence(source, progress.report_moved)
    except OSError as error:
        raise classify(error, Side.SOURCE) from error
    return None if request.finish_rule.allows(evidence) else Unfinished(evidence)


def unless_unfinished(request: CopyFile, fault: Fault) -> Fault | Unfinished:
    """Return this fault of a source that is opened; of one that nobody has examined, a change is none."""
    is_expected = request.finish_rule is not None and fault.kind in NOT_AS_BEFORE
    return Unfinished(None) if is_expected else fault
