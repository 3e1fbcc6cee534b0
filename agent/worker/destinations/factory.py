"""What stands behind a destination's address: a folder, or a bucket.

What is for buckets is imported only where there is one: boto3 takes 1.5 s.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

from agent.fs.publisher import Publisher
from agent.protocol.replies import Probed
from agent.protocol.requests import DestinationRef, FindDestination, ProbeDestination
from agent.worker.destinations import folder
from agent.worker.destinations.base import Destination

Alive = Callable[[], None]


def destination(
    place: DestinationRef, publisher: Publisher, alive: Alive
) -> AbstractContextManager[Destination]:
    """Opened for one request; `alive` is called while bytes move of which nothing else is heard.

    Raises: Fault: DESTINATION.
    """
    if place.s3 is None:
        return folder.FolderDestination.open(place, publisher)
    from agent.worker.destinations.s3.destination import S3Destination  # noqa: PLC0415  see above

    return S3Destination.open(place.root, place.s3, alive)


def probe(request: ProbeDestination, alive: Alive) -> Probed:
    """Is it there and usable? Raises: Fault: DESTINATION, with the reason of the outage."""
    if request.s3 is None:
        return folder.probe(request.root, request.marker, request.try_writing)
    from agent.worker.destinations.s3 import probe  # noqa: PLC0415  see above

    alive()
    return probe.probe(request.root, request.marker, request.try_writing, request.s3, alive)


def find(request: FindDestination, alive: Alive) -> Probed:
    """Is it there, to be read? Raises: Fault: DESTINATION, with the reason of the outage."""
    if request.s3 is None:
        return folder.find(request.root, request.marker)
    from agent.worker.destinations.s3 import probe  # noqa: PLC0415  see above

    alive()
    return probe.find(request.root, request.marker, request.s3, alive)
