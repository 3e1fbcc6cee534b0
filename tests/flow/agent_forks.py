"""Forks agents and their workers, so that tests can kill -9 any of them without the cost of imports.

A request is a line of JSON, for a worker with its standard input and output as descriptors; the reply is the
pid. Everything an agent needs is imported before the first fork; the server runs the loop of `serve` alone.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, Self

import alembic.command
import trio
from attrs import define

import agent.runtime.generations
from agent import log
from agent.actors.copier_pool import task, transfer
from agent.actors.dispatcher import batching
from agent.actors.storage_monitor import availability
from agent.journal import transfers
from agent.runtime import supervisor
from agent.worker import server
from tests.crash.fork_server import ForkedWorker
from tests.flow import faulty_worker
from tests.flow.fault_script import FileTroubles
from tests.flow.running_agents import config_of

__all__ = ["AgentForks", "agent", "alembic"]

ROOT = Path(__file__).parents[2]
MESSAGE_BYTES = 65536
MAX_PROBE_S = 0.2
SCRIPT, LOG, WORKERS, EXIT_CODE = "faults.json", "log", "workers", "exit_code"  # beside agent.toml
BATCHES = "batches"  # a file; where it exists, even two files are copied as a batch


@define(eq=False)
class AgentForks:
    """The client of the fork server: tests ask for agents, agents ask for workers."""

    address: str

    @classmethod
    @contextmanager
    def serving(cls, folder: Path) -> Iterator[Self]:
        """Start the server, without coverage, which doubles the time; other tests cover this code."""
        address = str(folder / "forks")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen()
            program = [sys.executable, "-m", "tests.flow.agent_forks", str(listener.fileno())]
            process = subprocess.Popen(program, cwd=ROOT, env=environment, pass_fds=[listener.fileno()])
        try:
            yield cls(address)
        finally:
            process.kill()
            process.wait()

    def fork_agent(self, folder: Path) -> int:
        return self._fork({"role": "agent", "folder": str(folder), "address": self.address})

    def fork_worker(self, folder: Path, lock_path: str) -> ForkedWorker:
        (stdin_out, stdin_in), (stdout_out, stdout_in) = os.pipe(), os.pipe()
        pid = self._fork(
            {"role": "worker", "folder": str(folder), "lock_path": lock_path}, (stdin_out, stdout_in)
        )
        os.close(stdin_out)
        os.close(stdout_in)
        stdin, stdout = trio.lowlevel.FdStream(stdin_in), trio.lowlevel.FdStream(stdout_out)
        return ForkedWorker(pid, stdin, stdout)

    def _fork(self, message: Mapping[str, str], descriptors: tuple[int, ...] = ()) -> int:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.address)
            socket.send_fds(connection, [json.dumps(message).encode()], descriptors)
            return int(connection.recv(MESSAGE_BYTES))


def serve(listener: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody here waits for children
    gc.freeze()
    while True:
        connection, _ = listener.accept()
        with connection:
            text, descriptors, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, 2)
            if not text:
                continue
            pid = os.fork()
            if pid == 0:
                connection.close()
                listener.close()
                _become(json.loads(text), descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            with suppress(BrokenPipeError):  # the agent that asked was killed meanwhile
                connection.sendall(str(pid).encode())


def _become(message: Mapping[str, str], pipes: list[int]) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    folder = Path(message["folder"])
    os.chdir(folder)
    standard = [*pipes, os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)]
    for number, descriptor in zip((0, 1, 2)[-len(standard) :], standard, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    try:
        if message["role"] == "agent":
            Path(EXIT_CODE).write_text(str(_run_agent(folder, AgentForks(message["address"]))))
        else:
            _run_worker(folder, message["lock_path"])
    except BaseException:  # noqa: BLE001  whatever it is, the loop of the forks is not where it may go
        traceback.print_exc()
    os._exit(1)


def _run_agent(folder: Path, forks: AgentForks) -> int:
    async def open_process(command: list[str], **_: object) -> Any:  # noqa: ANN401  the part of it that the agent uses
        return forks.fork_worker(folder, lock_path=command[-1])

    faulty_worker.replace(trio.lowlevel, "open_process", open_process)
    for module in (transfer, task, transfers):
        faulty_worker.replace(module, "BLOCK_BYTES", faulty_worker.SMALL_BLOCK_BYTES)
    availability.MAX_PROBE_S = MAX_PROBE_S
    if (folder / BATCHES).exists():
        batching.MAX_UNBATCHED = 1
    config = config_of(folder)
    log_handle = log.configure(
        level="info", style="json", file=None, max_size_bytes=0, keep=0, stderr=sys.stderr
    )
    try:
        return trio.run(supervisor.run, config, lambda: config_of(folder), lambda _: None)
    finally:
        log_handle.close()


def _run_worker(folder: Path, lock_path: str) -> None:
    with (folder / WORKERS).open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    faulty_worker.shrink_blocks()
    faulty_worker.spoil(FileTroubles(folder / SCRIPT))
    sys.argv[1:] = [lock_path]
    server.main()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
