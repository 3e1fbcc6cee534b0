"""Whatever a destination or a source answers, at whichever operation: the right one pays, and all arrives."""

import errno
from pathlib import Path

import pytest
import trio

from agent.model.errors import OutageReason
from agent.model.transfer import Status
from agent.model.views import FileView, HistoryQuery
from tests.conftest import EVERY
from tests.flow.fault_script import FaultScript
from tests.flow.faulty_worker import SMALL_BLOCK_BYTES
from tests.flow.running_agents import (
    PATIENCE_S,
    POLL_S,
    Picture,
    Running,
    contents,
    eventually,
    fill,
    running,
    write_config,
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


def is_out(picture: Picture, reason: OutageReason) -> bool:
    route = picture.routes.get("mxf")
    return route is not None and route.outage is not None and route.outage.reason is reason


async def delivered_after_an_outage(
    house: Running, faults: FaultScript, name: str, operation: str, number: int
) -> FileView:
    """A file meets this error at this operation, and the probe meets it from then on, until it is over."""
    rule = faults.add(operation, number=number)
    fill(house.folder / "source", {name: CONTENT})
    await eventually(lambda: faults.struck(rule) > 0)
    faults.add("probe", number=number)
    await house.until(lambda seen: seen.status(name) is Status.PAUSED and is_out(seen, REASONS[number]))
    faults.heal()
    return await house.until_file(name, Status.COMPLETED)


@pytest.mark.parametrize("operation", ON_THE_WAY)
async def test_an_outage_interrupts_without_an_attempt_and_the_file_arrives_when_it_is_over(
    tmp_path: Path, faults: FaultScript, operation: str, numbers: list[int]
) -> None:
    write_config(tmp_path, max_attempts=1)
    names = {number: f"{errno.errorcode[number]}.mxf" for number in numbers}
    async with running(tmp_path) as house:
        for number, name in names.items():
            file = await delivered_after_an_outage(house, faults, name, operation, number)
            assert (file.current.attempts, file.current.error) == (0, None)
    assert contents(tmp_path / "nas") == dict.fromkeys(names.values(), CONTENT)
    assert contents(tmp_path / "source") == {}


@pytest.mark.parametrize("operation", WHEN_IT_STANDS_THERE)
async def test_an_outage_while_what_stands_there_is_compared_costs_no_attempt_either(
    tmp_path: Path, faults: FaultScript, operation: str, numbers: list[int]
) -> None:
    write_config(tmp_path, max_attempts=1)
    names = {number: f"{errno.errorcode[number]}.mxf" for number in numbers}
    fill(tmp_path / "nas", dict.fromkeys(names.values(), CONTENT))
    async with running(tmp_path) as house:
        for number, name in names.items():
            file = await delivered_after_an_outage(house, faults, name, operation, number)
            assert (file.current.attempts, file.current.error) == (0, None)
    assert contents(tmp_path / "nas") == dict.fromkeys(names.values(), CONTENT)
    assert contents(tmp_path / "source") == {}


@pytest.mark.parametrize("operation", ["open_partial", "write", "flush", "seal", "publish"])
async def test_an_operation_that_was_done_although_an_error_came_back_is_not_done_twice(
    tmp_path: Path, faults: FaultScript, operation: str
) -> None:
    write_config(tmp_path, max_attempts=1)
    faults.add(operation, number=errno.EIO, late=True, times=1)
    fill(tmp_path / "source", {"clip.mxf": CONTENT})
    async with running(tmp_path) as house:
        file = await house.until_file("clip.mxf", Status.COMPLETED)
    assert (file.current.attempts, faults.struck()) == (0, 1)
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


@pytest.mark.parametrize("operation", ON_THE_WAY)
async def test_a_destination_that_hangs_is_an_outage_and_the_file_arrives_when_it_answers(
    tmp_path: Path, faults: FaultScript, operation: str
) -> None:
    write_config(tmp_path, max_attempts=1, **IMPATIENT)
    rule = faults.add(operation, effect="hang")
    fill(tmp_path / "source", {"clip.mxf": CONTENT})
    async with running(tmp_path) as house:
        await eventually(lambda: faults.struck(rule) > 0)
        faults.add("probe", effect="hang")
        await house.until(
            lambda seen: seen.status("clip.mxf") is Status.PAUSED and is_out(seen, OutageReason.HUNG)
        )
        faults.heal()
        file = await house.until_file("clip.mxf", Status.COMPLETED)
    assert file.current.attempts == 0
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


async def test_what_a_cancelled_copy_left_is_removed_when_the_outage_that_kept_it_is_over(
    tmp_path: Path, faults: FaultScript
) -> None:
    write_config(tmp_path)
    faults.add("seal", effect="hang")
    fill(tmp_path / "source", {"clip.mxf": CONTENT})
    async with running(tmp_path) as house:
        await eventually(lambda: faults.struck() > 0)
        faults.heal()
        refused = faults.add("discard", number=errno.EROFS)
        await house.control.cancel(await house.file_id("clip.mxf"))
        await eventually(lambda: faults.struck(refused) > 0)
        await house.until_file("clip.mxf", Status.FAILED)
        faults.add("probe", number=errno.EROFS)
        await house.until(lambda seen: is_out(seen, OutageReason.READ_ONLY))
        assert contents(tmp_path / "nas") != {}
        faults.heal()
        await eventually(lambda: contents(tmp_path / "nas") == {})
        await house.control.retry_all()
        await house.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


async def test_a_destination_that_takes_a_few_bytes_at_a_time_gets_them_all(
    tmp_path: Path, faults: FaultScript
) -> None:
    write_config(tmp_path, max_attempts=1)
    faults.add(effect="short", times=100)
    fill(tmp_path / "source", {"clip.mxf": CONTENT})
    async with running(tmp_path) as house:
        await house.until_file("clip.mxf", Status.COMPLETED)
    assert faults.struck() == 100
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


# The source's own faults


SOURCE_FAULTS = [("source_open", errno.EACCES), ("source_read", errno.EIO)]


@pytest.mark.parametrize(("operation", "number"), SOURCE_FAULTS)
async def test_a_source_that_cannot_be_read_costs_its_attempts_and_the_others_go_on(
    tmp_path: Path, faults: FaultScript, operation: str, number: int
) -> None:
    write_config(tmp_path, max_attempts=3)
    async with running(tmp_path) as house:
        await house.until(Picture.is_scanned)
        faults.add(operation, number=number)
        fill(tmp_path / "source", {"clip.mxf": CONTENT})
        file = await house.until_file("clip.mxf", Status.FAILED)
        assert file.current.attempts == 3
        assert str(file.current.error).startswith("source: ")
        await eventually(lambda: contents(tmp_path / "nas") == {})
        faults.heal()
        fill(tmp_path / "source", {"other.mxf": b"other"})
        await house.until_file("other.mxf", Status.COMPLETED)
        assert (await house.control.snapshot()).routes[0].outage is None
        assert contents(tmp_path / "source") == {"clip.mxf": CONTENT}


@pytest.mark.parametrize(("operation", "number"), SOURCE_FAULTS)
async def test_it_is_tried_again_when_someone_asks(
    tmp_path: Path, faults: FaultScript, operation: str, number: int
) -> None:
    write_config(tmp_path, max_attempts=2)
    fill(tmp_path / "source", {"clip.mxf": CONTENT})
    faults.add(operation, number=number)
    async with running(tmp_path) as house:
        file = await house.until_file("clip.mxf", Status.FAILED)
        faults.heal()
        await house.control.retry(file.id)
        await house.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


@pytest.mark.parametrize(("operation", "number"), SOURCE_FAULTS)
async def test_it_is_tried_again_when_it_changes(
    tmp_path: Path, faults: FaultScript, operation: str, number: int
) -> None:
    write_config(tmp_path, max_attempts=2)
    fill(tmp_path / "source", {"clip.mxf": CONTENT})
    faults.add(operation, number=number)
    async with running(tmp_path) as house:
        await house.until_file("clip.mxf", Status.FAILED)
        faults.heal()
        fill(tmp_path / "source", {"clip.mxf": CONTENT + b"more"})
        await house.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT + b"more"}


