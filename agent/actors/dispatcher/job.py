"""One file between ready and delivered, as the scheduler keeps it."""

import enum

from attrs import define

from agent.config.sections import Route
from agent.messages.broadcaster import StatusChanged
from agent.model.source_file import FileVersion
from agent.model.transfer import Status

MAX_SUSPICIONS = 2
CANCELLED = "cancelled by the operator"


class JobState(enum.Enum):
    GROWING_IDLE = "idle"  # growing, and copied as far as it goes
    GROWING_QUEUED = "trailing"  # growing, and to be followed further
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    ABORTING = "putting away"  # to be abandoned, or being abandoned
    FAILED = "failed"
    REMOVED = "left"  # no longer tracked; the line may still hold it


@define
class Job:
    """One file on its way. It keeps its `queue_number` through interruptions.

    `outage_count`: outages in a row without progress; files with fewer go first.

    `superseded`: the source is no longer in the state that `file` says; `source_gone`: it is gone altogether.
    `successor`: its next state is ready already. `arrived_bytes`: written by earlier attempts. `is_growing`:
    it is still being written and only followed; `follow_failed`: following failed, so it waits for its end.
    """

    file: FileVersion
    route: Route
    queue_number: int
    state: JobState = JobState.QUEUED
    attempts: int = 0
    is_growing: bool = False
    follow_failed: bool = False
    started: bool = False
    cancelled: bool = False
    cancel_reason: str = CANCELLED
    superseded: bool = False
    source_gone: bool = False
    retry_wanted: bool = False
    waits_for_space: bool = False
    error: str | None = None
    successor: FileVersion | None = None
    arrived_bytes: int = 0
    verified_bytes: int = -1  # at the last outage it met; none yet
    outage_count: int = 0
    suspicions: int = 0
    deliveries_seen: int = 0

    @property
    def missing_bytes(self) -> int:
        """What is still to be written."""
        return self.file.signature.size_bytes - self.arrived_bytes

    def waiting(self, at: float, why_paused: str) -> StatusChanged:
        """How visitors see it while it waits; `why_paused` is empty when nothing holds it up."""
        if why_paused:
            status, why = Status.PAUSED, why_paused
        elif self.waits_for_space:
            status, why = Status.IN_QUEUE, f"does not fit: needs {self.missing_bytes} bytes"
        else:
            status, why = Status.IN_QUEUE, "waits for a free place on the destination"
        return StatusChanged(self.file.id, status, at, self.file, why, attempts=self.attempts)

    def copying(self, at: float) -> StatusChanged:
        why = f"attempt {self.attempts + 1} of {self.route.max_attempts}"
        return StatusChanged(self.file.id, Status.COPYING, at, self.file, why, attempts=self.attempts)

    def retrying(self, at: float, until_at: float) -> StatusChanged:
        why = f"attempt {self.attempts} of {self.route.max_attempts} failed"
        return StatusChanged(
            self.file.id, Status.IN_QUEUE, at, self.file, why, until_at, self.attempts, error=self.error
        )

    def failed(self, at: float) -> StatusChanged:
        why = "given up until the file changes or someone retries it"
        return StatusChanged(
            self.file.id, Status.FAILED, at, self.file, why, attempts=self.attempts, error=self.error
        )

    def suspect(self, verified_bytes: int, deliveries: int) -> bool:
        """Whether this file keeps meeting an outage that others do not meet.

        An outage met again without having got any further is a setback, and if others were delivered in the
        meantime a doubt; `deliveries` counts the destination's. Such a file must not pause its neighbours for
        ever.
        """
        if verified_bytes > self.verified_bytes:
            self.outage_count = self.suspicions = 0
        else:
            self.outage_count += 1
            self.suspicions += deliveries > self.deliveries_seen
        self.verified_bytes, self.deliveries_seen = verified_bytes, deliveries
        return self.suspicions >= MAX_SUSPICIONS
