"""Forks worker processes from one that has imported what they need: 20 ms each instead of a quarter second.

That they also start by themselves is tested in tests/test_worker_pool.py and tests/system.
"""

import multiprocessing
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

import trio
from attrs import frozen

_IMPORTED = [
    __name__,
    "agent.worker.server",
    "agent.worker.destinations.s3.destination",
    "agent.worker.destinations.s3.probe",
    "tests.flow.faulty_worker",
    "tests.flow.held_worker",
]
_context = multiprocessing.get_context("forkserver")


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


def start() -> None:
    """Start the process that workers are forked from; later calls find it running."""
    _context.set_forkserver_preload(_IMPORTED)
    forkserver.ensure_running()


async def open_process(command: list[str], *, env: Mapping[str, str], **_: Any) -> ForkedWorker:  # noqa: ANN401  as trio's
    """As `trio.lowlevel.open_process`, for `python -P -m <module> <argument>` with two pipes."""
    for_worker, stdin = _context.Pipe(duplex=False)
    stdout, from_worker = _context.Pipe(duplex=False)
    with for_worker, stdin, stdout, from_worker:
        process = _context.Process(
            target=_become, args=(command[-2:], dict(env), for_worker, from_worker), daemon=True
        )
        process.start()
        return ForkedWorker(_stream(stdin), _stream(stdout), process)


def _stream(end: "Connection[Any, Any]") -> trio.lowlevel.FdStream:
    return trio.lowlevel.FdStream(os.dup(end.fileno()))


def _become(
    words: list[str], env: dict[str, str], stdin: "Connection[Any, Any]", stdout: "Connection[Any, Any]"
) -> None:
    os.environ.clear()
    os.environ.update(env)
    for number, end in enumerate((stdin, stdout)):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115  for as long as the process lives
    sys.argv = words
    import_module(words[0]).main()
