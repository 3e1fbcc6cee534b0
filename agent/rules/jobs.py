"""One file between ready and delivered, as the scheduler keeps it."""

import enum

from attrs import define

from agent.config import Route
from agent.messages import Moved
from agent.terms import SourceFile, Status

MAX_DOUBTS = 2
CANCELLED = "cancelled by the operator"


class JobState(enum.Enum):
    IDLE = "idle"  # growing, and copied as far as it goes
    TRAILING = "trailing"  # growing, and to be followed further
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    PUTTING_AWAY = "putting away"  # to be abandoned, or being abandoned
    FAILED = "failed"
    LEFT = "left"  # no longer tracked; the line may still hold it


@define
class Job:
    """`ordinal` is its place in the queue, kept through interruptions; `setbacks` make it let others pass.

    `withdrawn`: the source is no longer in the state that `file` says; `vanished`: it is gone altogether.
    `successor`: its next state is ready already. `arrived_bytes`: written by earlier attempts. `grows`: it is
    still being written and only followed; `unfollowable`: following failed, so it waits for its end.
    """

    file: SourceFile
    route: Route
    ordinal: int
    state: JobState = JobState.QUEUED
    attempts: int = 0
    grows: bool = False
    unfollowable: bool = False
    started: bool = False
    cancelled: bool = False
    why_cancelled: str = CANCELLED
    withdrawn: bool = False
    vanished: bool = False
    retry_wanted: bool = False
    waits_for_space: bool = False
    error: str | None = None
    successor: SourceFile | None = None
    arrived_bytes: int = 0
    verified_bytes: int = -1  # at the last outage it met; none yet
    setbacks: int = 0
    doubts: int = 0
    deliveries_seen: int = 0

    @property
    def missing_bytes(self) -> int:
        """What is still to be written."""
        return self.file.signature.size_bytes - self.arrived_bytes

    def waiting(self, at: float, why_paused: str) -> Moved:
        """How visitors see it while it waits; `why_paused` is empty when nothing holds it up."""
        if why_paused:
            status, why = Status.PAUSED, why_paused
        elif self.waits_for_space:
            status, why = Status.IN_QUEUE, f"does not fit: needs {self.missing_bytes} bytes"
        else:
            status, why = Status.IN_QUEUE, "waits for a free place on the destination"
        return Moved(self.file.id, status, at, self.file, why, attempts=self.attempts)

    def copying(self, at: float) -> Moved:
        why = f"attempt {self.attempts + 1} of {self.route.max_attempts}"
        return Moved(self.file.id, Status.COPYING, at, self.file, why, attempts=self.attempts)

    def retrying(self, at: float, until_at: float) -> Moved:
        why = f"attempt {self.attempts} of {self.route.max_attempts} failed"
        return Moved(
            self.file.id, Status.IN_QUEUE, at, self.file, why, until_at, self.attempts, error=self.error
        )

    def failed(self, at: float) -> Moved:
        why = "given up until the file changes or someone retries it"
        return Moved(
            self.file.id, Status.FAILED, at, self.file, why, attempts=self.attempts, error=self.error
        )

    def doubted(self, verified_bytes: int, deliveries: int) -> bool:
        """Whether this file keeps meeting an outage that others do not meet.

        An outage met again without having got any further is a setback, and if others were delivered in the
        meantime a doubt; `deliveries` counts the destination's. Such a file must not pause its neighbours for
        ever.
        """
        if verified_bytes > self.verified_bytes:
            self.setbacks = self.doubts = 0
        else:
            self.setbacks += 1
            self.doubts += deliveries > self.deliveries_seen
        self.verified_bytes, self.deliveries_seen = verified_bytes, deliveries
        return self.doubts >= MAX_DOUBTS
