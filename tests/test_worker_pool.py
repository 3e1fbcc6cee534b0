"""The Trio side of worker processes: reuse, faults, death, deadlines, and that none outlives its agent."""

import errno
import os
import pickle
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock, wait_all_tasks_blocked

from agent import worker_pool
from agent.fs.mount_table import Mount
from agent.model.errors import Fault, FaultKind, Side
from agent.protocol.replies import Blocked, Checkpoint, Copied, Copying, Finished, Reply, SourceExists
from agent.protocol.requests import CopyFile, LookUpSource, PrepareSource
from agent.worker.source.source_file import signature_of
from agent.worker_pool import (
    MAX_IDLE,
    MAX_UNKILLABLE,
    Patience,
    StallTimeout,
    UnkillableWorkers,
    WorkerPool,
    WorkerProcess,
)
from tests.worker.copy.folders import PARTIAL, Ground

LOOK_UP = LookUpSource("/", "etc")
LONG_S = 60.0


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine even a killed process takes its time."""
    monkeypatch.setattr(worker_pool, "EXIT_WAIT_S", LONG_S)


@pytest.fixture
async def workers() -> AsyncIterator[WorkerPool]:
    async with WorkerPool.open(os.devnull) as opened:
        yield opened


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[CopyFile]:
    """A copy that does not end while a test runs: its source is a tebibyte of hole."""
    ground = Ground.below(tmp_path)
    (ground.source / "clip.mxf").touch()
    os.truncate(ground.source / "clip.mxf", 1 << 40)
    yield ground.copy()
    (ground.nas / PARTIAL).unlink(missing_ok=True)  # it may be large


@contextmanager
def watched(pid: int) -> Iterator[select.poll]:
    """Polls as readable once the process has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        end = select.poll()
        end.register(descriptor, select.POLLIN)
        yield end
    finally:
        os.close(descriptor)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def ask(workers: WorkerPool) -> SourceExists:
    return await workers.ask(LOOK_UP, SourceExists, stall_timeout_s=LONG_S)


# Replies


async def test_a_request_is_answered(workers: WorkerPool) -> None:
    assert await ask(workers) == SourceExists(exists=True)


async def test_streamed_replies_come_before_the_last_one_or_are_ignored(
    workers: WorkerPool, copy: CopyFile
) -> None:
    clip = f"{copy.source}/{copy.path}"
    os.truncate(clip, 3 << 20)
    short = evolve(copy, signature=signature_of(os.stat(clip)))
    streamed: list[Reply] = []

    async def collect(reply: Reply) -> None:
        await trio.lowlevel.checkpoint()
        streamed.append(reply)

    first = await workers.ask(short, Copied, stall_timeout_s=LONG_S, on_reply=collect)
    again = await workers.ask(short, Copied, stall_timeout_s=LONG_S)
    assert evolve(first, file_identity=None) == evolve(again, file_identity=None)  # it is written anew
    assert {type(reply) for reply in streamed} == {Copying, Checkpoint}


