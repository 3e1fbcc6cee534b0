"""The Trio side of worker processes: start them, send requests, stream replies, time out, kill.

Cancelling a request kills its worker. A killed worker may be stuck in the kernel for as long as a mount does
not respond, so nothing waits for it. The pool keeps it in a list until it has exited.
"""

import math
import os
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self, TypeVar, cast

import trio
import trio.abc
from attrs import define, field

from agent.fs.mount_table import Mount, mounts_above
from agent.log import get_logger
from agent.model.errors import Fault, FaultKind, Side, shortage
from agent.protocol.frames import HEADER, frame
from agent.protocol.replies import Blocked, Reply, RootFound
from agent.protocol.requests import Request

MAX_IDLE = 4
EXIT_WAIT_S = 0.5  # for killed workers to exit; one that is stuck in a hung mount is left behind
START_TIMEOUT_S = 60.0
MAX_UNKILLABLE = 3
AGAIN_FIRST_S, AGAIN_LONGEST_S = 60.0, 1800.0  # so much later another worker is risked; it doubles
UNKILLABLE_POLL_S = 0.25
PATIENCE_STEP_S = 1.0
CALM_S = 15.0  # a machine that is nearly short of something grants one request and refuses the next
PACKAGE_PARENT = str(Path(__file__).parents[1])
R = TypeVar("R")

log = get_logger(__name__)

OnReply = Callable[[Reply], Awaitable[None]]


async def ignore(_: Reply) -> None:
    await trio.lowlevel.checkpoint()


class StallTimeout(trio.TooSlowError):
    """A worker sent no reply for too long, and its request is given up.

    `side`: the side of the copy that blocked, if the worker reported it. `worker`: the worker, which is
    killed; while it has not exited it is unkillable.
    """

    def __init__(self, side: Side | None = None, worker: "WorkerProcess | None" = None) -> None:
        super().__init__()
        self.side = side
        self.worker = worker


@define
class Patience:
    """How long a worker may send nothing, in steps of `PATIENCE_STEP_S` at most.

    A step counts once, however long it took. So a time in which this process was stopped, or the machine
    suspended, does not count against a worker that was stopped as well.
    """

    left_s: float

    async def wait_for(self, receive: Callable[[], Awaitable[R]]) -> R | None:
        """What `receive` returns, which may be cancelled and called again; None: patience has run out."""
        while self.left_s > 0:
            began_s, step_s = trio.current_time(), min(self.left_s, PATIENCE_STEP_S)
            received = None
            with trio.move_on_after(step_s):
                received = await receive()
            if received is not None:
                # A worker that only says whom it waits for is as silent as any other.
                self.left_s -= min(trio.current_time() - began_s, step_s)
                return received
            self.left_s -= step_s
        return None


