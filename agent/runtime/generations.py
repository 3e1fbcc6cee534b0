"""What moves files: the journal and the workers, held for the process, and one generation after the other.

The supervisor loads this once the page answers, because the database's library and the actors take as long to
load as all that the page needs.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType

import trio

from agent.config.sections import Config
from agent.control.journal import JournalControl
from agent.control.uploads import UploadControl
from agent.journal.client import JournalClient
from agent.messages.broadcaster import JournalReplaced, JournalState
from agent.model.errors import first_error
from agent.runtime.generation import Generation
from agent.runtime.runtime import EXIT_TOO_MANY_RESTARTS, Runtime
from agent.worker_pool import WorkerPool


@asynccontextmanager
async def opened(runtime: Runtime, config: Config) -> AsyncIterator[None]:
    """Hold the state folder and the workers; the runtime and control use them from now on.

    Raises:
        JournalRefused: another agent uses the state folder, or waiting for it will not help.
    """

    async def publish(event: JournalState | JournalReplaced) -> None:
        with suppress(trio.ClosedResourceError, trio.BrokenResourceError):  # the agent has stopped
            await runtime.broadcaster.send(event)

    async with (
        JournalClient.open(config.agent.state_dir, publish) as journal,
        WorkerPool.open(config.agent.partial_locks_file) as workers,
    ):
        runtime.journal, runtime.workers = journal, workers
        runtime.control.use(JournalControl(journal), UploadControl(journal, workers))
        yield


async def run(runtime: Runtime, config: Config) -> None:
    """Run one generation after the other, until the agent is stopped or actors crash too often."""
    following: Config | None = config
    while following is not None:
        config = following
        try:
            following = await _run_generation(runtime, config)
            runtime.workers.roots.clear()  # a reload accepts where they lead now
        except Exception as error:  # noqa: BLE001  an actor's bug must not end the process
            delay_s = await runtime.schedule_restart(_failed_actor(error), error)
            if delay_s is None:
                runtime.exit_code = EXIT_TOO_MANY_RESTARTS
                return
            with trio.move_on_after(delay_s):
                following = await runtime.next_config()


async def _run_generation(runtime: Runtime, config: Config) -> Config | None:
    """Run one generation until the next configuration is there; None: the agent was stopped."""
    async with trio.open_nursery() as nursery:
        generation = Generation(config, runtime.journal, runtime.workers, runtime.broadcaster)
        channels = await generation.start(nursery)
        runtime.control.connect(channels.dispatcher)
        runtime.control.uploads.connect(channels.uploads, config)
        try:
            following = await runtime.next_config()
        finally:
            runtime.control.connect(None)
            runtime.control.uploads.close()
        nursery.cancel_scope.cancel()
    return following


def _failed_actor(error: Exception) -> str:
    """The actor that raised: the folder of the first frame below `agent.actors`."""
    modules = (frame.tb_frame.f_globals["__name__"] for frame in _frames(first_error(error).__traceback__))
    inside = (name.split(".")[2] for name in modules if name.startswith("agent.actors."))
    return next(inside, "supervisor")


def _frames(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next
