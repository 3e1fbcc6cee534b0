"""From the command line into the house: the log, the event loop, and what can stop it from starting."""

import sys
from collections.abc import Callable

import trio

from agent import log
from agent.config.sections import Config
from agent.journal.database import JournalError
from agent.offline import dry_run
from agent.runtime import supervisor
from agent.runtime.supervisor import CannotStart


def run(config: Config, load: Callable[[], Config], *, once_only: bool) -> int:
    """Live until told to stop; the exit code. Raises: CannotStart."""
    closers: list[log.LogHandle] = []

    def set_up_log(config: Config) -> None:
        closers.append(_log_as(config))

    try:
        _log_or_say_why(config, set_up_log)
        return trio.run(lambda: supervisor.run(config, load, set_up_log, once_only=once_only))
    except (JournalError, OSError) as error:
        raise CannotStart(str(error)) from error
    finally:
        for closer in closers:
            closer.close()


def dry_run_lines(config: Config) -> list[str]:
    """One line for each file: what would happen to it."""
    return trio.run(dry_run.lines, config)


def _log_or_say_why(config: Config, set_up_log: Callable[[Config], None]) -> None:
    try:
        set_up_log(config)
    except OSError as error:
        raise CannotStart(f"the log file {config.log.file!r} cannot be used: {error.strerror}") from error


def _log_as(config: Config) -> log.LogHandle:
    section = config.log
    return log.configure(
        level=section.level,
        style=section.format,
        file=section.file,
        max_size_bytes=section.max_size_bytes,
        keep=section.keep,
        stderr=sys.stderr,
    )
