"""Upload jobs are routes that are made while the agent runs: what they all have in common stands here."""

from attrs import frozen

from agent.config.sections import Route, Uploads
from agent.model.upload import UploadJob

STABLE_S = 10.0
STABLE_CLOSED_S = 2.0
LABEL = "uploads"  # the metrics tell all jobs together as one route
PREFIX = "upload:"  # no configured route can be named so


@frozen(kw_only=True)
class UploadRoute(Route):
    """The route of one upload job. All jobs to one bucket share its destination, each with a folder there."""

    upload_id: str

    @property
    def below(self) -> str:
        return f"{self.upload_id}/"

    @property
    def label(self) -> str:
        return LABEL


def bucket_url(bucket: str) -> str:
    """The destination that all jobs to this bucket share, and with it the copies at a time."""
    return f"s3://{bucket}"


def upload_route(job: UploadJob, uploads: Uploads) -> UploadRoute:
    """Nothing is changed at the source, nothing replaced there; a changed file arrives as `name_1`."""
    return UploadRoute(
        name=f"{PREFIX}{job.id}",
        source=job.source_folder,
        destination=bucket_url(job.destination_bucket),
        include=() if job.pattern is None else (job.pattern,),
        after="keep",
        stable_s=STABLE_S,
        stable_closed_s=STABLE_CLOSED_S,
        unfinished="deliver",  # whatever somebody has asked for is sent as it stands
        conflict="rename",
        verify="read_back",
        workers=uploads.workers,
        low_space_bytes=0,
        upload_id=job.id,
    )
