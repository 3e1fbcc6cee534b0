"""Whatever a destination or a source answers, at whichever operation: the right one pays, and all arrives."""

import errno
from pathlib import Path

import pytest

from agent.model.errors import OutageReason
from agent.model.transfer import Status
from agent.model.views import FileView, HistoryQuery
from tests.conftest import EVERY
from tests.flow.fault_script import FaultScript
from tests.flow.faulty_worker import SMALL_BLOCK_BYTES
from tests.flow.running_agents import (
    ClientView,
    RunningAgent,
    contents,
    eventually,
    running,
    running_with_clip,
    write_config,
    write_files,
)

CONTENT = b"".join(number.to_bytes(4, "big") for number in range(5 * SMALL_BLOCK_BYTES))  # 20 blocks
IMPATIENT = {"stall_timeout": "1s", "probe_timeout": "1s"}  # a busy machine starts a worker within that

REASONS = {
    errno.ENOSPC: OutageReason.FULL,
    errno.EDQUOT: OutageReason.FULL,
    errno.EROFS: OutageReason.READ_ONLY,
    errno.EACCES: OutageReason.DENIED,
    errno.EIO: OutageReason.IO_ERROR,
    errno.ESTALE: OutageReason.UNREACHABLE,
    errno.ENOTCONN: OutageReason.UNREACHABLE,
    errno.ETIMEDOUT: OutageReason.HUNG,
    errno.ENOENT: OutageReason.UNMOUNTED,
}
ON_THE_WAY = (
    "open",
    "open_partial",
    "size",
    "truncate",
    "write",
    "anchor",
    "flush",
    "read_back",
    "seal",
    "close",
    "stands",
    "publish",
)
WHEN_IT_STANDS_THERE = ("find", "compare", "make_durable", "discard")
TURNS = 3  # in part of a run: so many operations share out the errors between them


@pytest.fixture
def numbers(request: pytest.FixtureRequest, operation: str) -> list[int]:
    """The errors that this operation meets: all; in part of a run every third, from another one each time."""
    place = (*ON_THE_WAY, *WHEN_IT_STANDS_THERE).index(operation)
    return list(REASONS) if request.config.getoption(EVERY) else list(REASONS)[place % TURNS :: TURNS]


def is_out(view: ClientView, reason: OutageReason) -> bool:
    route = view.routes.get("mxf")
    return route is not None and route.outage is not None and route.outage.reason is reason


async def delivered_after_an_outage(
    agent: RunningAgent, faults: FaultScript, name: str, operation: str, number: int
) -> FileView:
    """A file meets this error at this operation, and the probe meets it from then on, until it is over."""
    rule = faults.add(operation, number=number)
    write_files(agent.folder / "source", {name: CONTENT})
    await eventually(lambda: faults.struck(rule) > 0)
    faults.add("probe", number=number)
    await agent.until(lambda view: view.status(name) is Status.PAUSED and is_out(view, REASONS[number]))
    faults.heal()
    return await agent.until_file(name, Status.COMPLETED)


@pytest.mark.parametrize("operation", ON_THE_WAY)
async def test_an_outage_interrupts_without_an_attempt_and_the_file_arrives_when_it_is_over(
    tmp_path: Path, faults: FaultScript, operation: str, numbers: list[int]
) -> None:
    write_config(tmp_path, max_attempts=1)
    names = {number: f"{errno.errorcode[number]}.mxf" for number in numbers}
    async with running(tmp_path) as agent:
        for number, name in names.items():
            file = await delivered_after_an_outage(agent, faults, name, operation, number)
            assert (file.current.attempts, file.current.error) == (0, None)
    assert contents(tmp_path / "nas") == dict.fromkeys(names.values(), CONTENT)
    assert contents(tmp_path / "source") == {}


@pytest.mark.parametrize("operation", WHEN_IT_STANDS_THERE)
async def test_an_outage_during_the_comparison_with_an_existing_file_costs_no_attempt(
    tmp_path: Path, faults: FaultScript, operation: str, numbers: list[int]
) -> None:
    write_config(tmp_path, max_attempts=1)
    names = {number: f"{errno.errorcode[number]}.mxf" for number in numbers}
    write_files(tmp_path / "nas", dict.fromkeys(names.values(), CONTENT))
    async with running(tmp_path) as agent:
        for number, name in names.items():
            file = await delivered_after_an_outage(agent, faults, name, operation, number)
            assert (file.current.attempts, file.current.error) == (0, None)
    assert contents(tmp_path / "nas") == dict.fromkeys(names.values(), CONTENT)
    assert contents(tmp_path / "source") == {}


