"""What a copy task reports of a file that did not get through."""

import time

from agent.faults import Fault, FaultKind
from agent.messages import Abandoned, CaughtUp, Done, Failed, Interrupted
from agent.terms import SourceFile

Outcome = Done | CaughtUp | Abandoned | Failed | Interrupted

# Not the file's fault, so no attempt is counted.
PAUSING = (FaultKind.DESTINATION, FaultKind.JOURNAL, FaultKind.SOURCE_OUTAGE, FaultKind.BUSY)


def faulted(file: SourceFile, fault: Fault, verified_bytes: int) -> Interrupted | Failed:
    if fault.kind in PAUSING:
        return Interrupted(file, fault, verified_bytes, time.time())
    return Failed(file, fault, time.time())
