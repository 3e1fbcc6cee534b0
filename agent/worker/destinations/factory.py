"""Choose the backend of a destination: a folder or an S3 bucket.

The S3 modules are imported only when a destination needs them, because boto3 takes half a second to load.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from agent.fs.publisher import Publisher
from agent.protocol.replies import FolderTried, Probed
from agent.protocol.requests import DestinationRef, FindDestination, ProbeDestination, TryBucket
from agent.worker.destinations import folder
from agent.worker.destinations.base import Destination
from agent.worker.destinations.write_pace import WritePace


def destination(
    ref: DestinationRef, publisher: Publisher, pace: WritePace, heartbeat: Callable[[], None]
) -> AbstractContextManager[Destination]:
    """Open a destination for one request; `heartbeat` is called while bytes move without any other reply.

    Raises:
        Fault: DESTINATION.
    """
    if ref.s3 is None:
        return folder.FolderDestination.open(ref, publisher, pace, heartbeat)
    from agent.worker.destinations.s3.destination import S3Destination  # noqa: PLC0415  see above

    return S3Destination.open(ref.root, ref.s3, heartbeat)


def temporary(ref: DestinationRef, path: str) -> AbstractContextManager[bool]:
    """Create this empty file of ours for the time of a block; one that is left from before makes way.

    Yields whether it is there: False in a bucket, and where the folder for it is missing. When the block ends
    it is gone.

    Raises:
        Fault: DESTINATION.
    """
    return folder.temporary(ref, path) if ref.s3 is None else nullcontext(enter_result=False)


def probe(request: ProbeDestination, heartbeat: Callable[[], None]) -> Probed:
    """Check that the destination exists and can be written to.

    Raises:
        Fault: DESTINATION, with the reason of the outage.
    """
    if request.s3 is None:
        return folder.probe(request.root, request.marker, request.try_writing, request.try_publishing)
    from agent.worker.destinations.s3 import probe  # noqa: PLC0415  see above

    heartbeat()
    return probe.probe(request.root, request.marker, request.try_writing, request.s3, heartbeat)


def find(request: FindDestination, heartbeat: Callable[[], None]) -> Probed:
    """Check that the destination exists, for reading only.

    Raises:
        Fault: DESTINATION, with the reason of the outage.
    """
    if request.s3 is None:
        return folder.find(request.root, request.marker)
    from agent.worker.destinations.s3 import probe  # noqa: PLC0415  see above

    heartbeat()
    return probe.find(request.root, request.marker, request.s3, heartbeat)


def try_bucket(request: TryBucket, heartbeat: Callable[[], None]) -> FolderTried:
    """Try what a bucket can do.

    Raises:
        Fault: DESTINATION, with the reason of the outage.
    """
    from agent.worker.destinations.s3 import probe  # noqa: PLC0415  see above

    heartbeat()
    return FolderTried(probe.try_bucket(request.root, request.name, request.s3, heartbeat))