@pytest.mark.parametrize("operation", ["open_partial", "write", "flush", "seal", "publish"])
async def test_an_operation_that_was_done_although_an_error_came_back_is_not_done_twice(
    tmp_path: Path, faults: FaultScript, operation: str
) -> None:
    faults.add(operation, number=errno.EIO, late=True, times=1)
    async with running_with_clip(tmp_path, CONTENT, max_attempts=1) as agent:
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
    assert (file.current.attempts, faults.struck()) == (0, 1)
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


@pytest.mark.parametrize("operation", ON_THE_WAY)
async def test_a_destination_that_hangs_is_an_outage_and_the_file_arrives_when_it_answers(
    tmp_path: Path, faults: FaultScript, operation: str
) -> None:
    rule = faults.add(operation, effect="hang")
    async with running_with_clip(tmp_path, CONTENT, max_attempts=1, **IMPATIENT) as agent:
        await eventually(lambda: faults.struck(rule) > 0)
        faults.add("probe", effect="hang")
        await agent.until(
            lambda view: view.status("clip.mxf") is Status.PAUSED and is_out(view, OutageReason.HUNG)
        )
        faults.heal()
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
    assert file.current.attempts == 0
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


async def test_the_partial_of_a_cancelled_copy_is_removed_after_the_outage_that_kept_it(
    tmp_path: Path, faults: FaultScript
) -> None:
    faults.add("seal", effect="hang")
    async with running_with_clip(tmp_path, CONTENT) as agent:
        await eventually(lambda: faults.struck() > 0)
        faults.heal()
        refused = faults.add("discard", number=errno.EROFS)
        await agent.control.cancel(await agent.file_id("clip.mxf"))
        await eventually(lambda: faults.struck(refused) > 0)
        await agent.until_file("clip.mxf", Status.FAILED)
        faults.add("probe", number=errno.EROFS)
        await agent.until(lambda view: is_out(view, OutageReason.READ_ONLY))
        assert contents(tmp_path / "nas") != {}
        faults.heal()
        await eventually(lambda: contents(tmp_path / "nas") == {})
        await agent.control.retry_all()
        await agent.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


async def test_a_destination_that_takes_a_few_bytes_at_a_time_gets_them_all(
    tmp_path: Path, faults: FaultScript
) -> None:
    faults.add(effect="short", times=100)
    async with running_with_clip(tmp_path, CONTENT, max_attempts=1) as agent:
        await agent.until_file("clip.mxf", Status.COMPLETED)
    assert faults.struck() == 100
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


# The source's own faults


SOURCE_FAULTS = [("source_open", errno.EACCES), ("source_read", errno.EIO)]


@pytest.mark.parametrize(("operation", "number"), SOURCE_FAULTS)
async def test_a_source_that_cannot_be_read_costs_its_attempts_and_the_others_go_on(
    tmp_path: Path, faults: FaultScript, operation: str, number: int
) -> None:
    write_config(tmp_path, max_attempts=3)
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        faults.add(operation, number=number)
        write_files(tmp_path / "source", {"clip.mxf": CONTENT})
        file = await agent.until_file("clip.mxf", Status.FAILED)
        assert file.current.attempts == 3
        assert str(file.current.error).startswith("source: ")
        await eventually(lambda: contents(tmp_path / "nas") == {})
        faults.heal()
        write_files(tmp_path / "source", {"other.mxf": b"other"})
        await agent.until_file("other.mxf", Status.COMPLETED)
        assert (await agent.control.snapshot()).routes[0].outage is None
        assert contents(tmp_path / "source") == {"clip.mxf": CONTENT}


@pytest.mark.parametrize(("operation", "number"), SOURCE_FAULTS)
async def test_a_failed_file_is_retried_on_command(
    tmp_path: Path, faults: FaultScript, operation: str, number: int
) -> None:
    faults.add(operation, number=number)
    async with running_with_clip(tmp_path, CONTENT, max_attempts=2) as agent:
        file = await agent.until_file("clip.mxf", Status.FAILED)
        faults.heal()
        await agent.control.retry(file.id)
        await agent.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


