"""For tests of whole agents: no worker process outlives its test or measures coverage; INFO is logged."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from agent.worker_pool import WorkerPool
from tests import forks
from tests.coverage_environment import coverage_variables
from tests.flow import faulty_worker
from tests.flow.fault_script import ENVIRONMENT, FaultScript
from tests.flow.running_agents import TIMEOUT_S, CopyHold, use_worker


@pytest.fixture(autouse=True)
def _workers_are_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """They measure no coverage: unit tests cover what they run."""
    for name in coverage_variables():
        monkeypatch.delenv(name)
    monkeypatch.setattr(trio.lowlevel, "open_process", forks.open_worker)


@pytest.fixture(autouse=True)
def _workers_are_reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for killed workers; the agent itself waits only a moment, since a dead mount may block them."""
    open_workers = WorkerPool.open

    @asynccontextmanager
    async def open_and_reap(lock_path: str) -> AsyncIterator[WorkerPool]:
        workers = WorkerPool(lock_path)
        try:
            async with open_workers(lock_path) as workers:
                yield workers
        finally:
            with trio.CancelScope(shield=True), trio.fail_after(TIMEOUT_S):
                for worker in workers._killed:
                    await worker._process.wait()

    monkeypatch.setattr(WorkerPool, "open", open_and_reap)


@pytest.fixture(autouse=True)
def _info_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture
def copy_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CopyHold:
    """Installed: every copy waits after its first checkpoint."""
    copy_hold = CopyHold(tmp_path / "hold")
    copy_hold.install(monkeypatch)
    return copy_hold


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultScript:
    """Without a rule yet; blocks are small."""
    script = FaultScript(tmp_path / "faults.json")
    monkeypatch.setenv(ENVIRONMENT, str(script.path))
    monkeypatch.setenv(faulty_worker.SMALL_BLOCKS, "1")
    use_worker(monkeypatch, faulty_worker.__name__)
    return script
