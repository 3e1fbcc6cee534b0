"""What stands behind a destination's address: a folder, or a bucket."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from types import ModuleType

from agent.protocol import FindDestination, Place, Probed, ProbeDestination
from agent.stores import folder
from agent.stores.destination import Destination
from agent.stores.platform import Publisher


def destination(
    place: Place, publisher: Publisher, alive: Callable[[], None]
) -> AbstractContextManager[Destination]:
    """Opened for one request; `alive` is called while bytes move of which nothing else is heard.

    Raises: Fault: DESTINATION.
    """
    if place.s3 is None:
        return folder.FolderDestination.open(place, publisher)
    opened: AbstractContextManager[Destination] = _s3().S3Destination.open(place.root, place.s3, alive)
    return opened


def probe(request: ProbeDestination) -> Probed:
    """Is it there and usable? Raises: Fault: DESTINATION, with the reason of the outage."""
    asked = (request.root, request.marker, request.try_writing)
    if request.s3 is None:
        return folder.probe(*asked)
    probed: Probed = _s3().probe(*asked, request.s3)
    return probed


def find(request: FindDestination) -> Probed:
    """Is it there, to be read? Raises: Fault: DESTINATION, with the reason of the outage."""
    if request.s3 is None:
        return folder.find(request.root, request.marker)
    found: Probed = _s3().find(request.root, request.marker, request.s3)
    return found


def _s3() -> ModuleType:
    """Only where there is one: boto3 takes 1.5 s to import, and need not be installed."""
    return import_module("agent.stores.s3.destination")
