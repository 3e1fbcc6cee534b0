"""Forks agents and workers from a process that has imported what they need: 20 ms each, not a second.

That they also start by themselves is tested in tests/cli/test_cli_run.py and tests/test_worker_pool.py.
An agent that is forked starts its workers itself.
"""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Self

import trio
from attrs import frozen

_IMPORTED = [
    __name__,
    "agent.cli",
    "agent.runtime.supervisor",
    "agent.worker.server",
    "agent.worker.destinations.s3.destination",
    "agent.worker.destinations.s3.probe",
    # What the agent imports only when it needs it.
    "agent.runtime.generations",
    "alembic.command",
    "tests.flow.faulty_worker",
    "tests.flow.held_worker",
]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_IMPORTED)


@atexit.register
def _kill_all() -> None:
    """At its end Python waits for its children, and workers ignore the SIGTERM that it sends them."""
    for process in multiprocessing.active_children():
        process.kill()


@frozen(eq=False)
class ForkedWorker:
    """The part of `trio.Process` that the agent uses."""

    stdin: trio.lowlevel.FdStream
    stdout: trio.lowlevel.FdStream
    _process: ForkServerProcess

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()

    def poll(self) -> int | None:
        return self._process.exitcode

    async def wait(self) -> int | None:
        await trio.lowlevel.wait_readable(self._process.sentinel)
        return self._process.exitcode


@frozen(eq=False)
class ForkedProgram:
    """The part of `subprocess.Popen` that tests of agents use."""

    _process: ForkServerProcess

    @classmethod
    def start(cls, command: Sequence[str], log: Path) -> Self:
        """As `Popen(command, stderr=..., start_new_session=True)`, for `python -m <module> ...`."""
        process = _context.Process(
            target=_become_program, args=(command[2:], dict(os.environ), str(log)), daemon=True
        )
        process.start()
        return cls(process)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout_s: float | None = None) -> int:
        """Raises: subprocess.TimeoutExpired."""
        self._process.join(timeout_s)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(str(self._process), timeout_s or 0.0)
        return code


async def open_worker(command: list[str], *, env: Mapping[str, str], **_: Any) -> ForkedWorker:  # noqa: ANN401  as trio's
    """As `trio.lowlevel.open_process`, for `python -P -m <module> <argument>` with two pipes."""
    for_worker, stdin = _context.Pipe(duplex=False)
    stdout, from_worker = _context.Pipe(duplex=False)
    with for_worker, stdin, stdout, from_worker:
        process = _context.Process(
            target=_become_worker, args=(command[-2:], dict(env), for_worker, from_worker), daemon=True
        )
        process.start()
        return ForkedWorker(_stream(stdin), _stream(stdout), process)


def _stream(end: "Connection[Any, Any]") -> trio.lowlevel.FdStream:
    return trio.lowlevel.FdStream(os.dup(end.fileno()))


def _become_worker(
    words: list[str], env: dict[str, str], stdin: "Connection[Any, Any]", stdout: "Connection[Any, Any]"
) -> None:
    for number, end in enumerate((stdin, stdout)):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115  for as long as the process lives
    _set_up(words, env)
    import_module(words[0]).main()


def _become_program(words: list[str], env: dict[str, str], log: str) -> None:
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, sys.stderr.fileno())
    os.close(descriptor)
    _set_up(words, env)
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def _set_up(words: list[str], env: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(env)
    sys.argv = words
