"""The household: what lives as long as the process, and how one generation follows the other."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType

import trio
from attrs import define, field

from agent.actors.broadcaster import actor as broadcaster
from agent.config.sections import Config
from agent.fs.atomic_write import replace_file
from agent.journal.database import JournalError
from agent.log import get_logger
from agent.messages.broadcaster import ActorCrashed
from agent.model.errors import first_error
from agent.runtime import once
from agent.runtime.generation import Generation
from agent.runtime.once import exit_when_idle
from agent.runtime.runtime import Runtime
from agent.runtime.signals import handle_signals
from web.app import create_app
from web.auth import Access
from web.server import serve

log = get_logger(__name__)

NOTIFY_TIMEOUT_S = 1.0
WEB_STOP_S = 2.0
EXIT_RESTARTS_SPENT = 1


class CannotStart(Exception):  # noqa: N818  a state of affairs, not a mistake
    """One line that says what is in the way, and how to get it out of the way."""


async def run(
    config: Config,
    load: Callable[[], Config],
    set_up_log: Callable[[Config], None],
    *,
    once_only: bool = False,
) -> int:
    """Live until told to stop; the exit code.

    Raises:
        CannotStart: in one line.
        JournalError: the state folder cannot be used, or another agent uses it.
    """
    try:
        async with Runtime.open(config, load, set_up_log) as house:
            await supervise(house, config, once_only=once_only)
    except* CannotStart as group:
        raise group.exceptions[0] from None
    return house.exit_code


async def supervise(house: Runtime, config: Config, *, once_only: bool) -> None:
    """Everything but the household's own belongings, until the last generation has ended.

    Visitors are received before the journal has been read, which takes as long as it is large.

    Stop order: the generation is cancelled (workers killed, checkpoints are on disk), the broadcaster tells
    the last news and closes the feeds, the web server ends.
    """
    async with trio.open_nursery() as household:
        end_web, web_ended, told = trio.Event(), trio.Event(), trio.Event()
        url = await household.start(_supervise_web, house, config, end_web, web_ended)
        await household.start(handle_signals, house)  # before anyone can know where to send one
        log.info("listening", url=url)
        _write_address(config, url)
        household.start_soon(_supervise_broadcaster, house, told)
        household.start_soon(house.journal.probe_until_writable)
        if once_only:
            house.exit_code = once.EXIT_RESUMABLE  # until all is at rest
            household.start_soon(exit_when_idle, house)
        if await _journal_ready(house):
            await _run_generations(house, config)
        house.desk.close()
        house.broadcaster.close()
        await told.wait()
        end_web.set()
        with trio.move_on_after(WEB_STOP_S):
            await web_ended.wait()
        household.cancel_scope.cancel()


async def _journal_ready(house: Runtime) -> bool:
    """Raises: CannotStart."""
    try:
        return await house.examine_journal()
    except JournalError as error:
        raise CannotStart(str(error)) from error


async def _run_generations(house: Runtime, config: Config) -> None:
    """One generation after the other, until told to stop or until the restart budget is spent."""
    following: Config | None = config
    while following is not None:
        config = following
        try:
            following = await _run_generation(house, config)
        except Exception as error:  # noqa: BLE001  an actor's bug must not end the house
            delay_s = await _schedule_restart(house, _failed_actor(error), error)
            if delay_s is None:
                house.exit_code = EXIT_RESTARTS_SPENT
                return
            with trio.move_on_after(delay_s):
                following = await house.next_config()


async def _run_generation(house: Runtime, config: Config) -> Config | None:
    async with trio.open_nursery() as nursery:
        generation = Generation(config, house.journal, house.workers, house.broadcaster)
        doors = await generation.start(nursery)
        house.desk.connect(doors.dispatcher)
        house.desk.uploads.connect(doors.uploads, config)
        try:
            following = await house.next_config()
        finally:
            house.desk.connect(None)
            house.desk.uploads.close()
        nursery.cancel_scope.cancel()
    return following


async def _schedule_restart(house: Runtime, who: str, error: Exception) -> float | None:
    """Say what fell; how long to wait before setting it up again, None: never."""
    delay_s = house.budget.record_failure(trio.current_time())
    log.error("actor failed", actor=who, exc_info=error, restart_in_s=delay_s)
    if delay_s is not None:
        cause = first_error(error)
        news = ActorCrashed(who, f"{type(cause).__name__}: {cause}", time.time(), delay_s)
        # The house may be closing, or the broadcaster be the one that fell, its inbox full.
        with trio.move_on_after(NOTIFY_TIMEOUT_S), suppress(trio.ClosedResourceError):
            await house.broadcaster.send(news)
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


async def _supervise_broadcaster(house: Runtime, told: trio.Event) -> None:
    """The broadcaster lives longer than generations, and is set up again by itself."""
    ear = broadcaster.EventTap()
    while True:
        try:
            await broadcaster.run(house.facts.clone(), house.status, house.metrics, ear)
        except Exception as error:  # noqa: BLE001  as in _generations
            delay_s = await _schedule_restart(house, "broadcaster", error)
            if delay_s is None:
                house.exit_code = EXIT_RESTARTS_SPENT
                house.stop()
                break
            await trio.sleep(delay_s)
        else:
            break
    told.set()


async def _supervise_web(
    house: Runtime,
    config: Config,
    end: trio.Event,
    ended: trio.Event,
    task_status: trio.TaskStatus[str],
) -> None:
    """The web server under a supervisor of its own: whatever a request does to it, transfers go on."""
    names = frozenset({config.web.host, config.agent.name, socket.gethostname(), socket.getfqdn()})
    access = Access(token=config.web.token, loopback=config.web.loopback, hosts=names)
    app = create_app(house.desk, access)
    host = f"[{config.web.host}]" if ":" in config.web.host else config.web.host
    bind = f"{host}:{config.web.port}"
    first = _FirstStart(task_status)
    while not end.is_set():
        try:
            await serve(app, bind, stop=end, task_status=first)
        except Exception as error:
            if not first.has_started:
                raise CannotStart(str(error)) from error
            delay_s = await _schedule_restart(house, "web", error)
            if delay_s is None:
                house.exit_code = EXIT_RESTARTS_SPENT
                house.stop()
                break
            await trio.sleep(delay_s)
        bind = first.url.partition("://")[2]
    ended.set()


@define
class _FirstStart(trio.TaskStatus[str]):
    """Passes the first start on; the server that is set up again has nobody who waits for it."""

    _first: trio.TaskStatus[str]
    url: str = field(default="", init=False)

    @property
    def has_started(self) -> bool:
        return bool(self.url)

    def started(self, value: str | None = None) -> None:
        if not self.url:
            self.url = value or ""
            self._first.started(self.url)


def _write_address(config: Config, url: str) -> None:
    """For the command line, which cannot know a port that was picked freely. Raises: CannotStart."""
    try:
        replace_file(config.agent.address_file, url, durable=False)
    except OSError as error:
        raise CannotStart(f"{config.agent.address_file} cannot be written: {error.strerror}") from error
