"""The log: one line for each event, written by a thread so that a slow disk never blocks the event loop.

JSON lines carry `time` (RFC 3339, UTC), `level`, `event`, `logger` and the bound fields. Records of other
libraries have the same form. Context and exception are added at the call site: that thread no longer has
them.
"""

import json
import logging
import queue
import re
import threading
from enum import Enum
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from typing import Any, Literal, TextIO, cast

import structlog
from attrs import define
from structlog.stdlib import BoundLogger
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from agent.model.text import as_unicode, on_one_line

Level = Literal["debug", "info", "warning", "error"]
Style = Literal["auto", "text", "json"]

QUEUE_CAPACITY = 10_000
CLOSE_TIMEOUT_S = 2.0
OWN_LOGGERS = ("agent", "web")

_FIRST = ("time", "level", "event", "logger")
_BARE = re.compile(r'[^\s"=]+')


class _LogEvent(dict[str, Any]):
    """A complete event, ready for the queue."""


def _pack(_logger: WrappedLogger, _method: str, event: EventDict) -> tuple[tuple[_LogEvent], dict[str, Any]]:
    return (_LogEvent(event),), {}


_COMPLETE: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    # local variables stay out of tracebacks: one of them may be a secret
    structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
)

structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        *_COMPLETE,
        _pack,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=BoundLogger,
    cache_logger_on_first_use=True,
)


def get_logger(name: str) -> BoundLogger:
    """The logger of a module; `name` is its `__name__`."""
    return structlog.stdlib.get_logger(name)


@define(eq=False)
class LogHandle:
    """Closes one configuration of the log."""

    queue_handler: "_LogQueueHandler"
    listener: QueueListener
    outputs: list[logging.Handler]

    def close(self) -> None:
        """Write the queued lines, for `CLOSE_TIMEOUT_S` at most; a second call does nothing."""
        if self not in _active:
            return
        _active.remove(self)
        logging.getLogger().removeHandler(self.queue_handler)
        thread = threading.Thread(
            target=self._drain, name="log closer", daemon=True
        )  # a dead disk may block it
        thread.start()
        thread.join(CLOSE_TIMEOUT_S)

    def _drain(self) -> None:
        self.listener.stop()
        for output in self.outputs:
            output.close()


_active: list[LogHandle] = []


def configure(
    *, level: Level, style: Style, file: str | None, max_size_bytes: int, keep: int, stderr: TextIO
) -> LogHandle:
    """Log to `stderr` and, if given, to `file`; close the previous configuration (see `LogHandle.close`).

    "auto" is text on a terminal and JSON elsewhere. The file is renamed to `file.1` before it exceeds
    `max_size_bytes`, and so on up to `file.<keep>`. Other libraries are logged from "warning" on only: their
    debug lines may contain secrets.

    Raises:
        OSError: the file cannot be opened; the previous configuration stays.
    """
    outputs = _outputs(style, file, max_size_bytes, keep, stderr)
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handle = LogHandle(_LogQueueHandler(records), QueueListener(records, *outputs), outputs)
    root = logging.getLogger()
    root.addHandler(handle.queue_handler)  # before the previous one is removed, so that no line is lost
    for previous in tuple(_active):
        previous.close()
    _active.append(handle)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(threshold, logging.WARNING))
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(threshold)
    handle.listener.start()
    return handle


def _outputs(
    style: Style, file: str | None, max_size_bytes: int, keep: int, stderr: TextIO
) -> list[logging.Handler]:
    stream = logging.StreamHandler(stderr)
    stream.setFormatter(_LineFormatter(text=style == "text" or (style == "auto" and stderr.isatty())))
    if file is None:
        return [stream]
    rotating = _RotatingFile(file, max_size_bytes, keep, stderr=stream)
    rotating.setFormatter(_LineFormatter(text=style == "text"))
    return [stream, rotating]


class _LogQueueHandler(QueueHandler):
    """Queues records at the call site; if the outputs are too slow, lines are dropped and counted."""

    def __init__(self, records: "queue.SimpleQueue[logging.LogRecord]") -> None:
        super().__init__(records)
        self._records = records
        self._dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        if isinstance(record.msg, _LogEvent):
            return record
        event = {"event": record.getMessage(), "exc_info": record.exc_info}
        return _record(record.name, record.levelno, event)

    def enqueue(self, record: logging.LogRecord) -> None:
        if self._records.qsize() >= QUEUE_CAPACITY:
            self._dropped += 1
            return
        if self._dropped:
            event = {"event": "log lines left out, the outputs are too slow", "count": self._dropped}
            self._records.put(_record(__name__, logging.WARNING, event))
            self._dropped = 0
        self._records.put(record)


class _RotatingFile(RotatingFileHandler):
    """The rotating file. If it cannot be written, this is reported once on `stderr` until it works again."""

    def __init__(self, file: str, max_size_bytes: int, keep: int, *, stderr: logging.Handler) -> None:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).open("a").close()  # fails now if it must; logging opens the file with the first line
        super().__init__(file, maxBytes=max_size_bytes, backupCount=keep, encoding="utf-8", delay=True)
        self._stderr = stderr
        self._failed = self._was_failing = False

    def emit(self, record: logging.LogRecord) -> None:
        self._was_failing, self._failed = self._failed, False
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  the name is logging's
        self._failed = True
        if not self._was_failing:
            event = {"event": "the log file cannot be written", "file": self.baseFilename, "exc_info": True}
            self._stderr.handle(_record(__name__, logging.ERROR, event))


def _record(name: str, level: int, event: dict[str, Any]) -> logging.LogRecord:
    """A record that is as complete as one from the agent's own loggers."""
    event |= {"level": logging.getLevelName(level).lower(), "logger": name}
    for processor in _COMPLETE:
        event = cast("dict[str, Any]", processor(None, "", event))
    return logging.LogRecord(name, level, "", 0, _LogEvent(event), None, None)


class _LineFormatter(logging.Formatter):
    """One line for each event, as text or as JSON."""

    def __init__(self, *, text: bool) -> None:
        super().__init__()
        self._render = _text if text else _json

    def format(self, record: logging.LogRecord) -> str:
        return self._render(cast("_LogEvent", record.msg))


def _json(event: _LogEvent) -> str:
    ordered = {key: event[key] for key in _FIRST if key in event} | event
    return as_unicode(json.dumps(ordered, ensure_ascii=False, default=_plain, skipkeys=True))


def _text(event: _LogEvent) -> str:
    head = f"{event['time']} {event['level']:<7} {on_one_line(str(event.get('event', '')))}"
    fields = {key: value for key, value in event.items() if key not in _FIRST}
    if isinstance(fields.get("exception"), list):
        fields["exception"] = _traceback(fields["exception"])
    fields["logger"] = event["logger"]
    return " ".join([head, *(f"{key}={_value(value)}" for key, value in fields.items())])


def _traceback(stacks: list[dict[str, Any]]) -> str:
    """An exception on one line: type, text, frames (innermost last), members of a group, then its cause."""
    texts = []
    for stack in stacks:
        where = " > ".join(
            f"{Path(frame['filename']).name}:{frame['lineno']} {frame['name']}" for frame in stack["frames"]
        )
        inner = "; ".join(_traceback(member) for member in stack["exceptions"])
        texts.append(
            f"{stack['exc_type']}: {stack['exc_value']} ({where})" + (f" [{inner}]" if inner else "")
        )
    return " from ".join(texts)


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_plain)
    bare = not isinstance(value, str) or _BARE.fullmatch(value)
    return on_one_line(text if bare else json.dumps(text, ensure_ascii=False))


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else str(value)