async def test_a_source_that_fails_once_in_the_middle_goes_on_behind_what_was_verified(
    tmp_path: Path, faults: FaultScript
) -> None:
    write_config(tmp_path, max_attempts=2)
    faults.add("source_read", number=errno.EIO, first=18, times=1)
    fill(tmp_path / "source", {"clip.mxf": CONTENT})
    async with running(tmp_path) as house:
        file = await house.until_file("clip.mxf", Status.COMPLETED)
    assert file.current.attempts == 1
    assert len(CONTENT) <= faults.written_bytes() < len(CONTENT) + 9 * SMALL_BLOCK_BYTES
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


async def test_a_source_that_hangs_is_read_on_when_it_answers(tmp_path: Path, faults: FaultScript) -> None:
    write_config(tmp_path, **IMPATIENT)
    faults.add("source_read", effect="hang", first=18)
    fill(tmp_path / "source", {"clip.mxf": CONTENT})
    async with running(tmp_path) as house:
        await eventually(lambda: faults.struck() > 1)  # the first one was given up
        faults.heal()
        await house.until_file("clip.mxf", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


async def test_a_delivered_source_that_cannot_be_let_go_of_has_failed_but_stands_at_both_ends(
    tmp_path: Path, faults: FaultScript
) -> None:
    write_config(tmp_path, max_attempts=2)
    faults.add("settle", number=errno.EROFS)
    fill(tmp_path / "source", {"clip.mxf": CONTENT})
    async with running(tmp_path) as house:
        file = await house.until_file("clip.mxf", Status.FAILED)
        assert file.current.attempts == 2
        assert contents(tmp_path / "source") == contents(tmp_path / "nas") == {"clip.mxf": CONTENT}
        faults.heal()
        await house.control.retry(file.id)
        await house.until_file("clip.mxf", Status.COMPLETED)
        await eventually(lambda: contents(tmp_path / "source") == {})
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


async def test_it_has_still_failed_after_a_restart_and_leaves_its_source_when_someone_asks(
    tmp_path: Path, faults: FaultScript
) -> None:
    write_config(tmp_path, max_attempts=1)
    faults.add("settle", number=errno.EROFS)
    fill(tmp_path / "source", {"clip.mxf": CONTENT})
    async with running(tmp_path) as house:
        await house.until_file("clip.mxf", Status.FAILED)
        with trio.fail_after(PATIENCE_S):
            while not (await house.control.history(HistoryQuery())).rows:  # noqa: ASYNC110  a commit sets no event
                await trio.sleep(POLL_S)
    faults.heal()
    async with running(tmp_path) as house:
        file = await house.until_file("clip.mxf", Status.FAILED)
        assert "Read-only file system" in str(file.current.error)
        await house.control.retry_all()
        await house.until_file("clip.mxf", Status.COMPLETED)
        await eventually(lambda: contents(tmp_path / "source") == {})
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


# Altered on the way


@pytest.mark.parametrize("operation", ["write", "read_back"])
async def test_a_bit_that_turned_once_is_repaired(
    tmp_path: Path, faults: FaultScript, operation: str
) -> None:
    write_config(tmp_path, max_attempts=1)
    faults.add(operation, effect="flip", first=3, times=1)
    fill(tmp_path / "source", {"clip.mxf": CONTENT})
    async with running(tmp_path) as house:
        file = await house.until_file("clip.mxf", Status.COMPLETED)
        exposition = house.control.render_metrics().decode()
    assert (file.current.attempts, faults.struck()) == (0, 1)
    assert 'transfer_agent_verify_failures_total{route="mxf"} 1.0' in exposition
    assert contents(tmp_path / "nas") == {"clip.mxf": CONTENT}


@pytest.mark.parametrize("operation", ["write", "read_back"])
async def test_bits_that_turn_always_end_failed_with_the_block_named_and_nothing_left_there(
    tmp_path: Path, faults: FaultScript, operation: str
) -> None:
    write_config(tmp_path, max_attempts=2)
    faults.add(operation, effect="flip", first=3)
    fill(tmp_path / "source", {"clip.mxf": CONTENT})
    async with running(tmp_path) as house:
        file = await house.until_file("clip.mxf", Status.FAILED)
        await eventually(lambda: contents(tmp_path / "nas") == {})
    assert file.current.attempts == 2
    assert "(bytes " in str(file.current.error)
    assert str(file.current.error).endswith("reads back altered, twice")
    assert contents(tmp_path / "source") == {"clip.mxf": CONTENT}
