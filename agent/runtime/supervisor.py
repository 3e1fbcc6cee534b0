"""The supervisor: starts and stops everything in the process, and restarts what crashed.

Start order:
1. The web server, so that the page is available while a large journal is read.
2. The signal handlers, before anyone can know where to send a signal.
3. The broadcaster, and the probe of a journal that cannot be written.
4. The state folder is waited for, where it cannot be used yet.
5. The address file, from which the command line learns the port; it lasts as long as the generations.
6. The journal is read and checked; then one generation follows the other.

Stop order:
1. The generation is cancelled: workers are killed, and what they have reached is in the journal.
2. Control refuses requests; the broadcaster sends the last update and closes the feeds.
3. The web server ends.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

import trio
from attrs import define, field

from agent.actors.broadcaster import actor as broadcaster
from agent.config.sections import Config
from agent.fs.atomic_write import remove_file, replace_file
from agent.journal.database import JournalError
from agent.log import get_logger
from agent.messages.broadcaster import ActorCrashed
from agent.model.errors import first_error
from agent.runtime import once
from agent.runtime.generation import Generation
from agent.runtime.once import exit_when_idle
from agent.runtime.runtime import Runtime, full_host_name
from agent.runtime.signals import handle_signals
from web.app import create_app
from web.auth import Access
from web.server import serve

log = get_logger(__name__)

NOTIFY_TIMEOUT_S = 1.0
WEB_STOP_S = 2.0
EXIT_TOO_MANY_RESTARTS = 1


class CannotStart(Exception):  # noqa: N818  a state of affairs, not a mistake
    """One line that says why the agent cannot start, and what to do about it."""


async def run(
    config: Config,
    load: Callable[[], Config],
    set_up_log: Callable[[Config], None],
    *,
    once_only: bool = False,
) -> int:
    """Run until the agent is stopped; the exit code.

    Raises:
        CannotStart: in one line.
        JournalError: another agent uses the state folder, or waiting for it will not help.
    """
    try:
        async with Runtime.open(config, load, set_up_log) as runtime:
            await supervise(runtime, config, once_only=once_only)
    except* CannotStart as group:
        raise group.exceptions[0] from None
    return runtime.exit_code


async def supervise(runtime: Runtime, config: Config, *, once_only: bool) -> None:
    """Start everything, run until the last generation has ended, stop everything. Raises: CannotStart."""
    async with trio.open_nursery() as nursery:
        web_stop, web_ended, broadcaster_ended = trio.Event(), trio.Event(), trio.Event()
        access = _access(config)
        nursery.start_soon(_add_full_host_name, access)
        url = await nursery.start(_supervise_web, runtime, config, access, web_stop, web_ended)
        await nursery.start(handle_signals, runtime)
        log.info("listening", url=url)
        nursery.start_soon(_supervise_broadcaster, runtime, broadcaster_ended)
        nursery.start_soon(runtime.journal.probe_until_writable)
        if once_only:
            runtime.exit_code = once.EXIT_RESUMABLE  # until nothing is left to do
            nursery.start_soon(exit_when_idle, runtime)
        if await _journal_opened(runtime):
            with _address_published(config, url):
                if await _journal_ready(runtime):
                    await _run_generations(runtime, config)
        runtime.control.close()
        runtime.broadcaster.close()
        await broadcaster_ended.wait()
        web_stop.set()
        with trio.move_on_after(WEB_STOP_S):
            await web_ended.wait()
        nursery.cancel_scope.cancel()


async def _journal_opened(runtime: Runtime) -> bool:
    """Raises: CannotStart."""
    try:
        return await runtime.open_journal()
    except JournalError as error:
        raise CannotStart(str(error)) from error


async def _journal_ready(runtime: Runtime) -> bool:
    """Raises: CannotStart."""
    try:
        return await runtime.check_journal()
    except JournalError as error:
        raise CannotStart(str(error)) from error


async def _run_generations(runtime: Runtime, config: Config) -> None:
    """Run one generation after the other, until the agent is stopped or actors crash too often."""
    following: Config | None = config
    while following is not None:
        config = following
        try:
            following = await _run_generation(runtime, config)
            runtime.workers.roots.clear()  # a reload accepts where they lead now
        except Exception as error:  # noqa: BLE001  an actor's bug must not end the process
            delay_s = await _schedule_restart(runtime, _failed_actor(error), error)
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


async def _schedule_restart(runtime: Runtime, actor: str, error: Exception) -> float | None:
    """Report the crash; how long to wait before the restart, None: there were too many."""
    delay_s = runtime.restarts.record_failure(trio.current_time())
    log.error("actor failed", actor=actor, exc_info=error, restart_in_s=delay_s)
    if delay_s is not None:
        cause = first_error(error)
        event = ActorCrashed(actor, f"{type(cause).__name__}: {cause}", time.time(), delay_s)
        # The agent may be stopping, or the broadcaster itself has crashed and its inbox is full.
        with trio.move_on_after(NOTIFY_TIMEOUT_S), suppress(trio.ClosedResourceError):
            await runtime.broadcaster.send(event)
    return delay_s


def _failed_actor(error: Exception) -> str:
    """The actor that raised: the folder of the first frame below `agent.actors`."""
    modules = (frame.tb_frame.f_globals["__name__"] for frame in _frames(first_error(error).__traceback__))
    inside = (name.split(".")[2] for name in modules if name.startswith("agent.actors."))
    return next(inside, "supervisor")


def _frames(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


async def _supervise_broadcaster(runtime: Runtime, ended: trio.Event) -> None:
    """The broadcaster outlives generations, so it is restarted alone."""
    tap = broadcaster.EventTap()
    while True:
        try:
            await broadcaster.run(runtime.broadcaster_inbox.clone(), runtime.status, runtime.metrics, tap)
        except Exception as error:  # noqa: BLE001  as in _run_generations
            delay_s = await _schedule_restart(runtime, "broadcaster", error)
            if delay_s is None:
                runtime.exit_code = EXIT_TOO_MANY_RESTARTS
                runtime.stop()
                break
            await trio.sleep(delay_s)
        else:
            break
    ended.set()


async def _supervise_web(
    runtime: Runtime,
    config: Config,
    access: Access,
    stop: trio.Event,
    ended: trio.Event,
    task_status: trio.TaskStatus[str],
) -> None:
    """The web server is restarted alone: whatever a request does to it, transfers go on."""
    app = create_app(runtime.control, access)
    host = f"[{config.web.host}]" if ":" in config.web.host else config.web.host
    bind = f"{host}:{config.web.port}"
    first = _FirstStart(task_status)
    while not stop.is_set():
        try:
            await serve(app, bind, stop=stop, task_status=first)
        except Exception as error:
            if not first.has_started:
                raise CannotStart(str(error)) from error
            delay_s = await _schedule_restart(runtime, "web", error)
            if delay_s is None:
                runtime.exit_code = EXIT_TOO_MANY_RESTARTS
                runtime.stop()
                break
            await trio.sleep(delay_s)
        bind = first.url.partition("://")[2]
    ended.set()


def _access(config: Config) -> Access:
    names = {config.web.host, config.agent.name, socket.gethostname()}
    return Access(token=config.web.token, loopback=config.web.loopback, hosts=names)


async def _add_full_host_name(access: Access) -> None:
    access.add_host(await full_host_name())


@define
class _FirstStart(trio.TaskStatus[str]):
    """Reports only the first start: nobody waits for a web server that is restarted."""

    _first: trio.TaskStatus[str]
    url: str = field(default="", init=False)

    @property
    def has_started(self) -> bool:
        return bool(self.url)

    def started(self, value: str | None = None) -> None:
        if not self.url:
            self.url = value or ""
            self._first.started(self.url)


@contextmanager
def _address_published(config: Config, url: str) -> Iterator[None]:
    """For the command line, which cannot know a port that was chosen freely.

    The file is removed at the end: another program may listen there next. Raises: CannotStart.
    """
    try:
        replace_file(config.agent.address_file, url, durable=False)
    except OSError as error:
        raise CannotStart(f"{config.agent.address_file} cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        with suppress(OSError):  # the state folder is gone or read-only
            remove_file(config.agent.address_file)
