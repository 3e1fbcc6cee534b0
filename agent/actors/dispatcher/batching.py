"""Which files are carried together: small ones, whose waits for a device cost more than their bytes.

A lot has one of the places of a destination, as a single copy has.
"""

from attrs import define, field

from agent.actors.dispatcher.job import Job
from agent.config.sections import DestinationPlan

SMALL_BYTES = 1 << 20
MAX_BATCH_FILES = 128  # so many files are open at a time
MAX_BATCH_BYTES = 16 << 20  # they are in a worker's memory at a time
MAX_UNBATCHED = 8  # so few are carried one by one, each for everybody to see


def is_batchable(job: Job, plan: DestinationPlan) -> bool:
    """Whether it is plain enough: small, never tried before, into a folder, as fast as it may."""
    is_small = 0 < job.file.signature.size_bytes <= SMALL_BYTES
    return is_small and not job.started and not job.route.bandwidth and plan.s3 is None


@define
class Batch:
    """The first file, and those that go with it."""

    plan: DestinationPlan
    jobs: list[Job]
    _size_bytes: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._size_bytes = sum(job.file.signature.size_bytes for job in self.jobs)

    def takes(self, job: Job, room_bytes: float) -> bool:
        """Whether this one may come along, where there is so much room for all of them."""
        size_bytes = self._size_bytes + job.file.signature.size_bytes
        return (
            len(self.jobs) < MAX_BATCH_FILES
            and job.route is self.jobs[0].route
            and is_batchable(job, self.plan)
            and size_bytes <= min(MAX_BATCH_BYTES, room_bytes)
        )

    @property
    def is_worth_it(self) -> bool:
        return len(self.jobs) > MAX_UNBATCHED

    def add(self, job: Job) -> None:
        self.jobs.append(job)
        self._size_bytes += job.file.signature.size_bytes
