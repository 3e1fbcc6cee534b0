"""The household: what lives as long as the process, and how one generation follows the other."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType

import trio
from attrs import define, field

from agent.actors import broadcaster
from agent.config import Config
from agent.house import Generation
from agent.household import Household
from agent.log import get_logger
from agent.messages import Crashed
from agent.rules import once
from agent.stopping import obey_signals, stop_when_settled
from agent.stores.journal import JournalError
from agent.stores.lock import leave_address
from web.app import create_app
from web.guard import Access
from web.server import serve

log = get_logger(__name__)

TELL_S = 1.0
WEB_FAREWELL_S = 2.0
EXIT_SPENT = 1


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
        async with Household.open(config, load, set_up_log) as house:
            await live(house, config, once_only=once_only)
    except* CannotStart as group:
        raise group.exceptions[0] from None
    return house.exit_code


async def live(house: Household, config: Config, *, once_only: bool) -> None:
    """Everything but the household's own belongings, until the last generation has ended.

    Visitors are received before the journal has been read, which takes as long as it is large.

    Stop order: the generation is cancelled (workers killed, checkpoints are on disk), the broadcaster tells
    the last news and closes the feeds, the web server ends.
    """
    async with trio.open_nursery() as household:
        end_web, web_ended, told = trio.Event(), trio.Event(), trio.Event()
        url = await household.start(_receive_visitors, house, config, end_web, web_ended)
        await household.start(obey_signals, house)  # before anyone can know where to send one
        log.info("listening", url=url)
        _tell_address(config, url)
        household.start_soon(_broadcast, house, told)
        household.start_soon(house.ledger.keep_trying)
        if once_only:
            house.exit_code = once.EXIT_RESUMABLE  # until all is at rest
            household.start_soon(stop_when_settled, house)
        if await _begun(house):
            await _generations(house, config)
        house.desk.close()
        house.broadcaster.close()
        await told.wait()
        end_web.set()
        with trio.move_on_after(WEB_FAREWELL_S):
            await web_ended.wait()
        household.cancel_scope.cancel()


async def _begun(house: Household) -> bool:
    """Raises: CannotStart."""
    try:
        return await house.begin()
    except JournalError as error:
        raise CannotStart(str(error)) from error


async def _generations(house: Household, config: Config) -> None:
    """One generation after the other, until told to stop or until the restart budget is spent."""
    following: Config | None = config
    while following is not None:
        config = following
        try:
            following = await _generation(house, config)
        except Exception as error:  # noqa: BLE001  an actor's bug must not end the house
            delay_s = await _fallen(house, _culprit(error), error)
            if delay_s is None:
                house.exit_code = EXIT_SPENT
                return
            with trio.move_on_after(delay_s):
                following = await house.next_config()


async def _generation(house: Household, config: Config) -> Config | None:
    async with trio.open_nursery() as nursery:
        generation = Generation(config, house.ledger, house.workers, house.broadcaster)
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


async def _fallen(house: Household, who: str, error: Exception) -> float | None:
    """Say what fell; how long to wait before setting it up again, None: never."""
    delay_s = house.budget.fell(trio.current_time())
    log.error("actor failed", actor=who, exc_info=error, restart_in_s=delay_s)
    if delay_s is not None:
        cause = _cause(error)
        news = Crashed(who, f"{type(cause).__name__}: {cause}", time.time(), delay_s)
        # The house may be closing, or the broadcaster be the one that fell, its inbox full.
        with trio.move_on_after(TELL_S), suppress(trio.ClosedResourceError):
            await house.broadcaster.send(news)
    return delay_s


def _cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _culprit(error: Exception) -> str:
    """Which actor raised: the first frame in the actors' room."""
    modules = (frame.tb_frame.f_globals["__name__"] for frame in _frames(_cause(error).__traceback__))
    inside = (name.rpartition(".")[2] for name in modules if name.startswith("agent.actors."))
    return next(inside, "house")


def _frames(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


async def _broadcast(house: Household, told: trio.Event) -> None:
    """The broadcaster lives longer than generations, and is set up again by itself."""
    ear = broadcaster.Ear()
    while True:
        try:
            await broadcaster.run(house.facts.clone(), house.view, house.metrics, ear)
        except Exception as error:  # noqa: BLE001  as in _generations
            delay_s = await _fallen(house, "broadcaster", error)
            if delay_s is None:
                house.exit_code = EXIT_SPENT
                house.stop()
                break
            await trio.sleep(delay_s)
        else:
            break
    told.set()


async def _receive_visitors(
    house: Household,
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
    first = _Once(task_status)
    while not end.is_set():
        try:
            await serve(app, bind, stop=end, task_status=first)
        except Exception as error:
            if not first.has_started:
                raise CannotStart(str(error)) from error
            delay_s = await _fallen(house, "web", error)
            if delay_s is None:
                house.exit_code = EXIT_SPENT
                house.stop()
                break
            await trio.sleep(delay_s)
        bind = first.url.partition("://")[2]
    ended.set()


@define
class _Once(trio.TaskStatus[str]):
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


def _tell_address(config: Config, url: str) -> None:
    """For the command line, which cannot know a port that was picked freely. Raises: CannotStart."""
    try:
        leave_address(config.agent.address_file, url)
    except OSError as error:
        raise CannotStart(f"{config.agent.address_file} cannot be written: {error.strerror}") from error
