"""A sweeper for its tests, with workers that find nothing and remove whatever they are asked to."""

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from agent.actors.sweeping import AGAIN_S, Sweeper
from agent.config import Route
from agent.protocol import (
    DiscardPartial,
    FindStrays,
    Finished,
    LookUpSource,
    Presence,
    Published,
    PublishFile,
)
from agent.terms import Transfer
from tests.actors.samples import COPYING, PLACE, PLAN
from tests.fakes import FakeLedger, FakeWorkers
from tests.rules.samples import ROUTE

STANDS, GONE = Presence(exists=True), Presence(exists=False)
OTHER = evolve(COPYING, id=2, path="b.mxf", partial=".b.mxf.0.partial")


class Bench:
    def __init__(self, clock: MockClock, *transfers: Transfer, routes: tuple[Route, ...] = (ROUTE,)) -> None:
        self.ledger = FakeLedger(None, *transfers)
        self.workers = FakeWorkers(clock, self.ledger.diary)
        self.workers.script(LookUpSource, GONE)
        self.workers.script(DiscardPartial, Finished())
        self.workers.script(FindStrays, Finished())
        self.workers.script(PublishFile, Published("a.mxf", already_there=False))
        self.routes = {route.name: route for route in routes}

    @property
    def sweeper(self) -> Sweeper:
        return Sweeper(PLAN, PLACE, self.routes, self.ledger, self.workers)

    async def finish(self) -> list[str]:
        """The first half; the diary."""
        await self.sweeper.finish()
        return self.ledger.diary

    async def clear_away(self, rounds: int = 1) -> list[str]:
        """The second half until its last round is over; the diary."""
        sweeper = self.sweeper
        with trio.move_on_after(rounds * AGAIN_S - 1):
            await sweeper.clear_away()
            await sweeper.keep_clear()
        return self.ledger.diary

    async def sweep(self) -> None:
        """Both halves of one sweep."""
        sweeper = self.sweeper
        await sweeper.finish()
        with trio.move_on_after(AGAIN_S - 1):
            await sweeper.clear_away()
            await sweeper.keep_clear()

    def discarded(self) -> list[str]:
        return [request.partial for _, request in self.workers.asked if isinstance(request, DiscardPartial)]

    @staticmethod
    def said(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
        found = [record.msg for record in caplog.records]
        return [line for line in found if isinstance(line, dict) and line["event"] == event]
