"""One file on its way to the destination, from ready to delivered or failed."""

from attrs import define, evolve, field

from agent.actors.dispatcher.setbacks import Setbacks
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

MAX_WAIT_S = 10.0
CANCELLED = "cancelled by the operator"
STOPPED = "stopped: its upload job has ended"


@define
class Job:
    """It keeps its `queue_number` through interruptions, but for those by its source without progress.

    `waits_for_space`: it did not fit when its turn came. `successor`: the next state of the file, once this
    job has ended. `arrived_bytes`: written by earlier attempts. `delay_s`: until it goes on, the last time
    that it had to wait; `waits`: how often that cost no attempt, as the last time if not `was_charged`.
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
    setbacks: Setbacks = field(factory=Setbacks)
    delay_s: float = 0.0
    waits: int = 0
    was_charged: bool = False

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
        self.was_charged = event is JobEvent.ATTEMPT_FAILED and self.state not in ABORTING
        if not self.was_charged:
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
        if self.state in COPY_WAITING | {JobState.RETRYING, JobState.CHECKING}:
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
            status, why = Status.IN_QUEUE, "waits for a free slot of the destination"
        return StatusChanged(self.file.id, status, at, self.file, why, attempts=self.attempts)

    def copying(self, at: float) -> StatusChanged:
        why = f"attempt {self.attempts + 1} of {self.route.max_attempts}"
        return StatusChanged(self.file.id, Status.COPYING, at, self.file, why, attempts=self.attempts)

    def checking(self, at: float) -> StatusChanged:
        why = "waits for a probe that tells whether the destination is at fault"
        return StatusChanged(
            self.file.id, Status.IN_QUEUE, at, self.file, why, attempts=self.attempts, error=self.error
        )

    def retrying(self, at: float) -> StatusChanged:
        why = "interrupted; no attempt was counted"
        if self.was_charged:
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

    def interrupted(self, verified_bytes: int, now_s: float) -> bool:
        """Its copy came back without having delivered; returns whether it got further: then it starts afresh.

        A cleanup says nothing about that.
        """
        if self.state in ABORTING:
            return False
        has_progressed = self.setbacks.interrupted(verified_bytes, now_s)
        if has_progressed:
            self.attempts = 0
        return has_progressed


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
