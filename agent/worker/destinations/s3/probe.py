"""Check that a bucket exists and can be written to."""

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import evolve

from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.storage import S3Access
from agent.protocol.replies import Probed
from agent.worker.destinations.base import Beat
from agent.worker.destinations.s3.bucket import S3Bucket
from agent.worker.destinations.s3.errors import ObjectMissing


def probe(root: str, marker: str | None, try_writing: str | None, access: S3Access, beat: Beat) -> Probed:
    """Check that the bucket exists and can be written to.

    `try_writing`: the name of an object that is created and deleted to prove it; None: check only.

    Raises:
        Fault: DESTINATION, with the reason of the outage.
    """
    found = find(root, marker, access, beat)
    if try_writing is not None:
        bucket = S3Bucket.at(root, access, beat)
        key = bucket.key(try_writing)
        with _outages_only():
            version = bucket.call("put_object", body=[b"probe"], Key=key, ContentLength=5).get("VersionId")
            versions = {"VersionId": version} if version not in (None, "null") else {}
            bucket.call("delete_object", Key=key, **versions)
    return found


def find(root: str, marker: str | None, access: S3Access, beat: Beat) -> Probed:
    """Check that the bucket exists, for reading only.

    Raises:
        Fault: DESTINATION, with the reason of the outage.
    """
    bucket = S3Bucket.at(root, access, beat)
    with _outages_only():
        try:
            bucket.call("head_bucket")
        except ObjectMissing:
            raise Fault.outage(OutageReason.UNMOUNTED, f"the bucket {bucket.name!r} does not exist") from None
        except Fault as fault:
            if fault.reason is OutageReason.DENIED:  # a response to HEAD has no body that gives the reason
                bucket.call("list_objects_v2", Prefix=bucket.prefix, MaxKeys=1)
            raise
        if marker is not None and bucket.head(bucket.key(marker)) is None:
            raise Fault.outage(OutageReason.MARKER_MISSING, f"the marker {marker!r} is not in {root}")
    return Probed(0, f"s3://{bucket.name}", None, None)


def try_bucket(root: str, name: str, access: S3Access, beat: Beat) -> tuple[tuple[str, str], ...]:
    """Return what was tried with an object of this name, and what came of it.

    Raises:
        Fault: DESTINATION, with the reason of the outage.
    """
    bucket = S3Bucket.at(root, access, beat)
    key = bucket.key(name)
    with _outages_only():
        bucket.put(key, [b"probe"], name)
        try:
            bucket.put(key, [b"other"], name)
        except FileExistsError:
            protected = "yes, the service honours If-None-Match"
        else:
            protected = "no: the service ignores If-None-Match; a moment remains (docs/limits.md)"
        bucket.call("delete_object", Key=key)
        is_gone = bucket.head(key) is None
    return (
        ("write", "yes"),
        ("publish without replacing", protected),
        ("delete", "yes" if is_gone else "no: the object is still there"),
    )


@contextmanager
def _outages_only() -> Iterator[None]:
    """Raise every Fault of this block as an outage: nothing else can be wrong with a probe."""
    try:
        yield
    except Fault as fault:
        if fault.kind is FaultKind.DESTINATION:
            raise
        raise evolve(fault, kind=FaultKind.DESTINATION, reason=OutageReason.IO_ERROR) from fault
