"""The route of an upload job. It is created while the agent runs; all jobs share the values below."""

from attrs import frozen

from agent.config.sections import Route, Uploads
from agent.model.upload import UploadJob

STABLE_S = 10.0
STABLE_CLOSED_S = 2.0
LABEL = "uploads"  # the metrics count all jobs as one route
PREFIX = "upload:"  # a configured route cannot have such a name


@frozen(kw_only=True)
class UploadRoute(Route):
    """The route of one upload job. All jobs to one bucket share its destination; each has a folder there."""

    upload_id: str

    @property
    def key_prefix(self) -> str:
        return f"{self.upload_id}/"

    @property
    def metrics_label(self) -> str:
        return LABEL


def bucket_url(bucket: str) -> str:
    """The destination that all jobs to this bucket share, and with it the number of workers."""
    return f"s3://{bucket}"


def upload_route(job: UploadJob, uploads: Uploads) -> UploadRoute:
    """The route of this job: nothing at the source is changed, nothing in the bucket is replaced."""
    return UploadRoute(
        name=f"{PREFIX}{job.id}",
        source=job.source_folder,
        destination=bucket_url(job.destination_bucket),
        include=() if job.pattern is None else (job.pattern,),
        after="keep",
        stable_s=STABLE_S,
        stable_closed_s=STABLE_CLOSED_S,
        unfinished="deliver",  # a requested file is sent as it is
        unseen_writers="deliver",
        conflict="rename",
        verify="read_back",
        workers=uploads.workers,
        low_space_bytes=0,
        upload_id=job.id,
    )