@define(eq=False)
class WorkerProcess:
    """One worker process; `is_idle` while it waits for a request. `roots`: as in `WorkerPool`."""

    _process: trio.Process
    _roots: dict[str, str]
    is_idle: bool = field(default=False, init=False)
    _buffer: bytearray = field(factory=bytearray, init=False)

    @classmethod
    async def start(cls, lock_path: str, roots: dict[str, str]) -> Self:
        """Start a process, with the local file of the partial locks and the roots of its pool.

        Raises:
            Fault: SHORTAGE, else WORKER: it cannot be started.
        """
        # -P: a folder named "agent" in the working directory must not shadow this package.
        command = [sys.executable, "-P", "-m", "agent.worker.server", lock_path]
        paths = os.pathsep.join(filter(None, [PACKAGE_PARENT, os.environ.get("PYTHONPATH")]))
        try:
            process = await trio.lowlevel.open_process(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": paths},
            )
        except OSError as error:
            unstartable = Fault(FaultKind.WORKER, f"no worker process can be started: {error}")
            raise shortage(error, forking=True) or unstartable from error
        except (MemoryError, RuntimeError) as error:
            raise shortage(error) or error from error
        return cls(process, roots)

    async def wait_ready(self) -> None:
        """Wait for the reply Started, because a slow start on a busy machine is no stall.

        Raises:
            Fault: SHORTAGE: the process exited, or did not start in time. No file is to blame for that.
        """
        if self.is_idle:
            return
        try:
            with trio.fail_after(START_TIMEOUT_S):
                await self._receive()
        except Fault as fault:
            raise Fault(FaultKind.SHORTAGE, f"a worker process cannot start: {fault.detail}") from fault
        except trio.TooSlowError as error:
            detail = f"a worker process did not start in {START_TIMEOUT_S:g} s"
            raise Fault(FaultKind.SHORTAGE, detail) from error
        self.is_idle = True

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, request: Request, *, stall_timeout_s: float, on_reply: OnReply = ignore) -> Reply:
        """Send a request and return the last reply; `on_reply` is called with each streamed one.

        Raises:
            Fault: the worker's reply, or WORKER when it has exited.
            StallTimeout: no reply but Blocked came for `stall_timeout_s`.
        """
        self.is_idle = False
        blocked_side: Side | None = None
        try:
            with trio.fail_after(stall_timeout_s):
                await self._stdin.send_all(frame((request, self._roots)))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise self._exited_fault() from error
        except trio.TooSlowError as error:
            raise StallTimeout(worker=self) from error
        patience = Patience(stall_timeout_s)
        while True:
            received = await patience.wait_for(self._receive)
            if received is None:
                raise StallTimeout(blocked_side, self)
            is_last, reply = received
            if isinstance(reply, Blocked):
                blocked_side = reply.side
                continue
            if isinstance(reply, RootFound):
                self._roots.setdefault(reply.path, reply.real_path)
                continue
            if not is_last:
                await on_reply(reply)  # type: ignore[arg-type]
                patience = Patience(stall_timeout_s)
                continue
            self.is_idle = True
            if isinstance(reply, Fault):
                raise reply
            return reply

    def kill(self) -> None:
        """Kill the process without waiting for its exit."""
        self.is_idle = False
        self._process.kill()

    async def close_pipes(self) -> None:
        await trio.aclose_forcefully(self._stdin)
        await trio.aclose_forcefully(self._stdout)

    async def wait_exited(self) -> None:
        await self._process.wait()

    def has_exited(self) -> bool:
        return self._process.poll() is not None

    @property
    def _stdin(self) -> trio.abc.SendStream:
        return cast("trio.abc.SendStream", self._process.stdin)

    @property
    def _stdout(self) -> trio.abc.ReceiveStream:
        return cast("trio.abc.ReceiveStream", self._process.stdout)

    async def _receive(self) -> tuple[bool, Reply | Fault]:
        """The next reply; a frame stays in the buffer until all of it is there, so this can be cancelled."""
        await self._fill_buffer(HEADER.size)
        end = HEADER.size + HEADER.unpack_from(self._buffer)[0]
        await self._fill_buffer(end)
        body = bytes(self._buffer[HEADER.size : end])
        del self._buffer[:end]
        return cast("tuple[bool, Reply | Fault]", pickle.loads(body))  # noqa: S301  our child

    async def _fill_buffer(self, length: int) -> None:
        while len(self._buffer) < length:
            data = await self._stdout.receive_some()
            if not data:
                raise self._exited_fault()
            self._buffer += data

    def _exited_fault(self) -> Fault:
        return Fault(FaultKind.WORKER, f"worker process {self.pid} died (exit status {self._process.poll()})")


@define(eq=False)
class UnkillableWorkers:
    """The killed workers of one caller that have not exited yet; it asks about one `folder`.

    A caller that keeps sending requests to a hung mount would leave a stuck process behind for each. Those of
    a mount that was replaced may be stuck for ever, and say nothing about the new one.
    """

    folder: str
    _workers: list[WorkerProcess] = field(factory=list, init=False)
    _mounts: frozenset[Mount] = field(factory=frozenset, init=False)
    _delay_s: float = field(default=AGAIN_FIRST_S, init=False)
    _again_s: float = field(default=-math.inf, init=False)

    def add(self, stall: StallTimeout) -> None:
        if stall.worker is None:
            return
        self._forget_replaced_mount()
        self._workers.append(stall.worker)
        if len(self._remaining()) >= MAX_UNKILLABLE:
            self._again_s = trio.current_time() + self._delay_s
            self._delay_s = min(2 * self._delay_s, AGAIN_LONGEST_S)
        else:
            self._delay_s = AGAIN_FIRST_S

    async def wait_until_few(self) -> None:
        """Wait until few are left, or another mount is there, or one more is risked."""
        while len(self._remaining()) >= MAX_UNKILLABLE and trio.current_time() < self._again_s:
            await trio.sleep(UNKILLABLE_POLL_S)
            self._forget_replaced_mount()
        await trio.lowlevel.checkpoint()

    def _forget_replaced_mount(self) -> None:
        mounts = mounts_above(self.folder)
        if mounts != self._mounts:
            self._mounts = mounts
            self._workers.clear()

    def _remaining(self) -> list[WorkerProcess]:
        self._workers = [worker for worker in self._workers if not worker.has_exited()]
        return self._workers


