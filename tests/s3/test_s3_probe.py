"""`check-config --probe` of a bucket."""

from agent.worker.destinations.s3.probe import try_bucket
from tests.s3.servers import TestBucket


def test_a_bucket_is_written_to_and_left_as_it_was(bucket: TestBucket) -> None:
    bucket.put("theirs.mxf", b"theirs")
    found = dict(try_bucket(bucket.root, ".probe.partial", bucket.server.access(), lambda: None))
    assert list(found) == ["write", "publish without replacing", "delete"]
    assert (found["write"], found["delete"]) == ("yes", "yes")
    assert found["publish without replacing"].startswith(
        ("yes, the service honours", "no: the service ignores")
    )
    assert bucket.objects() == {"theirs.mxf": b"theirs"}
