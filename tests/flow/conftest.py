"""No worker process outlives its test, and none counts lines."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from agent.worker_pool import WorkerPool
from tests.flow import faulty_worker
from tests.flow.fault_script import ENVIRONMENT, FaultScript
from tests.flow.running_agents import PATIENCE_S, Brake, use_worker


@pytest.fixture(autouse=True)
def _workers_count_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting nearly doubles the price of a start; the tests of its parts count what a worker runs."""
    for name in list(os.environ):
        if name.startswith("COVERAGE_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _workers_are_reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent waits only a moment for those it has killed, since a dead mount may hold them; tests wait."""
    open_workers = WorkerPool.open

    @asynccontextmanager
    async def open_and_reap(claims: str) -> AsyncIterator[WorkerPool]:
        workers = WorkerPool(claims)
        try:
            async with open_workers(claims) as workers:
                yield workers
        finally:
            with trio.CancelScope(shield=True), trio.fail_after(PATIENCE_S):
                for worker in workers._killed:
                    await worker._process.wait()

    monkeypatch.setattr(WorkerPool, "open", open_and_reap)


@pytest.fixture
def brake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Brake:
    """Pulled already."""
    pulled = Brake(tmp_path / "hold")
    pulled.pull(monkeypatch)
    return pulled


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultScript:
    """Nothing goes wrong yet; blocks are small."""
    script = FaultScript(tmp_path / "faults.json")
    monkeypatch.setenv(ENVIRONMENT, str(script.path))
    monkeypatch.setenv(faulty_worker.SMALL_BLOCKS, "1")
    use_worker(monkeypatch, faulty_worker.__file__)
    return script
