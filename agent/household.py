"""What lives as long as the process: the journal, the workers, the picture of the house, the desk."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import trio
from attrs import define, field

from agent import __version__
from agent.config import Config, ConfigError
from agent.desk import Desk
from agent.ledger import Ledger
from agent.log import get_logger
from agent.messages import BroadcasterInbox, ConfigRejected, JournalRenewed, JournalState, Reload
from agent.rules.budget import RestartBudget
from agent.rules.metrics import Metrics
from agent.rules.view import View
from agent.upload_desk import UploadDesk
from agent.workers import Workers

log = get_logger(__name__)

BROADCASTER_CAPACITY = 256


@define(eq=False)
class Household:
    """What survives a generation. `stop` ends it all; `exit_code` is what the process will say."""

    load: Callable[[], Config]
    set_up_log: Callable[[Config], None]
    ledger: Ledger
    workers: Workers
    view: View
    metrics: Metrics
    desk: Desk
    broadcaster: trio.MemorySendChannel[BroadcasterInbox]
    facts: trio.MemoryReceiveChannel[BroadcasterInbox]
    reloads: trio.MemoryReceiveChannel[Reload]
    exit_code: int = 0
    budget: RestartBudget = field(factory=RestartBudget, init=False)
    _beginning: trio.CancelScope = field(factory=trio.CancelScope, init=False)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, config: Config, load: Callable[[], Config], set_up_log: Callable[[Config], None]
    ) -> AsyncIterator["Household"]:
        """Raises: JournalError: the state folder cannot be used, or another agent does."""
        facts_in, facts_out = trio.open_memory_channel[BroadcasterInbox](BROADCASTER_CAPACITY)

        async def tell(fact: JournalState | JournalRenewed) -> None:
            with suppress(trio.ClosedResourceError, trio.BrokenResourceError):  # at the end nobody listens
                await facts_in.send(fact)

        async with (
            Ledger.open(config.agent.state_dir, tell) as ledger,
            Workers.open(config.agent.claims_file) as workers,
        ):
            reloads_in, reloads_out = trio.open_memory_channel[Reload](1)
            view = View()
            metrics = Metrics(view, __version__)
            desk = Desk(
                facts_in.clone(),
                reloads_in,
                ledger,
                lambda: metrics.exposition(time.time()),
                lambda: _reasons(load),
                UploadDesk(ledger, workers),
            )
            yield cls(
                load, set_up_log, ledger, workers, view, metrics, desk, facts_in, facts_out, reloads_out
            )

    async def begin(self) -> bool:
        """Make sure of the journal, however large it is; False: told to stop meanwhile.

        Raises:
            JournalError: it can be neither read nor set aside.
        """
        with self._beginning:
            await self.ledger.examine()
            return True
        return False

    def stop(self) -> None:
        """No more configurations: the generation that runs is the last one."""
        self._beginning.cancel()
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
