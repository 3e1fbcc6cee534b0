"""What lives as long as the process: the journal, the workers, the status model, control."""

import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import trio
from attrs import define, field

from agent import __version__
from agent.actors.broadcaster.metrics import Metrics
from agent.actors.broadcaster.status_model import StatusModel
from agent.config.raw import ConfigError
from agent.config.sections import Config
from agent.control.service import Control
from agent.control.uploads import UploadControl
from agent.journal.client import JournalClient
from agent.log import get_logger
from agent.messages.broadcaster import ConfigRejected, JournalReplaced, JournalState
from agent.messages.channels import BroadcasterInbox
from agent.runtime.generation import open_broadcaster_inbox, open_reload_requests
from agent.worker_pool import WorkerPool

MAX_RESTARTS = 5
RESTART_WINDOW_S = 600.0
log = get_logger(__name__)


@define
class RestartPolicy:
    """At most `MAX_RESTARTS` in `RESTART_WINDOW_S` (OTP: restart intensity), after 1, 2, 4 ... seconds."""

    _failures: deque[float] = field(factory=deque, init=False)

    def record_failure(self, now_s: float) -> float | None:
        """How long to wait before the restart; None: there were too many."""
        self._failures.append(now_s)
        while self._failures[0] <= now_s - RESTART_WINDOW_S:
            self._failures.popleft()
        if len(self._failures) > MAX_RESTARTS:
            return None
        return 2.0 ** (len(self._failures) - 1)


@define(eq=False)
class Runtime:
    """What outlives a generation. `stop` ends the process, `exit_code` is its exit code.

    `load` reads and checks the configuration, `set_up_log` applies its log section.
    """

    load: Callable[[], Config]
    set_up_log: Callable[[Config], None]
    journal: JournalClient
    workers: WorkerPool
    status: StatusModel
    metrics: Metrics
    control: Control
    broadcaster: trio.MemorySendChannel[BroadcasterInbox]
    broadcaster_inbox: trio.MemoryReceiveChannel[BroadcasterInbox]
    reloads: trio.MemoryReceiveChannel[None]
    exit_code: int = 0
    restarts: RestartPolicy = field(factory=RestartPolicy, init=False)
    _opening: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _journal_check: trio.CancelScope = field(factory=trio.CancelScope, init=False)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, config: Config, load: Callable[[], Config], set_up_log: Callable[[Config], None]
    ) -> AsyncIterator["Runtime"]:
        """Raises: JournalError: another agent uses the state folder, or waiting for it will not help."""
        inbox_in, inbox_out = open_broadcaster_inbox()
        reloads_in, reloads_out = open_reload_requests()
        status = StatusModel()
        metrics = Metrics(status, __version__)

        async def publish(event: JournalState | JournalReplaced) -> None:
            with suppress(trio.ClosedResourceError, trio.BrokenResourceError):  # the agent has stopped
                await inbox_in.send(event)

        async with (
            JournalClient.open(config.agent.state_dir, publish) as journal,
            WorkerPool.open(config.agent.partial_locks_file) as workers,
        ):
            control = Control(
                inbox_in.clone(),
                reloads_in,
                journal,
                lambda: metrics.render(time.time()),
                lambda: _reasons(load),
                UploadControl(journal, workers),
            )
            yield cls(
                load, set_up_log, journal, workers, status, metrics, control, inbox_in, inbox_out, reloads_out
            )

    async def open_journal(self) -> bool:
        """Wait until the state folder can be used; False: the agent was stopped meanwhile.

        Raises:
            JournalError: waiting will not help.
        """
        with self._opening:
            await self.journal.wait_opened()
            return True
        return False

    async def check_journal(self) -> bool:
        """Read the journal from end to end, however large it is; False: the agent was stopped meanwhile.

        Raises:
            JournalError: it can be neither read nor set aside.
        """
        with self._journal_check:
            await self.journal.check_integrity()
            return True
        return False

    def stop(self) -> None:
        """Accept no further configuration: the generation that runs is the last one."""
        self._opening.cancel()
        self._journal_check.cancel()
        self.reloads.close()

    async def next_config(self) -> Config | None:
        """Wait for a reload and load a valid configuration; None: the agent was stopped."""
        while True:
            try:
                await self.reloads.receive()
            except (trio.ClosedResourceError, trio.EndOfChannel):
                return None
            try:
                config = await trio.to_thread.run_sync(self.load)
                await trio.to_thread.run_sync(self.set_up_log, config)
            except (ConfigError, OSError) as error:
                reasons = error.reasons if isinstance(error, ConfigError) else (str(error),)
                log.warning("configuration rejected, the old one goes on", reasons=reasons)
                await self.broadcaster.send(ConfigRejected(reasons, time.time()))
            else:
                log.info("configuration reloaded", path=config.path)
                return config


async def full_host_name() -> str:
    """In a thread of its own: a name server that does not answer takes up to a minute."""
    return await trio.to_thread.run_sync(socket.getfqdn, abandon_on_cancel=True)


def _reasons(load: Callable[[], Config]) -> tuple[str, ...]:
    """Why the configuration is invalid; empty: it is valid."""
    try:
        load()
    except ConfigError as error:
        return error.reasons
    return ()
