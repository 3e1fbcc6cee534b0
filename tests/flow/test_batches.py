"""Many small files at once, through a whole agent: each arrives once, whatever goes wrong on the way."""

import errno
from collections import Counter
from pathlib import Path

import pytest
import trio

from agent.actors.copier_pool.transfer import DeliverTask
from agent.actors.dispatcher.batching import MAX_UNBATCHED
from agent.model.errors import OutageReason
from agent.model.transfer import Status
from agent.model.views import HistoryQuery
from tests.flow.fault_script import FaultScript
from tests.flow.running_agents import (
    POLL_S,
    TIMEOUT_S,
    ClientView,
    RunningAgent,
    contents,
    eventually,
    running,
    write_config,
    write_files,
)

MANY = {f"day {number % 3}/{number:03}.mxf": f"take {number}".encode() * 50 for number in range(60)}
IMPATIENT = {"stall_timeout": "1s", "probe_timeout": "1s"}


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files each copy task had."""
    sizes: list[int] = []
    run = DeliverTask.run

    async def counted(task: DeliverTask) -> None:
        sizes.append(len(task.files))
        await run(task)

    monkeypatch.setattr(DeliverTask, "run", counted)
    return sizes


async def all_delivered(agent: RunningAgent) -> ClientView:
    return await agent.until(
        lambda view: len(view.files) == len(MANY) and view.all_have(Status.COMPLETED) and not view.restarts()
    )


async def delivered_in_history(agent: RunningAgent) -> Counter[str]:
    page = await agent.control.history(HistoryQuery(limit=1000))
    assert {row.result for row in page.rows} <= {"delivered"}
    return Counter(row.path for row in page.rows)


async def test_many_small_files_are_each_delivered_once(tmp_path: Path, batches: list[int]) -> None:
    write_config(tmp_path)
    write_files(tmp_path / "source", MANY)
    async with running(tmp_path) as agent:
        view = await all_delivered(agent)
        assert await delivered_in_history(agent) == Counter(MANY.keys())
    assert contents(tmp_path / "nas") == MANY
    assert contents(tmp_path / "source") == {}
    assert max(batches) > MAX_UNBATCHED
    assert all(file.current.started_at is not None and file.current.hash for file in view.files.values())


@pytest.mark.parametrize("operation", ["open_partial", "seal", "read_back", "together", "publish"])
async def test_an_outage_in_the_middle_of_a_batch_costs_no_attempt_and_no_file(
    tmp_path: Path, faults: FaultScript, batches: list[int], operation: str
) -> None:
    write_config(tmp_path, max_attempts=1)
    rule = faults.add(operation, number=errno.EIO, first=1 if operation == "together" else 20)
    write_files(tmp_path / "source", MANY)
    async with running(tmp_path) as agent:
        await eventually(lambda: faults.struck(rule) > 0)
        faults.add("probe", number=errno.EIO)
        view = await agent.until(lambda view: "mxf" in view.routes and view.routes["mxf"].outage is not None)
        faults.heal()
        # The outage may kill a worker that has just removed a source: that file leaves the page, delivered.
        with trio.fail_after(TIMEOUT_S):
            while await delivered_in_history(agent) != Counter(MANY.keys()):  # noqa: ASYNC110  no event for rows
                await trio.sleep(POLL_S)
        after = await agent.until(lambda view: view.all_have(Status.COMPLETED))
    outage = view.routes["mxf"].outage
    assert outage is not None
    assert outage.reason is OutageReason.IO_ERROR
    assert {file.current.attempts for file in after.files.values()} == {0}
    assert contents(tmp_path / "nas") == MANY
    assert max(batches) > MAX_UNBATCHED


async def test_a_mount_that_hangs_in_the_middle_of_a_batch_is_an_outage_and_loses_nothing(
    tmp_path: Path, faults: FaultScript, batches: list[int]
) -> None:
    write_config(tmp_path, max_attempts=1, **IMPATIENT)
    rule = faults.add("seal", effect="hang", first=20)
    write_files(tmp_path / "source", MANY)
    async with running(tmp_path) as agent:
        await eventually(lambda: faults.struck(rule) > 0)
        await agent.until(lambda view: "mxf" in view.routes and view.routes["mxf"].outage is not None)
        faults.heal()
        await all_delivered(agent)
        assert await delivered_in_history(agent) == Counter(MANY.keys())
    assert contents(tmp_path / "nas") == MANY
    assert max(batches) > MAX_UNBATCHED


@pytest.mark.parametrize("operation", ["source_open", "source_read"])
async def test_a_file_that_cannot_be_read_costs_only_itself_an_attempt(
    tmp_path: Path, faults: FaultScript, batches: list[int], operation: str
) -> None:
    write_config(tmp_path)
    faults.add(operation, number=errno.EACCES, first=20, times=1)
    write_files(tmp_path / "source", MANY)
    async with running(tmp_path) as agent:
        await all_delivered(agent)
        exposition = agent.control.render_metrics().decode()
    assert 'transfer_agent_retries_total{kind="local",route="mxf"} 1.0' in exposition
    assert contents(tmp_path / "nas") == MANY
    assert max(batches) > MAX_UNBATCHED


async def test_blocks_that_were_altered_on_the_way_are_written_again(
    tmp_path: Path, faults: FaultScript, batches: list[int]
) -> None:
    write_config(tmp_path)
    rule = faults.add("write", effect="flip", first=20, times=3)
    write_files(tmp_path / "source", MANY)
    async with running(tmp_path) as agent:
        await all_delivered(agent)
        exposition = agent.control.render_metrics().decode()
    assert faults.struck(rule) == 3
    assert 'transfer_agent_verify_failures_total{route="mxf"} 0.0' not in exposition
    assert contents(tmp_path / "nas") == MANY
    assert max(batches) > MAX_UNBATCHED


async def test_files_whose_names_are_taken_are_renamed_and_the_existing_ones_stay(
    tmp_path: Path, batches: list[int]
) -> None:
    write_config(tmp_path)
    taken = sorted(MANY)[::10]
    write_files(tmp_path / "nas", dict.fromkeys(taken, b"somebody else's"))
    write_files(tmp_path / "source", MANY)
    async with running(tmp_path) as agent:
        await all_delivered(agent)
    expected = {**MANY, **dict.fromkeys(taken, b"somebody else's")}
    expected |= {path.replace(".mxf", "_1.mxf"): MANY[path] for path in taken}
    assert contents(tmp_path / "nas") == expected
    assert max(batches) > MAX_UNBATCHED


async def test_a_cancelled_file_of_a_batch_stays_and_the_others_are_delivered(
    tmp_path: Path, faults: FaultScript, batches: list[int]
) -> None:
    write_config(tmp_path, workers=1)
    rule = faults.add("seal", effect="hang", first=20)
    write_files(tmp_path / "source", MANY)
    async with running(tmp_path) as agent:
        await eventually(lambda: faults.struck(rule) > 0)
        path = max(MANY)
        await agent.control.cancel(await agent.file_id(path))
        faults.heal()
        await agent.until(lambda view: view.status(path) is Status.FAILED)
        await agent.until(
            lambda view: (
                sum(file.current.status is Status.COMPLETED for file in view.files.values()) == len(MANY) - 1
            )
        )
    assert contents(tmp_path / "source") == {path: MANY[path]}
    assert contents(tmp_path / "nas") == {name: content for name, content in MANY.items() if name != path}
    assert max(batches) > MAX_UNBATCHED
