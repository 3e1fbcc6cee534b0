"""How far a file of a lot has come, and what is asked for next."""

from attrs import frozen

from agent.actors.delivery import HASH_PREFIX
from agent.actors.errand import under
from agent.config import Route
from agent.protocol import Copied, CopyFile, Pace, Place, Published, PublishFile, SettleSource
from agent.terms import Delivery, Ending, SourceFile, VerifyLevel
from agent.views import HistoryResult

ATTEMPT = 1  # whatever was tried before is carried alone


@frozen
class Begun:
    """In the journal. `name`: the one it is to have at the destination."""

    file: SourceFile
    route: Route
    place: Place
    transfer_id: int
    partial: str
    name: str

    def copy_request(self) -> CopyFile:
        return CopyFile(
            source=self.route.source,
            path=self.file.path,
            signature=self.file.signature,
            place=self.place,
            name=self.name,
            partial=self.partial,
            digests=(),
            verify=self.route.verify,
            conflict=self.route.conflict,
            pace=Pace(),
        )


@frozen
class Verified:
    """In its partial."""

    begun: Begun
    copied: Copied

    @property
    def hash(self) -> str:
        return HASH_PREFIX + self.copied.digest.hex()

    def intent(self) -> tuple[int, str, str, VerifyLevel]:
        return self.begun.transfer_id, self.begun.name, self.hash, self.copied.level

    def publish_request(self) -> PublishFile:
        return PublishFile(
            place=self.begun.place,
            partial=self.begun.partial,
            name=self.begun.name,
            conflict=self.begun.route.conflict,
            size_bytes=self.begun.file.signature.size_bytes,
            digest=self.copied.digest,
        )


@frozen
class Arrived:
    """Under its final name; only the source is left."""

    verified: Verified
    published: Published

    @property
    def file(self) -> SourceFile:
        return self.verified.begun.file

    def publication(self) -> tuple[int, str, bool]:
        return self.verified.begun.transfer_id, self.published.name, self.published.already_there

    def settle_request(self) -> SettleSource:
        route = self.verified.begun.route
        return SettleSource(
            source=route.source,
            path=self.file.path,
            signature=self.file.signature,
            after=route.after,
            archive=route.archive,
        )


@frozen
class Settled:
    """`kept`: why the source still stands; None: it is gone."""

    arrived: Arrived
    kept: str | None

    @property
    def where(self) -> str:
        return under(self.arrived.verified.begun.route.destination, self.arrived.published.name)

    def ending(self, at: float) -> Ending:
        begun = self.arrived.verified.begun
        result: HistoryResult = "delivered" if self.kept is None else "kept"
        error = None if begun.route.after == "keep" else self.kept
        return Ending(begun.transfer_id, result, ATTEMPT, error, at, self.where)

    def delivery(self, began_at: float) -> Delivery:
        verified = self.arrived.verified
        return Delivery(
            destination_path=self.where,
            level=verified.copied.level,
            hash=verified.hash,
            size_bytes=verified.begun.file.signature.size_bytes,
            already_there=self.arrived.published.already_there,
            kept=self.kept is not None,
            started_at=began_at,
        )
