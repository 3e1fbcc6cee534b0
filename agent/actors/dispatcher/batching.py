"""Small files are copied in batches: waiting for the device costs them more time than their bytes.

A batch takes one slot of the destination, as a single copy does.
"""

from attrs import define, field

from agent.actors.dispatcher.job import Job
from agent.actors.dispatcher.transitions import JobState
from agent.config.sections import DestinationPlan
from agent.model.transfer import SMALL_BYTES

MAX_BATCH_FILES = 128  # so many files are open at a time
MAX_BATCH_BYTES = 16 << 20  # they are in a worker's memory at a time
MAX_UNBATCHED = 8  # up to so many are copied one by one, so that each is shown as copying


def is_batchable(job: Job, plan: DestinationPlan) -> bool:
    """Whether it is small, was never tried, and goes into a folder without a bandwidth limit."""
    is_small = 0 < job.file.signature.size_bytes <= SMALL_BYTES
    return is_small and job.state is JobState.NEW and not job.route.bandwidth and plan.s3 is None


@define
class Batch:
    """The first job, and those that are copied with it."""

    plan: DestinationPlan
    jobs: list[Job]
    _size_bytes: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._size_bytes = sum(job.file.signature.size_bytes for job in self.jobs)

    def takes(self, job: Job, available_bytes: float) -> bool:
        """Whether this job may join, where so many bytes are free for the whole batch."""
        size_bytes = self._size_bytes + job.file.signature.size_bytes
        return (
            len(self.jobs) < MAX_BATCH_FILES
            and job.route is self.jobs[0].route
            and is_batchable(job, self.plan)
            and size_bytes <= min(MAX_BATCH_BYTES, available_bytes)
        )

    @property
    def is_worthwhile(self) -> bool:
        return len(self.jobs) > MAX_UNBATCHED

    def add(self, job: Job) -> None:
        self.jobs.append(job)
        self._size_bytes += job.file.signature.size_bytes
