"""The entry from the command line: the log, the event loop, and one line where the agent cannot start."""

import sys
from collections.abc import Callable

import trio

from agent import log
from agent.config.sections import Config
from agent.fs import open_files
from agent.journal.errors import JournalError, JournalRefused
from agent.journal.state_folder import StateLock
from agent.runtime import supervisor
from agent.runtime.supervisor import CannotStart

ENOUGH_FILES = 256

logger = log.get_logger(__name__)


def run(config: Config, load: Callable[[], Config], *, once_only: bool) -> int:
    """Run until the agent is stopped; the exit code. Raises: CannotStart."""
    handles: list[log.LogHandle] = []

    def set_up_log(config: Config) -> None:
        handles.append(_configure_log(config))

    try:
        _set_up_first_log(config, set_up_log)
        _raise_open_files()
        _refuse_locked_state_folder(config)
        return trio.run(lambda: supervisor.run(config, load, set_up_log, once_only=once_only))
    except OSError as error:
        raise CannotStart(str(error)) from error
    finally:
        for handle in handles:
            handle.close()


def dry_run_lines(config: Config) -> list[str]:
    """One line for each file, with what would be done with it."""
    from agent.offline import dry_run  # noqa: PLC0415  it loads the database, and the agent's start does without

    return trio.run(dry_run.lines, config)


def probe_lines(config: Config) -> list[str]:
    """One line for each thing that was tried at a source or a destination."""
    from agent.offline import probe_places  # noqa: PLC0415  likewise

    return trio.run(probe_places.lines, config)


def _set_up_first_log(config: Config, set_up_log: Callable[[Config], None]) -> None:
    """Raises: CannotStart."""
    try:
        set_up_log(config)
    except OSError as error:
        raise CannotStart(f"the log file {config.log.file!r} cannot be used: {error.strerror}") from error


def _refuse_locked_state_folder(config: Config) -> None:
    """Say so before anything listens; the journal locks it for good. Raises: CannotStart."""
    try:
        StateLock(config.agent.state_dir).release()
    except JournalRefused as error:
        raise CannotStart(str(error)) from error
    except JournalError:
        return  # it is waited for


def _raise_open_files() -> None:
    allowed = open_files.raise_limit()
    if allowed < ENOUGH_FILES:
        logger.warning("few open files are allowed, so few readers and copies at a time", allowed=allowed)


def _configure_log(config: Config) -> log.LogHandle:
    section = config.log
    return log.configure(
        level=section.level,
        style=section.format,
        file=section.file,
        max_size_bytes=section.max_size_bytes,
        keep=section.keep,
        stderr=sys.stderr,
    )
