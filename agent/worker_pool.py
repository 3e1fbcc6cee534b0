"""The Trio side of worker processes: start, ask, stream replies, deadline, kill.

Cancelling a question kills the worker that works on it. A killed worker may be stuck in the kernel for as
long as a mount does not answer, so no question waits for it: it is remembered and reaped when it has gone.
"""

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

from agent.model.errors import Fault, FaultKind, Side
from agent.protocol.replies import Blocked, Reply
from agent.protocol.requests import Request
from agent.worker.server import HEADER, frame

MAX_IDLE = 4
EXIT_WAIT_S = 0.5  # for killed workers to be gone; one that is stuck in a dead mount is left behind
START_S = 60.0
MAX_UNKILLABLE = 3
UNKILLABLE_POLL_S = 0.25
PACKAGE_PARENT = str(Path(__file__).parents[1])
R = TypeVar("R")
OnReply = Callable[[Reply], Awaitable[None]]


async def ignore(_: Reply) -> None:
    await trio.lowlevel.checkpoint()


class StallTimeout(trio.TooSlowError):
    """A worker said nothing for too long, and has been killed.

    `side`: whom it waited for, where it could say so. `worker`: as long as it has not ended, it is stuck.
    """

    def __init__(self, side: Side | None = None, worker: "WorkerProcess | None" = None) -> None:
        super().__init__()
        self.side = side
        self.worker = worker


@define(eq=False)
class WorkerProcess:
    """One process; `is_idle` while it waits for a request."""

    _process: trio.Process
    is_idle: bool = field(default=False, init=False)
    _buffer: bytearray = field(factory=bytearray, init=False)

    @classmethod
    async def start(cls, claims: str) -> Self:
        """A new process. Raises: Fault: WORKER: it cannot be started."""
        # -P: a folder named "agent" where somebody happens to stand must not be taken for ours.
        command = [sys.executable, "-P", "-m", "agent.worker.server", claims]
        paths = os.pathsep.join(filter(None, [PACKAGE_PARENT, os.environ.get("PYTHONPATH")]))
        try:
            process = await trio.lowlevel.open_process(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": paths},
            )
        except OSError as error:
            raise Fault(FaultKind.WORKER, f"no worker process can be started: {error}") from error
        return cls(process)

    async def wait_ready(self) -> None:
        """On a busy machine a start takes its time, which is nobody's silence. Raises: Fault: WORKER."""
        if self.is_idle:
            return
        try:
            with trio.fail_after(START_S):
                await self._next()
        except trio.TooSlowError as error:
            raise Fault(FaultKind.WORKER, f"a worker process did not start in {START_S:g} s") from error
        self.is_idle = True

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, request: Request, *, silence_s: float, on_reply: OnReply = ignore) -> Reply:
        """The last reply; the streamed ones go to `on_reply` as they come.

        Raises:
            Fault: the worker's answer, or WORKER when it has died.
            Silence: nothing was heard for `silence_s`, or only that it waits.
        """
        self.is_idle = False
        side: Side | None = None
        try:
            with trio.fail_after(silence_s):
                await self._stdin.send_all(frame(request))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise self._died() from error
        except trio.TooSlowError as error:
            raise StallTimeout(worker=self) from error
        patience_s = trio.current_time() + silence_s
        while True:
            try:
                with trio.fail_at(patience_s):
                    is_last, reply = await self._next()
            except trio.TooSlowError as error:
                raise StallTimeout(side, self) from error
            if isinstance(reply, Blocked):
                side = reply.side
                continue
            if not is_last:
                await on_reply(reply)  # type: ignore[arg-type]
                patience_s = trio.current_time() + silence_s
                continue
            self.is_idle = True
            if isinstance(reply, Fault):
                raise reply
            return reply

    def kill(self) -> None:
        """Kill without waiting."""
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

    async def _next(self) -> tuple[bool, Reply | Fault]:
        (length,) = HEADER.unpack(await self._exactly(HEADER.size))
        return cast("tuple[bool, Reply | Fault]", pickle.loads(await self._exactly(length)))  # noqa: S301  our child

    async def _exactly(self, length: int) -> bytes:
        while len(self._buffer) < length:
            data = await self._stdout.receive_some()
            if not data:
                raise self._died()
            self._buffer += data
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    def _died(self) -> Fault:
        return Fault(FaultKind.WORKER, f"worker process {self.pid} died (exit status {self._process.poll()})")


@define(eq=False)
class UnkillableWorkers:
    """Those of one asker's workers that were killed for their silence and have not died yet.

    Each of them is one more process in the kernel's hands; a few prove as much as a thousand.
    """

    _workers: list[WorkerProcess] = field(factory=list, init=False)

    def add(self, silence: StallTimeout) -> None:
        if silence.worker is not None:
            self._workers.append(silence.worker)

    async def wait_until_few(self) -> None:
        """Wait until there are so few of them that it makes sense to ask again."""
        while len(self._living()) >= MAX_UNKILLABLE:  # noqa: ASYNC110  no event says that a process has gone
            await trio.sleep(UNKILLABLE_POLL_S)
        await trio.lowlevel.checkpoint()

    def _living(self) -> list[WorkerProcess]:
        self._workers = [worker for worker in self._workers if not worker.has_exited()]
        return self._workers


@define(eq=False)
class WorkerPool:
    """Keeps idle workers for the next question and remembers the killed ones until they are gone.

    `claims`: the local file by which workers keep out of each other's partials.
    """

    claims: str
    _idle: list[WorkerProcess] = field(factory=list, init=False)
    _killed: list[WorkerProcess] = field(factory=list, init=False)

    @classmethod
    @asynccontextmanager
    async def open(cls, claims: str) -> AsyncIterator[Self]:
        workers = cls(claims)
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
        """Whether no killed worker is left that might still carry out the system call it was in."""
        self._reap()
        return not self._killed

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[WorkerProcess]:
        """A worker for this block alone; killed if the block is left while a question is open.

        Raises:
            Fault: WORKER: none can be started.
        """
        worker = await self._take()
        try:
            await worker.wait_ready()
            yield worker
        finally:
            if worker.is_idle and len(self._idle) < MAX_IDLE:
                self._idle.append(worker)
            else:
                await self._discard(worker)

    async def _take(self) -> WorkerProcess:
        """An idle one that still lives, or a new one: nobody pays for a death that came before."""
        self._reap()
        while self._idle:
            worker = self._idle.pop()
            if not worker.has_exited():
                return worker
            await self._discard(worker)
        return await WorkerProcess.start(self.claims)

    async def ask(
        self, request: Request, expected: type[R], *, silence_s: float, on_reply: OnReply = ignore
    ) -> R:
        """Ask any worker.

        Raises:
            Fault: the worker's answer, or WORKER when it has died or none can be started.
            Silence: nothing was heard for `silence_s`; the worker has been killed.
        """
        async with self.acquire() as worker:
            reply = await worker.ask(request, silence_s=silence_s, on_reply=on_reply)
        if not isinstance(reply, expected):
            raise Fault(FaultKind.WORKER, f"{type(request).__name__} was answered by {type(reply).__name__}")
        return reply

    async def _discard(self, worker: WorkerProcess) -> None:
        worker.kill()
        self._killed.append(worker)
        with trio.CancelScope(shield=True):
            await worker.close_pipes()

    def _reap(self) -> None:
        self._killed = [worker for worker in self._killed if not worker.has_exited()]