@pytest.mark.parametrize(("operation", "number"), SOURCE_FAULTS)
async def test_a_file_that_failed_on_a_source_fault_is_tried_again_when_it_changes(
    tmp_path: Path, faults: FaultScript, operation: str, number: int
) -> None:
    faults.add(operation, number=number)
    async with running_with_clip(tmp_path, CONTENT, max_attempts=2) as agent:
        await agent.until_file("clip.mxf", Status.FAILED)
        faults.heal()
        write_files(tmp_path / "source", {"clip.mxf": CONTENT + b"more"})
        await agent.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT + b"more"}


async def test_a_source_that_fails_once_resumes_at_the_last_verified_block(
    tmp_path: Path, faults: FaultScript
) -> None:
    faults.add("source_read", number=errno.EIO, first=18, times=1)
    async with running_with_clip(tmp_path, CONTENT, max_attempts=2) as agent:
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
    assert file.current.attempts == 1
    assert len(CONTENT) <= faults.written_bytes() < len(CONTENT) + 9 * SMALL_BLOCK_BYTES
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


async def test_a_copy_whose_source_hung_goes_on_when_it_answers(tmp_path: Path, faults: FaultScript) -> None:
    faults.add("source_read", effect="hang", first=18)
    async with running_with_clip(tmp_path, CONTENT, **IMPATIENT) as agent:
        await eventually(lambda: faults.struck() > 1)  # the first one was given up
        faults.heal()
        await agent.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


async def test_a_delivered_file_whose_source_may_not_be_removed_is_delivered_and_a_retry_removes_it(
    tmp_path: Path, faults: FaultScript
) -> None:
    faults.add("set_aside", number=errno.EROFS)
    async with running_with_clip(tmp_path, CONTENT, max_attempts=2) as agent:
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
        assert "Read-only file system" in str(file.current.kept_because)
        assert contents(tmp_path / "source") == contents(tmp_path / "nas") == {"clip.mxf": CONTENT}
        faults.heal()
        await agent.control.retry(file.id)
        await eventually(lambda: contents(tmp_path / "source") == {})
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


async def test_after_a_restart_it_is_not_delivered_again_and_a_retry_removes_it(
    tmp_path: Path, faults: FaultScript
) -> None:
    faults.add("set_aside", number=errno.EROFS)
    async with running_with_clip(tmp_path, CONTENT, max_attempts=1) as agent:
        await agent.until_file("clip.mxf", Status.COMPLETED)
    async with running(tmp_path) as agent:
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
        assert "Read-only file system" in str(file.current.kept_because)
        faults.heal()
        await agent.control.retry_all()
        await eventually(lambda: contents(tmp_path / "source") == {})
        rows = (await agent.control.history(HistoryQuery())).rows
    assert [row.result for row in rows] in (["kept"], ["delivered", "kept"])
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


# Altered on the way


@pytest.mark.parametrize("operation", ["write", "read_back"])
async def test_a_bit_that_flipped_once_is_repaired(
    tmp_path: Path, faults: FaultScript, operation: str
) -> None:
    faults.add(operation, effect="flip", first=3, times=1)
    async with running_with_clip(tmp_path, CONTENT, max_attempts=1) as agent:
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
        exposition = agent.control.render_metrics().decode()
    assert (file.current.attempts, faults.struck()) == (0, 1)
    assert 'transfer_agent_verify_failures_total{route="mxf"} 1.0' in exposition
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


@pytest.mark.parametrize("operation", ["write", "read_back"])
async def test_a_bit_that_flips_always_fails_the_file_names_the_block_and_leaves_no_partial(
    tmp_path: Path, faults: FaultScript, operation: str
) -> None:
    faults.add(operation, effect="flip", first=3)
    async with running_with_clip(tmp_path, CONTENT, max_attempts=2) as agent:
        file = await agent.until_file("clip.mxf", Status.FAILED)
        await eventually(lambda: contents(tmp_path / "nas") == {})
    assert file.current.attempts == 2
    assert "(bytes " in str(file.current.error)
    assert str(file.current.error).endswith("reads back altered, twice")
    assert contents(tmp_path / "source") == {"clip.mxf": CONTENT}
