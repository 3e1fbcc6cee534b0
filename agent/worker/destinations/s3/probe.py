"""Is a bucket there, and may we write into it?"""

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import evolve

from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.storage import S3Access
from agent.protocol.replies import Probed
from agent.worker.destinations.s3.bucket import Alive, S3Bucket
from agent.worker.destinations.s3.errors import ObjectMissing


def probe(root: str, marker: str | None, try_writing: str | None, access: S3Access, alive: Alive) -> Probed:
    """Is the bucket there and usable? An object named `try_writing`, gone afterwards, proves it.

    Raises: Fault: DESTINATION, with the reason of the outage.
    """
    found = find(root, marker, access, alive)
    if try_writing is not None:
        bucket = S3Bucket.at(root, access, alive)
        key = bucket.key(try_writing)
        with _outages_only():
            version = bucket.call("put_object", body=[b"probe"], Key=key, ContentLength=5).get("VersionId")
            versions = {"VersionId": version} if version not in (None, "null") else {}
            bucket.call("delete_object", Key=key, **versions)
    return found


def find(root: str, marker: str | None, access: S3Access, alive: Alive) -> Probed:
    """Is the bucket there? Enough for whoever only reads.

    Raises: Fault: DESTINATION, with the reason of the outage.
    """
    bucket = S3Bucket.at(root, access, alive)
    with _outages_only():
        try:
            bucket.call("head_bucket")
        except ObjectMissing:
            raise Fault.outage(OutageReason.UNMOUNTED, f"the bucket {bucket.name!r} does not exist") from None
        except Fault as fault:
            if fault.reason is OutageReason.DENIED:  # an answer without a body does not say why
                bucket.call("list_objects_v2", Prefix=bucket.prefix, MaxKeys=1)
            raise
        if marker is not None and bucket.head(bucket.key(marker)) is None:
            raise Fault.outage(OutageReason.MARKER_MISSING, f"the marker {marker!r} is not in {root}")
    return Probed(0, f"s3://{bucket.name}", None, None)


@contextmanager
def _outages_only() -> Iterator[None]:
    """Whatever keeps a destination from being probed is an outage."""
    try:
        yield
    except Fault as fault:
        if fault.kind is FaultKind.DESTINATION:
            raise
        raise evolve(fault, kind=FaultKind.DESTINATION, reason=OutageReason.IO_ERROR) from fault
