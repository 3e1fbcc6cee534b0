"""A process that has imported everything, and forks agents and their workers: 10 ms each instead of seconds.

Orders come on standard input, one `Ended` for each goes to standard output. It has no threads and runs no
loop, so that a fork of it is as good as a fresh process. Agents ask it for workers over a socket, and send
the pipes along that these are to use.
"""

import ctypes
import gc
import json
import logging
import os
import pickle
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import alembic.command  # noqa: F401  the agent imports all three only where it needs them
import alembic.config  # noqa: F401
import alembic.util  # noqa: F401
import trio
from attrs import Factory, define, field, frozen

from agent.fs.syscalls import c_function
from agent.runtime import once
from agent.worker import server
from agent.worker.server import frame, read_frame
from tests.crash.folder_states import look
from tests.crash.injection_points import StorageBooth, count_commits
from tests.crash.kills import Kill, Trace
from tests.flow.running_agents import run_once

TRACE, SCENE, LOG = "trace", "scene", "log"
PATIENCE_S = 60.0  # only a run that hangs is waited for as long
WORKERS_END_S = 20.0
HUNG = 1000
PATH_MAX_BYTES = 4096
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_prctl = c_function("prctl", ctypes.c_int, ctypes.c_ulong)


@frozen
class Order:
    """One `run --once` in this folder.

    `refused`: storage calls that the destination does not know. `mount`: the socket of one whose power may be
    cut, which ends all of them at once. `notes`: where trace and log are written.
    """

    folder: Path
    kill: Kill | None = None
    refused: frozenset[str] = frozenset()
    mount: str | None = None
    notes: Path = field(default=Factory(lambda self: self.folder, takes_self=True))


@frozen
class Ended:
    """Exit code, or minus the signal; `stray_workers` had to be killed, for they outlived their agent."""

    code: int
    stray_workers: int


@define(eq=False)
class ForkedWorker:
    """As much of a `trio.Process` as the agent uses; the mother reaps it when the agent has ended."""

    pid: int
    stdin: trio.lowlevel.FdStream
    stdout: trio.lowlevel.FdStream
    _handle: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._handle = os.pidfd_open(self.pid)

    def kill(self) -> None:
        with suppress(ProcessLookupError):  # as trio has it
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def poll(self) -> int | None:
        ended, _, _ = select.select([self._handle], [], [], 0)
        return -signal.SIGKILL if ended else None

    async def wait(self) -> int:
        await trio.lowlevel.wait_readable(self._handle)
        return -signal.SIGKILL


def forked(main: Callable[[], object]) -> int:
    """The pid of a child that does this and never comes back."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = cast("int", main())
    except BaseException:
        logging.getLogger().exception("the child failed")
    finally:
        os._exit(code)


def live_as_agent(order: Order, mother: socket.socket) -> int:
    """`run --once` in a process group of its own."""
    _die_with_mother()
    os.setpgid(0, 0)
    _log_to(order.notes)
    trace = Trace(order.notes / TRACE, order.kill)
    count_commits(trace)
    once.POLL_S = 0.02

    async def open_process(command: list[str], **_: Any) -> ForkedWorker:  # noqa: ANN401  as the agent has it
        assert command[-2] == "agent.worker.server"
        for_worker, stdin = os.pipe()
        stdout, from_worker = os.pipe()
        socket.send_fds(mother, [command[-1].encode()], [for_worker, from_worker])
        os.close(for_worker)
        os.close(from_worker)
        pid = int(mother.recv(32))
        return ForkedWorker(pid, trio.lowlevel.FdStream(stdin), trio.lowlevel.FdStream(stdout))

    trio.lowlevel.open_process = open_process  # type: ignore[assignment]
    return trio.run(run_once, order.folder)


def live_as_worker(order: Order, agent_pid: int, claims: str, stdin: int, stdout: int) -> NoReturn:
    _die_with_mother()
    os.setpgid(0, agent_pid)
    os.dup2(stdin, 0)
    os.dup2(stdout, 1)
    os.close(stdin)
    os.close(stdout)
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115  for as long as the process lives
    _log_to(order.notes)
    trace = Trace(order.notes / TRACE, order.kill, agent_pid)
    StorageBooth(order.folder, trace, order.refused, partial(_witness, order)).install()
    sys.argv = ["agent.worker.server", claims]
    server.main()
    raise AssertionError("a worker ends with its standard input")


def _die_with_mother() -> None:
    """Where a test run is killed there is nobody left to see to its victims."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _witness(order: Order) -> None:
    (order.notes / SCENE).write_bytes(pickle.dumps(look(order.folder)))


def _log_to(folder: Path) -> None:
    logging.basicConfig(filename=folder / LOG, level=logging.INFO)


@define
class Mother:
    """One order after the other."""

    def run(self, order: Order) -> Ended:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            agent = forked(lambda: live_as_agent(order, theirs))
            with suppress(OSError):  # it does so itself, too: then whoever comes first
                os.setpgid(agent, agent)
            theirs.close()
            workers: list[int] = []
            with _told_of_cut(order.mount) as cut:
                is_hung = not self._serve(order, agent, ours, cut, workers)
        if is_hung:
            os.killpg(agent, signal.SIGKILL)
        _, status = os.waitpid(agent, 0)
        code = HUNG if is_hung else os.waitstatus_to_exitcode(status)
        return Ended(code, sum(not _has_ended(pid) for pid in workers))

    def _serve(
        self, order: Order, agent: int, requests: socket.socket, cut: socket.socket, workers: list[int]
    ) -> bool:
        """Fork what the agent asks for until it ends or its power is cut; False: it does not end."""
        until_s = time.monotonic() + PATIENCE_S
        handle = os.pidfd_open(agent)
        try:
            while (left_s := until_s - time.monotonic()) > 0:
                ready, _, _ = select.select([handle, requests.fileno(), cut.fileno()], [], [], left_s)
                if handle in ready:
                    return True
                if cut.fileno() in ready:
                    os.killpg(agent, signal.SIGKILL)
                    return True
                if ready:
                    claims, pipes, _, _ = socket.recv_fds(requests, PATH_MAX_BYTES, 2)
                    if not pipes:  # it is about to end
                        select.select([handle], [], [], left_s)
                        continue
                    workers.append(forked(partial(live_as_worker, order, agent, claims.decode(), *pipes)))
                    for pipe in pipes:
                        os.close(pipe)
                    requests.send(str(workers[-1]).encode())
            return False
        finally:
            os.close(handle)


@contextmanager
def _told_of_cut(mount: str | None) -> Iterator[socket.socket]:
    """Something to read arrives when the mount's power is cut; None: never."""
    if mount is None:
        silent, other = socket.socketpair()
        with silent, other:
            yield silent
        return
    with socket.socket(socket.AF_UNIX) as listening:
        listening.connect(mount)
        listening.sendall(json.dumps({"do": "await_cut"}).encode() + b"\n")
        yield listening


def _has_ended(pid: int) -> bool:
    """Wait until it has, or make an end of it."""
    until_s = time.monotonic() + WORKERS_END_S
    while time.monotonic() < until_s:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def main() -> None:
    orders, reports = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    gc.freeze()  # what no collection touches need not be copied for every child
    mother = Mother()
    while (order := read_frame(orders)) is not None:
        reports.write(frame(mother.run(cast("Order", order))))
        reports.flush()