async def test_a_fault_is_raised_here_and_its_worker_goes_on(workers: WorkerPool, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with workers.acquire() as worker:
        with pytest.raises(Fault) as fault:
            await worker.ask(PrepareSource(str(tmp_path / "file")), stall_timeout_s=LONG_S)
        assert fault.value.kind is FaultKind.SOURCE_OUTAGE
        assert worker.is_idle
        assert await worker.ask(LOOK_UP, stall_timeout_s=LONG_S) == SourceExists(exists=True)


async def test_a_reply_of_the_wrong_type_is_a_fault(workers: WorkerPool) -> None:
    with pytest.raises(Fault, match="LookUpSource was answered by SourceExists") as fault:
        await workers.ask(LOOK_UP, Finished, stall_timeout_s=LONG_S)
    assert fault.value.kind is FaultKind.WORKER


# Reuse


async def test_an_idle_worker_is_used_again(workers: WorkerPool) -> None:
    async with workers.acquire() as first:
        await first.ask(LOOK_UP, stall_timeout_s=LONG_S)
    async with workers.acquire() as again:
        assert again is first


async def test_two_at_a_time_have_a_worker_each(workers: WorkerPool) -> None:
    async with workers.acquire() as one, workers.acquire() as other:
        assert one.pid != other.pid


async def test_no_more_than_max_idle_workers_are_kept(workers: WorkerPool) -> None:
    acquired = [workers.acquire() for _ in range(MAX_IDLE + 1)]
    pids = [(await one.__aenter__()).pid for one in acquired]
    with watched(pids[-1]) as end:
        for one in acquired:
            await one.__aexit__(None, None, None)
        assert end.poll(LONG_S * 1000)
    assert [worker.pid for worker in workers._idle] == pids[:-1]


async def test_a_worker_that_died_while_idle_is_replaced_unnoticed(workers: WorkerPool) -> None:
    async with workers.acquire() as worker:
        pid = worker.pid
    os.kill(pid, signal.SIGKILL)
    await worker.wait_exited()
    assert await ask(workers) == SourceExists(exists=True)
    assert [idle.pid for idle in workers._idle] != [pid]


async def test_closing_ends_every_worker() -> None:
    async with WorkerPool.open(os.devnull) as workers, workers.acquire() as one:
        async with workers.acquire() as other:
            pass
        pids = [one.pid, other.pid]
    assert not any(is_running(pid) for pid in pids)


async def test_a_stopped_worker_delays_nothing() -> None:
    async with WorkerPool.open(os.devnull) as workers:
        async with workers.acquire() as worker:
            os.kill(worker.pid, signal.SIGSTOP)
        pid = worker.pid
    assert not is_running(pid)


async def test_a_worker_that_will_not_die_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "EXIT_WAIT_S", 0.0)
    monkeypatch.setattr(WorkerProcess, "kill", lambda _: None)
    with trio.fail_after(LONG_S):
        async with WorkerPool.open(os.devnull) as workers, workers.acquire() as worker:
            pass
    # Its pipes are closed, so it ends by itself once it can.
    await worker.wait_exited()


# Death


async def test_a_worker_that_dies_at_work_is_a_fault_and_is_not_used_again(
    workers: WorkerPool, copy: CopyFile
) -> None:
    async def kill(_: Reply) -> None:
        await trio.lowlevel.checkpoint()
        os.kill(pid, signal.SIGKILL)

    async with workers.acquire() as worker:
        pid = worker.pid
        with pytest.raises(Fault, match=f"worker process {pid} died") as fault:
            await worker.ask(copy, stall_timeout_s=LONG_S, on_reply=kill)
    assert fault.value.kind is FaultKind.WORKER
    assert workers._idle == []
    assert await ask(workers) == SourceExists(exists=True)


async def test_a_request_to_a_dead_worker_is_a_fault(workers: WorkerPool) -> None:
    async with workers.acquire() as worker:
        os.kill(worker.pid, signal.SIGKILL)
        await worker.wait_exited()
        with pytest.raises(Fault, match="died") as fault:
            await worker.ask(LOOK_UP, stall_timeout_s=LONG_S)
    assert fault.value.kind is FaultKind.WORKER