@define(eq=False)
class WorkerPool:
    """Keeps idle workers for the next request, and killed ones until they have exited.

    `lock_path`: the local file of the partial locks. `roots`: where the root folders of sources, destinations
    and archives led when they were first opened, and have to go on leading. A shortage of the machine is
    logged when it begins and when workers have done without one for `CALM_S`, however many requests it meets.
    """

    lock_path: str
    roots: dict[str, str] = field(factory=dict, init=False)
    _short_s: float = field(default=-math.inf, init=False)
    _is_short: bool = field(default=False, init=False)
    _idle: list[WorkerProcess] = field(factory=list, init=False)
    _killed: list[WorkerProcess] = field(factory=list, init=False)

    @classmethod
    @asynccontextmanager
    async def open(cls, lock_path: str) -> AsyncIterator[Self]:
        workers = cls(lock_path)
        try:
            yield workers
        finally:
            for worker in workers._idle:
                await workers._discard(worker)
            with trio.move_on_after(EXIT_WAIT_S, shield=True):
                for worker in workers._killed:
                    await worker.wait_exited()

    @property
    def none_unkillable(self) -> bool:
        """Whether no killed worker is left that may still complete the system call it was in."""
        self._reap()
        return not self._killed

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[WorkerProcess]:
        """Yield a worker for this block; it is killed if the block ends while a request is open.

        Raises:
            Fault: WORKER: no worker can be started.
        """
        worker = await self._idle_or_new()
        try:
            await worker.wait_ready()
            yield worker
        finally:
            if worker.is_idle and len(self._idle) < MAX_IDLE:
                self._idle.append(worker)
            else:
                await self._discard(worker)

    async def _idle_or_new(self) -> WorkerProcess:
        """Return an idle worker that has not exited, or a new one."""
        self._reap()
        while self._idle:
            worker = self._idle.pop()
            if not worker.has_exited():
                return worker
            await self._discard(worker)
        return await WorkerProcess.start(self.lock_path, self.roots)

    async def ask(
        self, request: Request, expected: type[R], *, stall_timeout_s: float, on_reply: OnReply = ignore
    ) -> R:
        """Send a request to any worker and return its last reply, of type `expected`.

        Raises:
            Fault: the worker's reply, WORKER when it has exited, or SHORTAGE when none can be started.
            StallTimeout: no reply but Blocked came for `stall_timeout_s`; the worker has been killed.
        """
        try:
            async with self.acquire() as worker:
                reply = await worker.ask(request, stall_timeout_s=stall_timeout_s, on_reply=on_reply)
        except Fault as fault:
            if fault.kind is FaultKind.SHORTAGE:
                self._report_shortage(fault)
            raise
        self._report_no_shortage()
        if not isinstance(reply, expected):
            raise Fault(FaultKind.WORKER, f"{type(request).__name__} was answered by {type(reply).__name__}")
        return reply

    def _report_shortage(self, fault: Fault) -> None:
        self._short_s = trio.current_time()
        if not self._is_short:
            self._is_short = True
            log.warning("short of resources, copies wait", error=fault.detail)

    def _report_no_shortage(self) -> None:
        if self._is_short and trio.current_time() - self._short_s >= CALM_S:
            self._is_short = False
            log.info("resources suffice again")

    async def _discard(self, worker: WorkerProcess) -> None:
        worker.kill()
        self._killed.append(worker)
        with trio.CancelScope(shield=True):
            await worker.close_pipes()

    def _reap(self) -> None:
        self._killed = [worker for worker in self._killed if not worker.has_exited()]
