"""A process that has imported everything, and forks agents and their workers: 10 ms each instead of seconds.

It reads a `RunRequest` from standard input and writes a `RunResult` to standard output. It has no threads and
no event loop, so that a fork equals a fresh process. Agents request workers over a socket, with the pipes
that these use as standard input and output.
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

import alembic.command  # noqa: F401  the agent loads this and the next three only when it needs them
import alembic.config  # noqa: F401
import alembic.util  # noqa: F401
import trio
from attrs import Factory, define, field, frozen

import agent.runtime.generations  # noqa: F401
from agent.fs.syscalls import c_function
from agent.protocol.frames import frame, read_frame
from agent.runtime import once
from agent.worker import server
from tests.crash.folder_states import read_folders
from tests.crash.injection_points import StorageCallPoints, count_commits
from tests.crash.kills import Kill, Trace
from tests.flow.running_agents import run_once

TRACE, SNAPSHOT, LOG = "trace", "snapshot", "log"
RUN_TIMEOUT_S = 60.0  # only a hung run takes this long
WORKER_EXIT_TIMEOUT_S = 20.0
HUNG = 1000
PATH_MAX_BYTES = 4096
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_prctl = c_function("prctl", ctypes.c_int, ctypes.c_ulong)


@frozen
class RunRequest:
    """One `run --once` in this folder.

    `refused`: storage calls that the destination does not support. `mount`: the control socket of a mount;
    when its power is cut, all processes are killed. `output`: where trace and log are written.
    """

    folder: Path
    kill: Kill | None = None
    refused: frozenset[str] = frozenset()
    mount: str | None = None
    output: Path = field(default=Factory(lambda self: self.folder, takes_self=True))


@frozen
class RunResult:
    """Exit code, or minus the signal. `orphaned_workers`: those that outlived their agent and were killed."""

    code: int
    orphaned_workers: int


@define(eq=False)
class ForkedWorker:
    """The part of `trio.Process` that the agent uses; the server reaps it when the agent has ended."""

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
    """Fork a child that calls `main` and exits. Returns its pid."""
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


def run_agent(request: RunRequest, server_socket: socket.socket) -> int:
    """`run --once` in a process group of its own."""
    _end_with_parent()
    os.setpgid(0, 0)
    _log_to(request.output)
    trace = Trace(request.output / TRACE, request.kill)
    count_commits(trace)
    once.POLL_S = 0.02

    async def open_process(command: list[str], **_: Any) -> ForkedWorker:  # noqa: ANN401  as the agent has it
        assert command[-2] == "agent.worker.server"
        for_worker, stdin = os.pipe()
        stdout, from_worker = os.pipe()
        socket.send_fds(server_socket, [command[-1].encode()], [for_worker, from_worker])
        os.close(for_worker)
        os.close(from_worker)
        pid = int(server_socket.recv(32))
        return ForkedWorker(pid, trio.lowlevel.FdStream(stdin), trio.lowlevel.FdStream(stdout))

    trio.lowlevel.open_process = open_process  # type: ignore[assignment]
    return trio.run(run_once, request.folder)


def run_worker(request: RunRequest, agent_pid: int, lock_path: str, stdin: int, stdout: int) -> NoReturn:
    _end_with_parent()
    os.setpgid(0, agent_pid)
    os.dup2(stdin, 0)
    os.dup2(stdout, 1)
    os.close(stdin)
    os.close(stdout)
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115  for as long as the process lives
    _log_to(request.output)
    trace = Trace(request.output / TRACE, request.kill, agent_pid)
    StorageCallPoints(request.folder, trace, request.refused, partial(_save_snapshot, request)).install()
    sys.argv = ["agent.worker.server", lock_path]
    server.main()
    raise AssertionError("a worker ends with its standard input")


def _end_with_parent() -> None:
    """When the test session is killed, its agents and workers are too."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _save_snapshot(request: RunRequest) -> None:
    (request.output / SNAPSHOT).write_bytes(pickle.dumps(read_folders(request.folder)))


def _log_to(folder: Path) -> None:
    logging.basicConfig(filename=folder / LOG, level=logging.INFO)


@define
class ForkServer:
    """Runs one request after the other."""

    def run(self, request: RunRequest) -> RunResult:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            agent = forked(lambda: run_agent(request, theirs))
            with suppress(OSError):  # the child does it too: whichever is first
                os.setpgid(agent, agent)
            theirs.close()
            workers: list[int] = []
            with _cut_signal(request.mount) as cut:
                is_hung = not self._serve(request, agent, ours, cut, workers)
        if is_hung:
            os.killpg(agent, signal.SIGKILL)
        _, status = os.waitpid(agent, 0)
        code = HUNG if is_hung else os.waitstatus_to_exitcode(status)
        return RunResult(code, sum(not _has_ended(pid) for pid in workers))

    def _serve(
        self, request: RunRequest, agent: int, requests: socket.socket, cut: socket.socket, workers: list[int]
    ) -> bool:
        """Fork workers on request until the agent ends or its power is cut; False: it hangs."""
        until_s = time.monotonic() + RUN_TIMEOUT_S
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
                    lock_path, pipes, _, _ = socket.recv_fds(requests, PATH_MAX_BYTES, 2)
                    if not pipes:  # the agent is about to end
                        select.select([handle], [], [], left_s)
                        continue
                    workers.append(forked(partial(run_worker, request, agent, lock_path.decode(), *pipes)))
                    for pipe in pipes:
                        os.close(pipe)
                    requests.send(str(workers[-1]).encode())
            return False
        finally:
            os.close(handle)


@contextmanager
def _cut_signal(mount: str | None) -> Iterator[socket.socket]:
    """A socket that becomes readable when the mount's power is cut; without a mount it never does."""
    if mount is None:
        unused, other = socket.socketpair()
        with unused, other:
            yield unused
        return
    with socket.socket(socket.AF_UNIX) as listening:
        listening.connect(mount)
        listening.sendall(json.dumps({"do": "await_cut"}).encode() + b"\n")
        yield listening


def _has_ended(pid: int) -> bool:
    """Wait until it has ended. Returns False if it had to be killed."""
    until_s = time.monotonic() + WORKER_EXIT_TIMEOUT_S
    while time.monotonic() < until_s:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def main() -> None:
    requests, reports = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    gc.freeze()  # objects that the collector skips are not copied in every child
    fork_server = ForkServer()
    while (request := read_frame(requests)) is not None:
        reports.write(frame(fork_server.run(cast("RunRequest", request))))
        reports.flush()
