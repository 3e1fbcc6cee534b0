"""A recovery for its tests, with workers that find nothing and remove whatever they are asked to."""

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from agent.actors.copier_pool.recovery import AGAIN_PROBES, Recovery
from agent.config.sections import Route
from agent.model.transfer import Transfer
from agent.protocol.replies import (
    Finished,
    Published,
    PublishedFiles,
    RemovedSources,
    SourceExists,
    SourceRemoved,
    VerifyResult,
)
from agent.protocol.requests import (
    ConfirmDelivery,
    DiscardPartial,
    FindOrphans,
    LookUpSource,
    PublishFiles,
    RemoveSources,
)
from tests.actors.samples import COPYING, DISCARDED, PLACE, PLAN
from tests.fakes import FakeJournal, FakeWorkers
from tests.samples import ROUTE

AGAIN_S = AGAIN_PROBES * PLAN.probe_s

EXISTS, GONE = SourceExists(exists=True), SourceExists(exists=False)
OTHER = evolve(COPYING, id=2, path="b.mxf", partial=".b.mxf.0.partial")


class Bench:
    def __init__(self, clock: MockClock, *transfers: Transfer, routes: tuple[Route, ...] = (ROUTE,)) -> None:
        self.journal = FakeJournal(None, *transfers)
        self.workers = FakeWorkers(clock, self.journal.diary)
        self.workers.script(LookUpSource, GONE)
        self.workers.script(DiscardPartial, DISCARDED)
        self.workers.script(ConfirmDelivery, VerifyResult("verified"))
        self.workers.script(RemoveSources, RemovedSources((SourceRemoved(None),)))
        self.workers.script(FindOrphans, Finished())
        self.workers.script(PublishFiles, PublishedFiles((Published("a.mxf", already_present=False),)))
        self.routes = {route.name: route for route in routes}

    @property
    def recovery(self) -> Recovery:
        return Recovery(PLAN, PLACE, self.routes, self.journal, self.workers)

    async def finish(self) -> list[str]:
        """The first half; the diary."""
        await self.recovery.complete_published()
        return self.journal.diary

    async def collect_orphans(self, rounds: int = 1) -> list[str]:
        """The second half until its last round is over; the diary."""
        recovery = self.recovery
        with trio.move_on_after(rounds * AGAIN_S - 1):
            await recovery.collect_orphans()
            await recovery.run_periodically()
        return self.journal.diary

    async def recover(self) -> None:
        """Both halves of one recovery."""
        recovery = self.recovery
        await recovery.complete_published()
        with trio.move_on_after(AGAIN_S - 1):
            await recovery.collect_orphans()
            await recovery.run_periodically()

    def discarded(self) -> list[str]:
        return [request.partial for _, request in self.workers.asked if isinstance(request, DiscardPartial)]

    def searches(self) -> list[bool]:
        """Whether each search was a deep one."""
        return [request.deep for _, request in self.workers.asked if isinstance(request, FindOrphans)]

    @staticmethod
    def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
        found = [record.msg for record in caplog.records]
        return [line for line in found if isinstance(line, dict) and line["event"] == event]
