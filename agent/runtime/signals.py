"""Signals: stop, reload, and the state written into the log."""

import os
import signal
import time

import trio

from agent.control.errors import Unavailable
from agent.log import get_logger
from agent.runtime.runtime import Runtime

log = get_logger(__name__)

EXIT_INTERRUPTED = 130  # as a shell reports a program that SIGINT ended


async def handle_signals(
    runtime: Runtime, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """TERM and INT stop, a second INT exits at once; HUP reloads; USR1 writes the state into the log."""
    interrupted = False
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1) as signals:
        task_status.started()
        async for number in signals:
            log.info("signal", name=signal.Signals(number).name)
            match number:
                case signal.SIGHUP:
                    try:
                        runtime.control.ask_for_reload()
                    except Unavailable:
                        continue  # the agent is stopping
                case signal.SIGUSR1:
                    _log_state(runtime)
                case _:
                    if interrupted and number == signal.SIGINT:
                        os._exit(EXIT_INTERRUPTED)
                    interrupted = True
                    runtime.stop()


def _log_state(runtime: Runtime) -> None:
    snapshot = runtime.status.snapshot(time.time())
    for route in snapshot.routes:
        log.info(
            "state", route=route.name, counts=route.counts, outage=str(route.outage), paused=route.paused
        )
    for file in snapshot.files:
        log.info(
            "state",
            route=file.current.route,
            file=file.path,
            status=file.current.status.value,
            why=file.current.why,
        )
