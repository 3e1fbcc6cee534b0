"""The steps of many small files at once, from ready to done; each is in the journal before the next begins.

One request to a worker and one entry in the journal for each step of all of them. Whatever does not go
smoothly is left where the journal has it, and carried alone the next time.
"""

import time
import uuid
from collections.abc import Sequence

import trio
from attrs import define, field, frozen

from agent.actors.delivery import HASH_PREFIX
from agent.actors.errand import Tell, under
from agent.actors.hands import Hands
from agent.actors.outcomes import PAUSING, faulted
from agent.config import Route
from agent.faults import Fault, FaultKind
from agent.ledger import Ledger
from agent.log import get_logger
from agent.messages import Counted, Done, Failed, Interrupted
from agent.protocol import (
    Copied,
    CopyFile,
    CopyFiles,
    Declined,
    Outcomes,
    Pace,
    Place,
    Published,
    PublishFile,
    PublishFiles,
    SettleSource,
    SettleSources,
    SourceSettled,
)
from agent.rules.naming import partial_path
from agent.stores.journal import JournalError
from agent.terms import Delivery, Ending, SourceFile
from agent.views import HistoryResult

ATTEMPT = 1  # whatever was tried before is carried alone
log = get_logger(__name__)

Answer = Copied | Declined | Published | SourceSettled | Fault


@frozen
class Begun:
    """In the journal."""

    file: SourceFile
    transfer_id: int
    partial: str


@frozen
class Verified:
    """In its partial."""

    begun: Begun
    copied: Copied

    @property
    def hash(self) -> str:
        return HASH_PREFIX + self.copied.digest.hex()


@frozen
class Arrived:
    """Under its final name; only the source is left."""

    verified: Verified
    published: Published

    @property
    def file(self) -> SourceFile:
        return self.verified.begun.file

    @property
    def transfer_id(self) -> int:
        return self.verified.begun.transfer_id


@frozen
class End:
    """`kept`: why the source still stands, None: it is gone."""

    arrived: Arrived
    kept: str | None


