"""One file on its way to the destination, from ready to delivered or failed."""

from attrs import define, evolve

from agent.actors.dispatcher.transitions import (
    ABORTING,
    COPY_WAITING,
    GROWING,
    KEEPABLE,
    RUNNING,
    Effect,
    JobEvent,
    JobState,
    transition,
)
from agent.config.sections import Route
from agent.messages.broadcaster import StatusChanged
from agent.messages.dispatcher import Delivered, Ready
from agent.model.source_file import FileVersion, may_share_blocks
from agent.model.transfer import Delivery, PriorResult, ResumePoint, Status

MAX_SUSPICIONS = 2
MAX_WAIT_S = 10.0
CANCELLED = "cancelled by the operator"
STOPPED = "stopped: its upload job has ended"


@define
class Job:
    """It keeps its `queue_number` through interruptions, but for those by its source without progress.

    `waits_for_space`: it did not fit when its turn came. `successor`: the next state of the file, once this
    job has ended. `arrived_bytes`: written by earlier attempts. `outage_count`: outages in a row without
    progress; files with fewer go first. `verified_bytes`: at its last outage; -1 before the first. `delay_s`:
    until it goes on, the last time that it had to wait; `waits`: how often that cost no attempt.
    """

    file: FileVersion
    route: Route
    queue_number: int
    state: JobState = JobState.NEW
    attempts: int = 0
    error: str | None = None
    successor: FileVersion | None = None
    waits_for_space: bool = False
    arrived_bytes: int = 0
    verified_bytes: int = -1
    outage_count: int = 0
    suspicions: int = 0
    deliveries_seen: int = 0
    delay_s: float = 0.0
    waits: int = 0

    def on(
        self, event: JobEvent, file: FileVersion | None = None, error: str | None = None
    ) -> tuple[Effect, ...]:
        """Enter the next state and change the job's own data; returns the effects that are left to do."""
        found = transition(self.state, event)
        self.state = found.next_state
        if Effect.DELAY in found.effects:
            self._set_delay(event)
        return tuple(effect for effect in found.effects if not self._apply(effect, file, error))

    def _apply(self, effect: Effect, file: FileVersion | None, error: str | None) -> bool:
        """Returns whether this effect concerns the job's own data."""
        match effect:
            case Effect.UPDATE_FILE if file is not None:
                self.file = file
            case Effect.KEEP_SUCCESSOR:
                self.successor = file
            case Effect.DROP_SUCCESSOR:
                self.successor = None
            case Effect.COUNT_ATTEMPT:
                self.attempts += 1
            case Effect.RESET_ATTEMPTS:
                self.attempts = 0
            case Effect.SET_ERROR:
                self.error = error
            case Effect.CLEAR_ERROR:
                self.error = None
            case _:
                return False
        return True

    def _set_delay(self, event: JobEvent) -> None:
        """After an attempt the route's delay; what costs no attempt can go on for ever, so it goes slower."""
        self.delay_s = self.route.retry_delay_s
        if event is not JobEvent.ATTEMPT_FAILED or self.state in ABORTING:
            self.delay_s = max(self.delay_s, min(2.0**self.waits, MAX_WAIT_S))
            self.waits += 1

    @property
    def missing_bytes(self) -> int:
        """How many bytes are still to be written."""
        return self.file.signature.size_bytes - self.arrived_bytes

    @property
    def has_last_attempt(self) -> bool:
        return self.attempts + 1 >= self.route.max_attempts

    @property
    def status(self) -> Status:
        """As it is published, but for the pauses of queued files."""
        if self.state in GROWING:
            return Status.GROWING
        if self.state is JobState.FOLLOWING_ENDED:
            return Status.READY
        if self.state in COPY_WAITING or self.state is JobState.RETRYING:
            return Status.IN_QUEUE
        if self.state is JobState.KEPT:
            return Status.COMPLETED
        return Status.COPYING if self.state in RUNNING else Status.FAILED

    def waiting(self, at: float, why_paused: str) -> StatusChanged:
        """Its status while it is queued; `why_paused` is empty when only a slot is missing."""
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

    def retrying(self, at: float) -> StatusChanged:
        why = f"attempt {self.attempts} of {self.route.max_attempts} failed"
        until_at = at + self.delay_s
        return StatusChanged(
            self.file.id, Status.IN_QUEUE, at, self.file, why, until_at, self.attempts, error=self.error
        )

    def failed(self, at: float) -> StatusChanged:
        why = "given up until the file changes or someone retries it"
        return StatusChanged(
            self.file.id, Status.FAILED, at, self.file, why, attempts=self.attempts, error=self.error
        )

    def delivered(self, message: Delivered) -> StatusChanged:
        file, delivery = message.file, message.delivery
        if self.state not in KEEPABLE:  # nothing is left to be retried
            delivery = evolve(delivery, kept_because=None)
        return StatusChanged(
            file.id,
            Status.COMPLETED,
            message.at,
            file,
            "delivered",
            attempts=self.attempts,
            delivery=delivery,
        )

    def has_progressed(self, verified_bytes: int) -> bool:
        """Whether it got further than at its last outage, which this one is from now on."""
        before, self.verified_bytes = self.verified_bytes, verified_bytes
        return verified_bytes > before

    def is_suspect(self, verified_bytes: int, deliveries: int) -> bool:
        """Count an outage; returns whether this file keeps meeting outages that others do not meet.

        An outage without progress is a setback, and also a suspicion if others were delivered since the last
        one; `deliveries` counts those of the destination. Such a file must not pause the others for ever.
        """
        if self.has_progressed(verified_bytes):
            self.outage_count = self.suspicions = 0
        else:
            self.outage_count += 1
            self.suspicions += deliveries > self.deliveries_seen
        self.deliveries_seen = deliveries
        return self.suspicions >= MAX_SUSPICIONS


def shown_ready(message: Ready) -> StatusChanged:
    """The status of a file before the scheduler has decided what to do with it."""
    file = message.file
    return StatusChanged(file.id, Status.READY, message.at, file, "finished: waits for its turn")


def kept_before(file: FileVersion, prior: PriorResult) -> StatusChanged:
    """The status of a file that an earlier transfer delivered without removing its source."""
    delivery = None
    if prior.destination_path and prior.verified_level and prior.hash:
        size_bytes = file.signature.size_bytes
        delivery = Delivery(
            destination_path=prior.destination_path,
            level=prior.verified_level,
            hash=prior.hash,
            size_bytes=size_bytes,
            already_present=False,
            kept=True,
            kept_because=prior.error,
        )
    shown = evolve(file, discovered_at=min(file.discovered_at, prior.ended_at))
    return StatusChanged(
        file.id, Status.COMPLETED, prior.ended_at, shown, "delivered before and kept", delivery=delivery
    )


def resumable_bytes(point: ResumePoint | None, file: FileVersion, destination: str) -> int:
    """How much of this file an earlier run has copied to the destination; `point` None: nothing."""
    if point is None or point.destination != destination:
        return 0
    if not may_share_blocks(point.signature, file.signature):
        return 0
    return min(point.verified_bytes, file.signature.size_bytes)
