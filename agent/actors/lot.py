"""The steps of many small files at once, from ready to done; each is in the journal before the next begins.

One request to a worker and one entry in the journal for each step of all of them. Whatever does not go
smoothly is left where the journal has it, and carried alone the next time.
"""

import time
import uuid
from collections.abc import Iterable, Sequence

import trio
from attrs import define, field

from agent.actors.errand import Tell
from agent.actors.hands import Hands
from agent.actors.lot_files import Arrived, Begun, Settled, Verified
from agent.actors.outcomes import PAUSING, faulted
from agent.config import Route
from agent.faults import Fault, FaultKind
from agent.ledger import Ledger
from agent.log import get_logger
from agent.messages import Counted, Done, Failed, Interrupted
from agent.protocol import (
    Copied,
    CopyFiles,
    Declined,
    Outcomes,
    Place,
    Published,
    PublishFiles,
    SettleSources,
    SourceSettled,
)
from agent.rules.naming import partial_path
from agent.stores.journal import JournalError
from agent.terms import SourceFile

log = get_logger(__name__)

Answer = Copied | Declined | Published | SourceSettled | Fault


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
            await self._settle(await self._publish(await self._copy(await self._begin())))
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
        names = {file.path: self.route.below + file.path for file in self.files}
        partials = {self._partial(file, names[file.path]): file for file in self.files}
        source, destination = self.route.source, self.route.destination
        ids = await self.ledger.lots.begin(partials, source, destination, self._began_at)
        return [
            Begun(file, self.route, self.place, ids[file.path], partial, names[file.path])
            for partial, file in partials.items()
            if file.path in ids
        ]

    def _partial(self, file: SourceFile, name: str) -> str:
        return partial_path(self.ledger.identity, file, name, uuid.uuid4().hex)

    async def _copy(self, begun: Sequence[Begun]) -> list[Verified]:
        if not begun:
            return []
        answers = await self._ask(CopyFiles(tuple(each.copy_request() for each in begun)))
        verified = []
        for each, answer in zip(begun, answers, strict=True):
            if isinstance(answer, Copied):
                await self._count_failures(answer.repaired_blocks)
                verified.append(Verified(each, answer))
            elif isinstance(answer, Fault):
                await self._count_failures(int(answer.kind is FaultKind.CORRUPT))
                self._faulted(each.file, answer)
        if verified:
            await self.ledger.lots.intend([each.intent() for each in verified])
        return verified

    async def _publish(self, verified: Sequence[Verified]) -> list[Arrived]:
        if not verified:
            return []
        answers = await self._ask(PublishFiles(tuple(each.publish_request() for each in verified)))
        arrived = []
        for each, answer in zip(verified, answers, strict=True):
            if isinstance(answer, Published):
                arrived.append(Arrived(each, answer))
            else:
                self._paused(each.begun.file, answer)
        if arrived:
            await self.ledger.lots.published([each.publication() for each in arrived])
        return arrived

    async def _settle(self, arrived: Sequence[Arrived]) -> None:
        if not arrived:
            return
        request = SettleSources(tuple(each.settle_request() for each in arrived))
        try:
            answers = await self._ask(request)
        except Fault as fault:
            if fault.kind is not FaultKind.WORKER:
                raise
            # It may have died after it had let go of some: that must be known before a scan sees them gone.
            answers = await self._ask(request)
        settled = []
        for each, answer in zip(arrived, answers, strict=True):
            if isinstance(answer, SourceSettled):
                settled.append(Settled(each, answer.kept))
            else:
                self._paused(each.file, answer)
        # Sources are gone: a halt that comes now must not hide that these files have been delivered.
        with trio.CancelScope(shield=True):
            await self._finish(settled)

    async def _finish(self, settled: Sequence[Settled]) -> None:
        if not settled:
            return
        try:
            await self.ledger.lots.finish([each.ending(time.time()) for each in settled])
        except JournalError as trouble:
            log.warning("delivered, but not in the history yet", error=str(trouble), **self._about)
            self._done(each for each in settled if each.kept is None)
            raise  # the others are still there to be settled once more
        self._done(settled)

    def _done(self, settled: Iterable[Settled]) -> None:
        for each in settled:
            file, delivery = each.arrived.file, each.delivery(self._began_at)
            self._outcomes[file.id] = Done(file, delivery, time.time())
            event = "kept" if delivery.kept else "delivered"
            log.info(event, to=delivery.destination_path, verified=delivery.level, **self._about_file(file))

    def _paused(self, file: SourceFile, answer: Answer) -> None:
        """What is not an outage is found out again, and dealt with, when the file is carried alone."""
        if isinstance(answer, Fault) and answer.kind in PAUSING:
            self._faulted(file, answer)

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
