"""What lives as long as the process: the journal, the workers, the picture of the house, the desk."""

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
from agent.messages.runtime import Reload
from agent.worker_pool import WorkerPool

MAX_RESTARTS = 5


RESTART_WINDOW_S = 600.0


@define
class RestartPolicy:
    """At most `MAX_RESTARTS` in `RESTART_WINDOW_S` (OTP: restart intensity), after 1, 2, 4 ... seconds."""

    _failures: deque[float] = field(factory=deque, init=False)

    def record_failure(self, now_s: float) -> float | None:
        """How long to wait before the restart; None: the budget is spent."""
        self._failures.append(now_s)
        while self._failures[0] <= now_s - RESTART_WINDOW_S:
            self._failures.popleft()
        if len(self._failures) > MAX_RESTARTS:
            return None
        return 2.0 ** (len(self._failures) - 1)


log = get_logger(__name__)


BROADCASTER_CAPACITY = 256


@define(eq=False)
class Runtime:
    """What survives a generation. `stop` ends it all; `exit_code` is what the process will say."""

    load: Callable[[], Config]
    set_up_log: Callable[[Config], None]
    journal: JournalClient
    workers: WorkerPool
    status: StatusModel
    metrics: Metrics
    desk: Control
    broadcaster: trio.MemorySendChannel[BroadcasterInbox]
    facts: trio.MemoryReceiveChannel[BroadcasterInbox]
    reloads: trio.MemoryReceiveChannel[Reload]
    exit_code: int = 0
    budget: RestartPolicy = field(factory=RestartPolicy, init=False)
    _examining: trio.CancelScope = field(factory=trio.CancelScope, init=False)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, config: Config, load: Callable[[], Config], set_up_log: Callable[[Config], None]
    ) -> AsyncIterator["Runtime"]:
        """Raises: JournalError: the state folder cannot be used, or another agent does."""
        facts_in, facts_out = trio.open_memory_channel[BroadcasterInbox](BROADCASTER_CAPACITY)

        async def tell(fact: JournalState | JournalReplaced) -> None:
            with suppress(trio.ClosedResourceError, trio.BrokenResourceError):  # at the end nobody listens
                await facts_in.send(fact)

        async with (
            JournalClient.open(config.agent.state_dir, tell) as journal,
            WorkerPool.open(config.agent.partial_locks_file) as workers,
        ):
            reloads_in, reloads_out = trio.open_memory_channel[Reload](1)
            view = StatusModel()
            metrics = Metrics(view, __version__)
            desk = Control(
                facts_in.clone(),
                reloads_in,
                journal,
                lambda: metrics.render(time.time()),
                lambda: _reasons(load),
                UploadControl(journal, workers),
            )
            yield cls(
                load, set_up_log, journal, workers, view, metrics, desk, facts_in, facts_out, reloads_out
            )

    async def examine_journal(self) -> bool:
        """Make sure of the journal, however large it is; False: told to stop meanwhile.

        Raises:
            JournalError: it can be neither read nor set aside.
        """
        with self._examining:
            await self.journal.examine()
            return True
        return False

    def stop(self) -> None:
        """No more configurations: the generation that runs is the last one."""
        self._examining.cancel()
        self.reloads.close()

    async def next_config(self) -> Config | None:
        """The next valid configuration somebody asks for; None: the end."""
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


def _reasons(load: Callable[[], Config]) -> tuple[str, ...]:
    try:
        load()
    except ConfigError as error:
        return error.reasons
    return ()
