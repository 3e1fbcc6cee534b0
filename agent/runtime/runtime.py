"""What lives as long as the process: the journal, the workers, the status model, control."""

import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import trio
from attrs import define, field

from agent import __version__
from agent.actors.broadcaster.metrics import Metrics
from agent.actors.broadcaster.status_model import StatusModel
from agent.config.raw import ConfigError
from agent.config.sections import Config
from agent.control.service import Control
from agent.log import get_logger
from agent.messages.broadcaster import ActorCrashed, ConfigRejected
from agent.messages.channels import BroadcasterInbox
from agent.model.errors import first_error
from agent.runtime.channels import open_broadcaster_inbox, open_reload_requests

if TYPE_CHECKING:  # they are loaded once the page answers
    from agent.journal.client import JournalClient
    from agent.worker_pool import WorkerPool

MAX_RESTARTS = 5
RESTART_WINDOW_S = 600.0
NOTIFY_TIMEOUT_S = 1.0
EXIT_TOO_MANY_RESTARTS = 1
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

    `load` reads and checks the configuration, `set_up_log` applies its log section. `journal` and `workers`
    are set once they are open (`agent.runtime.generations`).
    """

    load: Callable[[], Config]
    set_up_log: Callable[[Config], None]
    status: StatusModel
    metrics: Metrics
    control: Control
    broadcaster: trio.MemorySendChannel[BroadcasterInbox]
    broadcaster_inbox: trio.MemoryReceiveChannel[BroadcasterInbox]
    reloads: trio.MemoryReceiveChannel[None]
    exit_code: int = 0
    journal: "JournalClient" = field(init=False)
    workers: "WorkerPool" = field(init=False)
    restarts: RestartPolicy = field(factory=RestartPolicy, init=False)
    _opening: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _journal_check: trio.CancelScope = field(factory=trio.CancelScope, init=False)

    @classmethod
    def create(cls, load: Callable[[], Config], set_up_log: Callable[[Config], None]) -> Self:
        """The part that the page needs."""
        inbox_in, inbox_out = open_broadcaster_inbox()
        reloads_in, reloads_out = open_reload_requests()
        status = StatusModel()
        metrics = Metrics(status, __version__)
        control = Control(
            inbox_in.clone(), reloads_in, lambda: metrics.render(time.time()), lambda: _reasons(load)
        )
        return cls(load, set_up_log, status, metrics, control, inbox_in, inbox_out, reloads_out)

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

    async def schedule_restart(self, actor: str, error: Exception) -> float | None:
        """Report the crash; how long to wait before the restart, None: there were too many."""
        delay_s = self.restarts.record_failure(trio.current_time())
        log.error("actor failed", actor=actor, exc_info=error, restart_in_s=delay_s)
        if delay_s is not None:
            cause = first_error(error)
            event = ActorCrashed(actor, f"{type(cause).__name__}: {cause}", time.time(), delay_s)
            # The agent may be stopping, or the broadcaster itself has crashed and its inbox is full.
            with trio.move_on_after(NOTIFY_TIMEOUT_S), suppress(trio.ClosedResourceError):
                await self.broadcaster.send(event)
        return delay_s


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
