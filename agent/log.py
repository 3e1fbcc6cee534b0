"""The log: a line for each event, through structlog and a queue, so that a slow disk never holds up the loop.

JSON lines carry `time` (RFC 3339, UTC), `level`, `event`, `logger` and whatever was bound; records of other
libraries come in the same form. What needs the caller's context or exception is done at the call site: on the
other side of the queue both are gone.
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
PATIENCE_S = 2.0
OURS = ("agent", "web")

_FIRST = ("time", "level", "event", "logger")
_BARE = re.compile(r'[^\s"=]+')


class _LogEvent(dict[str, Any]):
    """An event that is complete and ready for the queue."""


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
    """The logger of a module; give it `__name__`."""
    return structlog.stdlib.get_logger(name)


@define(eq=False)
class LogHandle:
    """Ends one configuration of the log."""

    _inlet: "_LogQueueHandler"
    _listener: QueueListener
    _outputs: list[logging.Handler]

    def close(self) -> None:
        """Write what waits, for `PATIENCE_S` at the most; a second call does nothing."""
        if self not in _active:
            return
        _active.remove(self)
        logging.getLogger().removeHandler(self._inlet)
        end = threading.Thread(target=self._end, name="log closer", daemon=True)  # a dead disk may keep it
        end.start()
        end.join(PATIENCE_S)

    def _end(self) -> None:
        self._listener.stop()
        for output in self._outputs:
            output.close()


_active: list[LogHandle] = []


def configure(
    *, level: Level, style: Style, file: str | None, max_size_bytes: int, keep: int, stderr: TextIO
) -> LogHandle:
    """Log to `stderr`, and to `file` beside it; what was configured before is closed (see `LogHandle.close`).

    "auto" is text on a terminal and JSON everywhere else. The file becomes `file.1` before it exceeds
    `max_size_bytes`, and so on up to `file.<keep>`. Of other libraries only "warning" and above is heard:
    the rest is chatter, and their debug lines may tell secrets.

    Raises:
        OSError: the file cannot be opened; the log goes on as before.
    """
    stream = logging.StreamHandler(stderr)
    stream.setFormatter(_LineFormatter(text=style == "text" or (style == "auto" and stderr.isatty())))
    outputs: list[logging.Handler] = [stream]
    if file is not None:
        outputs.append(_RotatingFile(file, max_size_bytes, keep, beside=stream))
        outputs[1].setFormatter(_LineFormatter(text=style == "text"))
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    inlet = _LogQueueHandler(waiting)
    listener = QueueListener(waiting, *outputs)
    root = logging.getLogger()
    root.addHandler(inlet)  # before the old one goes, so that no line falls between them
    for before in tuple(_active):
        before.close()
    _active.append(closer := LogHandle(inlet, listener, outputs))
    wanted = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(wanted, logging.WARNING))
    for name in OURS:
        logging.getLogger(name).setLevel(wanted)
    listener.start()
    return closer


class _LogQueueHandler(QueueHandler):
    """Takes records at the call site; when the outputs do not keep up, lines are left out and counted."""

    def __init__(self, waiting: "queue.SimpleQueue[logging.LogRecord]") -> None:
        super().__init__(waiting)
        self._waiting = waiting
        self._left_out = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        if isinstance(record.msg, _LogEvent):
            return record
        event = {"event": record.getMessage(), "exc_info": record.exc_info}
        return _record(record.name, record.levelno, event)

    def enqueue(self, record: logging.LogRecord) -> None:
        if self._waiting.qsize() >= QUEUE_CAPACITY:
            self._left_out += 1
            return
        if self._left_out:
            event = {"event": "log lines left out, the outputs are too slow", "count": self._left_out}
            self._waiting.put(_record(__name__, logging.WARNING, event))
            self._left_out = 0
        self._waiting.put(record)


class _RotatingFile(RotatingFileHandler):
    """The rotating file. When it cannot be written, `beside` says so, once until it can again."""

    def __init__(self, file: str, max_size_bytes: int, keep: int, *, beside: logging.Handler) -> None:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).open("a").close()  # fails now if it must; the open file comes with the first line
        super().__init__(file, maxBytes=max_size_bytes, backupCount=keep, encoding="utf-8", delay=True)
        self._beside = beside
        self._failed = self._was_failing = False

    def emit(self, record: logging.LogRecord) -> None:
        self._was_failing, self._failed = self._failed, False
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  the name is logging's
        self._failed = True
        if not self._was_failing:
            event = {"event": "the log file cannot be written", "file": self.baseFilename, "exc_info": True}
            self._beside.handle(_record(__name__, logging.ERROR, event))


def _record(name: str, level: int, event: dict[str, Any]) -> logging.LogRecord:
    """A record that is as complete as one from our own loggers."""
    event |= {"level": logging.getLevelName(level).lower(), "logger": name}
    for step in _COMPLETE:
        event = cast("dict[str, Any]", step(None, "", event))
    return logging.LogRecord(name, level, "", 0, _LogEvent(event), None, None)


class _LineFormatter(logging.Formatter):
    """One line for each event, as text for people or as JSON for machines."""

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
    """An exception on one line: what, where (innermost last), what it came from, what is in a group."""
    told = []
    for stack in stacks:
        where = " > ".join(
            f"{Path(frame['filename']).name}:{frame['lineno']} {frame['name']}" for frame in stack["frames"]
        )
        inner = "; ".join(_traceback(member) for member in stack["exceptions"])
        told.append(f"{stack['exc_type']}: {stack['exc_value']} ({where})" + (f" [{inner}]" if inner else ""))
    return " from ".join(told)


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_plain)
    bare = not isinstance(value, str) or _BARE.fullmatch(value)
    return on_one_line(text if bare else json.dumps(text, ensure_ascii=False))


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else str(value)
