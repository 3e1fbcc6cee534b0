"""What ends a run: signals from outside, or, with --once, that nothing is left to do."""

import os
import signal
import time

import trio

from agent.desk import Busy
from agent.household import Household
from agent.log import get_logger
from agent.rules import once

log = get_logger(__name__)

ONCE_EVERY_S = 0.25
EXIT_AT_ONCE = 130  # as a shell reports a program that SIGINT ended


async def obey_signals(
    house: Household, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """TERM and INT stop, a second INT at once; HUP reloads; USR1 writes the state into the log."""
    interrupted = False
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1) as signals:
        task_status.started()
        async for number in signals:
            log.info("signal", name=signal.Signals(number).name)
            match number:
                case signal.SIGHUP:
                    try:
                        house.desk.ask_for_reload()
                    except Busy:
                        continue  # a stop was faster
                case signal.SIGUSR1:
                    _dump(house)
                case _:
                    if interrupted and number == signal.SIGINT:
                        os._exit(EXIT_AT_ONCE)
                    interrupted = True
                    house.stop()


def _dump(house: Household) -> None:
    snapshot = house.view.snapshot(time.time())
    for route in snapshot.routes:
        log.info(
            "state", route=route.name, counts=route.counts, outage=str(route.outage), paused=route.paused
        )
    for file in snapshot.files:
        log.info("state", route=file.route, file=file.path, status=file.status.value, why=file.why)


async def stop_when_settled(house: Household) -> None:
    while True:
        await trio.sleep(ONCE_EVERY_S)
        code = once.verdict(house.view.snapshot(time.time()), time.time())
        if code is not None:
            house.exit_code = code
            house.stop()
            return