async def test_a_worker_that_cannot_be_started_is_a_fault(
    workers: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(Fault, match="no worker process can be started") as fault:
        await ask(workers)
    assert fault.value.kind is FaultKind.WORKER


async def test_cancelling_a_request_kills_its_worker(workers: WorkerPool, copy: CopyFile) -> None:
    scope = trio.CancelScope()

    async def cancel(_: Reply) -> None:
        await trio.lowlevel.checkpoint()
        scope.cancel()

    with scope:
        async with workers.acquire() as worker:
            await worker.ask(copy, stall_timeout_s=LONG_S, on_reply=cancel)
    assert scope.cancelled_caught
    with watched(worker.pid) as end:
        assert end.poll(LONG_S * 1000)
    assert worker.has_exited()
    assert workers._idle == []


async def test_killed_workers_are_remembered_until_they_are_gone(workers: WorkerPool) -> None:
    async with workers.acquire() as worker:
        worker.is_idle = False  # a request is open
    assert workers._killed == [worker]
    await worker.wait_exited()
    await ask(workers)
    assert workers._killed == []


async def test_none_is_unkillable_once_the_killed_workers_have_exited(
    workers: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [workers.none_unkillable]
    with monkeypatch.context() as immortal:
        immortal.setattr(WorkerProcess, "kill", lambda _: None)
        async with workers.acquire() as worker:
            worker.is_idle = False  # a request is open
            os.kill(worker.pid, signal.SIGSTOP)  # before its pipes are closed, which would end it
        seen.append(workers.none_unkillable)
    worker.kill()
    await worker.wait_exited()
    assert [*seen, workers.none_unkillable] == [True, False, True]


# Stall timeout


async def test_a_worker_that_sends_nothing_is_killed(workers: WorkerPool) -> None:
    async with workers.acquire() as worker:
        pid = worker.pid
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(trio.TooSlowError):
        await workers.ask(LOOK_UP, SourceExists, stall_timeout_s=0.05)
    with watched(pid) as end:
        assert end.poll(LONG_S * 1000)


async def test_a_worker_that_does_not_read_its_request_stalls_too(workers: WorkerPool) -> None:
    async with workers.acquire() as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        long = LookUpSource("/", "n" * (1 << 20))  # more than a pipe holds
        with pytest.raises(trio.TooSlowError):
            await worker.ask(long, stall_timeout_s=0.05)


async def test_a_worker_that_only_reports_its_blocked_side_stalls(
    workers: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = [Blocked(Side.SOURCE), Blocked(Side.DESTINATION)]

    async def receive(_: WorkerProcess) -> tuple[bool, Reply]:
        if not replies:
            await trio.sleep_forever()
        return False, replies.pop(0)

    monkeypatch.setattr(WorkerProcess, "_receive", receive)
    async with workers.acquire() as worker:
        with pytest.raises(StallTimeout) as stall:
            await worker.ask(LOOK_UP, stall_timeout_s=0.05)
        assert (stall.value.side, stall.value.worker) == (Side.DESTINATION, worker)


class StuckWorker(WorkerProcess):
    """In state D until it is let go."""

    def __init__(self) -> None:
        self.is_gone = False

    def has_exited(self) -> bool:
        return self.is_gone


def stuck_workers(mounts: Callable[[], set[Mount]], monkeypatch: pytest.MonkeyPatch) -> UnkillableWorkers:
    monkeypatch.setattr(worker_pool, "mounts_above", lambda _: frozenset(mounts()))
    return UnkillableWorkers("/mnt/nas")


NFS, AGAIN = Mount(31, "/mnt/nas", "nfs4"), Mount(32, "/mnt/nas", "nfs4")


async def test_a_caller_with_a_few_unkillable_workers_waits_until_one_has_exited(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = stuck_workers(lambda: {NFS}, monkeypatch)
    workers = [StuckWorker() for _ in range(MAX_UNKILLABLE)]
    for worker in workers:
        await stuck.wait_until_few()
        stuck.add(StallTimeout(worker=worker))
    with trio.move_on_after(30.0) as waiting:
        await stuck.wait_until_few()
    assert waiting.cancelled_caught
    workers[0].is_gone = True
    await stuck.wait_until_few()
    assert autojump_clock.current_time() == 30.0


async def test_another_mount_is_asked_at_once_whoever_is_stuck_in_the_old_one(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = stuck_workers(lambda: {AGAIN if trio.current_time() >= 30.0 else NFS}, monkeypatch)
    for _ in range(MAX_UNKILLABLE):
        stuck.add(StallTimeout(worker=StuckWorker()))
    await stuck.wait_until_few()
    assert autojump_clock.current_time() == 30.0
    stuck.add(StallTimeout(worker=StuckWorker()))
    await stuck.wait_until_few()  # of the new mount it is the first
    assert autojump_clock.current_time() == 30.0


async def test_after_a_while_one_more_worker_is_risked_and_later_and_later(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = stuck_workers(lambda: {NFS}, monkeypatch)
    for _ in range(MAX_UNKILLABLE - 1):
        stuck.add(StallTimeout(worker=StuckWorker()))
    waited = []
    for _ in range(7):
        stuck.add(StallTimeout(worker=StuckWorker()))
        began_s = autojump_clock.current_time()
        await stuck.wait_until_few()
        waited.append(autojump_clock.current_time() - began_s)
    assert waited == [60, 120, 240, 480, 960, 1800, 1800]


# The end of the agent

AGENT = """
import os, pickle, sys, trio
from agent.worker_pool import WorkerPool

request = pickle.load(sys.stdin.buffer)

async def main():
    async with WorkerPool.open(os.devnull) as workers, workers.acquire() as idle, workers.acquire() as busy:
        async def started(reply):
            print(idle.pid, busy.pid, flush=True)
            await trio.sleep_forever()
        await busy.ask(request, stall_timeout_s=60, on_reply=started)

trio.run(main)
"""


def test_no_worker_outlives_an_agent_that_is_killed_not_even_in_the_middle_of_a_copy(
    copy: CopyFile,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", AGENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as agent:
        assert agent.stdin is not None
        assert agent.stdout is not None
        agent.stdin.write(pickle.dumps(copy))
        agent.stdin.close()
        idle, busy = map(int, agent.stdout.readline().split())
        with watched(idle) as end_of_idle, watched(busy) as end_of_busy:
            assert not end_of_busy.poll(0)
            agent.kill()
            assert end_of_idle.poll(LONG_S * 1000)
            assert end_of_busy.poll(LONG_S * 1000)


# Shortage of the machine


def no_descriptor(*_: object, **__: object) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


async def test_a_shortage_of_the_machine_is_a_fault_of_its_own_and_logged_once(
    workers: WorkerPool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(worker_pool, "CALM_S", 0.0)
    with monkeypatch.context() as short:
        short.setattr(trio.lowlevel, "open_process", no_descriptor)
        for _ in range(3):
            with pytest.raises(Fault, match="short of file descriptors") as fault:
                await ask(workers)
            assert fault.value.kind is FaultKind.SHORTAGE
    for _ in range(2):
        await ask(workers)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_a_worker_that_cannot_start_is_no_files_fault(
    workers: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Fault, match="a worker process cannot start") as fault:
        await ask(workers)
    assert fault.value.kind is FaultKind.SHORTAGE


async def test_a_bug_at_the_start_of_a_worker_is_no_shortage(
    workers: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def buggy(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(trio.lowlevel, "open_process", buggy)
    with pytest.raises(RuntimeError, match="a bug"):
        await ask(workers)


# A process that was stopped


def test_a_time_in_which_this_process_was_stopped_is_no_silence_of_a_worker() -> None:
    clock = MockClock()
    answers_in, answers_out = trio.open_memory_channel[str](0)
    got: list[str | None] = []

    async def listen() -> None:
        got.append(await Patience(30.0).wait_for(answers_out.receive))

    async def resume() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await wait_all_tasks_blocked()
            clock.jump(1000.0)  # SIGSTOP, or the machine was suspended
            await wait_all_tasks_blocked()
            await answers_in.send("the worker goes on, too")

    trio.run(resume, clock=clock)
    assert got == ["the worker goes on, too"]


def test_a_worker_that_only_says_whom_it_waits_for_is_silent() -> None:
    clock = MockClock(autojump_threshold=0)

    async def say_that_it_is_blocked() -> str:
        await trio.sleep(0.4)
        return "blocked"

    async def listen() -> None:
        patience = Patience(2.5)
        while await patience.wait_for(say_that_it_is_blocked) is not None:
            assert trio.current_time() < 2.6
        assert trio.current_time() == pytest.approx(2.5)

    trio.run(listen, clock=clock)


def test_a_silence_ends_after_its_time() -> None:
    clock = MockClock(autojump_threshold=0)

    async def say_nothing() -> str:
        await trio.sleep_forever()

    async def listen() -> None:
        assert await Patience(2.5).wait_for(say_nothing) is None
        assert trio.current_time() == 2.5

    trio.run(listen, clock=clock)
