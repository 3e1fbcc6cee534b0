"""The supervisor: starts and stops everything in the process, and restarts what crashed.

Start order:
1. The web server, so that the page is available while the rest is loaded and a large journal is read.
2. The signal handlers, before anyone can know where to send a signal.
3. The broadcaster.
4. What moves files is loaded. The state folder is waited for, where it cannot be used yet.
5. The address file, from which the command line learns the port; it lasts as long as the generations.
6. The journal is read and checked; then one generation follows the other.

Stop order:
1. The generation is cancelled: workers are killed, and what they have reached is in the journal.
2. Control refuses requests; the broadcaster sends the last update and closes the feeds.
3. The web server ends.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from importlib import import_module

import trio
from attrs import define, field

from agent.actors.broadcaster import actor as broadcaster
from agent.config.sections import Config
from agent.fs.atomic_write import remove_file, replace_file
from agent.journal.errors import JournalError
from agent.log import get_logger
from agent.runtime import once
from agent.runtime.once import exit_when_idle
from agent.runtime.runtime import EXIT_TOO_MANY_RESTARTS, Runtime, full_host_name
from agent.runtime.signals import handle_signals
from web.app import create_app
from web.auth import Access
from web.server import serve

log = get_logger(__name__)

WEB_STOP_S = 2.0


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
    """
    runtime = Runtime.create(load, set_up_log)
    try:
        await supervise(runtime, config, once_only=once_only)
    except* CannotStart as group:
        raise group.exceptions[0] from None
    return runtime.exit_code


async def supervise(runtime: Runtime, config: Config, *, once_only: bool) -> None:
    """Start everything, run until the last generation has ended, stop everything. Raises: CannotStart."""
    # What the stack holds is closed after the web server has ended, which may still read from it.
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        web_stop, web_ended, broadcaster_ended = trio.Event(), trio.Event(), trio.Event()
        access = _access(config)
        nursery.start_soon(_add_full_host_name, access)
        url = await nursery.start(_supervise_web, runtime, config, access, web_stop, web_ended)
        await nursery.start(handle_signals, runtime)
        log.info("listening", url=url)
        nursery.start_soon(_supervise_broadcaster, runtime, broadcaster_ended)
        if once_only:
            runtime.exit_code = once.EXIT_RESUMABLE  # until nothing is left to do
            nursery.start_soon(exit_when_idle, runtime)
        try:
            await _run_generations(runtime, config, url, stack, nursery)
        except JournalError as error:
            raise CannotStart(str(error)) from error
        runtime.control.close()
        runtime.broadcaster.close()
        await broadcaster_ended.wait()
        web_stop.set()
        with trio.move_on_after(WEB_STOP_S):
            await web_ended.wait()
        nursery.cancel_scope.cancel()


async def _run_generations(
    runtime: Runtime, config: Config, url: str, stack: AsyncExitStack, nursery: trio.Nursery
) -> None:
    """Load and open what moves files, and run it until the agent is stopped.

    Raises:
        JournalError: another agent uses the state folder, or waiting for it will not help.
        CannotStart: the address file cannot be written.
    """
    await trio.to_thread.run_sync(import_module, "agent.runtime.generations")  # the page answers meanwhile
    from agent.runtime import generations  # noqa: PLC0415  it was loaded just now

    await stack.enter_async_context(generations.opened(runtime, config))
    nursery.start_soon(runtime.journal.probe_until_writable)
    if await runtime.open_journal():
        with _address_published(config, url):
            if await runtime.check_journal():
                await generations.run(runtime, config)


async def _supervise_broadcaster(runtime: Runtime, ended: trio.Event) -> None:
    """The broadcaster outlives generations, so it is restarted alone."""
    tap = broadcaster.EventTap()
    while True:
        try:
            await broadcaster.run(runtime.broadcaster_inbox.clone(), runtime.status, runtime.metrics, tap)
        except Exception as error:  # noqa: BLE001  as in generations.run
            delay_s = await runtime.schedule_restart("broadcaster", error)
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
            delay_s = await runtime.schedule_restart("web", error)
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