@define
class Lot:
    """Files of one route; whichever gets no outcome here goes back into the line."""

    files: tuple[SourceFile, ...]
    route: Route
    place: Place
    ledger: Ledger
    hands: Hands
    tell: Tell
    _outcomes: dict[str, Done | Failed | Interrupted] = field(factory=dict, init=False)
    _fault: Fault | None = field(default=None, init=False)
    _began_at: float = field(factory=time.time, init=False)

    async def deliver(self) -> None:
        """Carry them over, as far as it goes."""
        try:
            verified = await self._copy(await self._begin())
            delivered = await self._publish(verified)
            await self._settle(delivered)
        except JournalError as error:
            self._fault = Fault(FaultKind.JOURNAL, str(error))
        except Fault as fault:
            self._fault = fault
            log.warning("interrupted", error=str(fault), files=len(self.files), **self._about)

    def outcomes(self) -> tuple[Done | Failed | Interrupted, ...]:
        """One for each file, in their order."""
        return tuple(self._outcomes.get(file.id) or self._back_into_line(file) for file in self.files)

    def _back_into_line(self, file: SourceFile) -> Interrupted:
        """What ended the lot, a worker's death perhaps, need not be this file's fault."""
        fault = self._fault if self._fault is not None and self._fault.kind in PAUSING else None
        return Interrupted(file, fault, 0, time.time())

    async def _begin(self) -> list[Begun]:
        """Those that the journal does not know yet."""
        partials = {self._partial(file): file for file in self.files}
        source, destination = self.route.source, self.route.destination
        ids = await self.ledger.lots.begin(partials, source, destination, self._began_at)
        return [
            Begun(file, ids[file.path], partial) for partial, file in partials.items() if file.path in ids
        ]

    def _partial(self, file: SourceFile) -> str:
        return partial_path(self.ledger.identity, file, self._name(file), uuid.uuid4().hex)

    def _name(self, file: SourceFile) -> str:
        return self.route.below + file.path

    async def _copy(self, begun: Sequence[Begun]) -> list[Verified]:
        if not begun:
            return []
        answers = await self._ask(CopyFiles(tuple(map(self._copy_request, begun))))
        verified: list[Verified] = []
        for each, answer in zip(begun, answers, strict=True):
            if isinstance(answer, Copied):
                await self._count_failures(answer.repaired_blocks)
                verified.append(Verified(each, answer))
            elif isinstance(answer, Fault):
                await self._count_failures(int(answer.kind is FaultKind.CORRUPT))
                self._faulted(each.file, answer)
        await self.ledger.lots.intend(
            [
                (each.begun.transfer_id, self._name(each.begun.file), each.hash, each.copied.level)
                for each in verified
            ]
        )
        return verified

    def _copy_request(self, begun: Begun) -> CopyFile:
        return CopyFile(
            source=self.route.source,
            path=begun.file.path,
            signature=begun.file.signature,
            place=self.place,
            name=self._name(begun.file),
            partial=begun.partial,
            digests=(),
            verify=self.route.verify,
            conflict=self.route.conflict,
            pace=Pace(),
        )

    async def _publish(self, verified: Sequence[Verified]) -> list[Arrived]:
        if not verified:
            return []
        answers = await self._ask(PublishFiles(tuple(map(self._publish_request, verified))))
        arrived: list[Arrived] = []
        for each, answer in zip(verified, answers, strict=True):
            if isinstance(answer, Published):
                arrived.append(Arrived(each, answer))
            elif isinstance(answer, Fault) and answer.kind in PAUSING:
                self._faulted(each.begun.file, answer)
        await self.ledger.lots.published(
            [(each.transfer_id, each.published.name, each.published.already_there) for each in arrived]
        )
        return arrived

    def _publish_request(self, verified: Verified) -> PublishFile:
        return PublishFile(
            place=self.place,
            partial=verified.begun.partial,
            name=self._name(verified.begun.file),
            conflict=self.route.conflict,
            size_bytes=verified.begun.file.signature.size_bytes,
            digest=verified.copied.digest,
        )

    async def _settle(self, arrived: Sequence[Arrived]) -> None:
        if not arrived:
            return
        request = SettleSources(tuple(map(self._settle_request, arrived)))
        try:
            answers = await self._ask(request)
        except Fault as fault:
            if fault.kind is not FaultKind.WORKER:
                raise
            # It may have died after it had let go of some: that must be known before a scan sees them gone.
            answers = await self._ask(request)
        ends: list[End] = []
        for each, answer in zip(arrived, answers, strict=True):
            if isinstance(answer, SourceSettled):
                ends.append(End(each, answer.kept))
            elif isinstance(answer, Fault) and answer.kind in PAUSING:
                self._faulted(each.file, answer)
        # Sources are gone: a halt that comes now must not hide that these files have been delivered.
        with trio.CancelScope(shield=True):
            await self._finish(ends)

    def _settle_request(self, arrived: Arrived) -> SettleSource:
        return SettleSource(
            source=self.route.source,
            path=arrived.file.path,
            signature=arrived.file.signature,
            after=self.route.after,
            archive=self.route.archive,
        )

    async def _finish(self, ends: Sequence[End]) -> None:
        if not ends:
            return
        try:
            await self.ledger.lots.finish(list(map(self._ending, ends)))
        except JournalError as trouble:
            log.warning("delivered, but not in the history yet", error=str(trouble), **self._about)
            for end in ends:
                if end.kept is None:
                    self._done(end)
            raise
        for end in ends:
            self._done(end)

    def _ending(self, end: End) -> Ending:
        result: HistoryResult = "delivered" if end.kept is None else "kept"
        error = None if self.route.after == "keep" else end.kept
        where = self._destination_path(end)
        return Ending(end.arrived.transfer_id, result, ATTEMPT, error, time.time(), where)

    def _done(self, end: End) -> None:
        arrived, file = end.arrived, end.arrived.file
        delivery = Delivery(
            destination_path=self._destination_path(end),
            level=arrived.verified.copied.level,
            hash=arrived.verified.hash,
            size_bytes=file.signature.size_bytes,
            already_there=arrived.published.already_there,
            kept=end.kept is not None,
            started_at=self._began_at,
        )
        self._outcomes[file.id] = Done(file, delivery, time.time())
        event = "kept" if delivery.kept else "delivered"
        log.info(event, to=delivery.destination_path, verified=delivery.level, **self._about_file(file))

    def _destination_path(self, end: End) -> str:
        return under(self.route.destination, end.arrived.published.name)

    def _faulted(self, file: SourceFile, fault: Fault) -> None:
        self._outcomes[file.id] = outcome = faulted(file, fault, 0)
        event = "interrupted" if isinstance(outcome, Interrupted) else "attempt failed"
        log.warning(event, error=str(fault), **self._about_file(file))

    async def _count_failures(self, number: int) -> None:
        for _ in range(number):
            await self.tell(Counted("verify_failure", self.route.name))

    async def _ask(self, request: CopyFiles | PublishFiles | SettleSources) -> tuple[Answer, ...]:
        return (await self.hands.ask(request, Outcomes)).each

    @property
    def _about(self) -> dict[str, str]:
        return {"route": self.route.name, "destination": self.route.destination}

    def _about_file(self, file: SourceFile) -> dict[str, str]:
        return {**self._about, "file": file.path, "transfer_id": file.id}
