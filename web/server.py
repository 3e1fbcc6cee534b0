"""The web server: Hypercorn on one address, hardened, with a stop that no client can delay."""

import errno
import logging
import resource
import socket
import time

import trio
from attrs import frozen
from hypercorn.config import Config, Sockets
from hypercorn.trio import run as hypercorn_run
from quart_trio import QuartTrio

from web.hardening import CancellableApp, ConnectionLimit

GRACE_S = 1.0
PING_S = 20.0
HEAD_BYTES = 16 * 1024
MESSAGE_BYTES = 64 * 1024
MAX_CONNECTIONS = 1000
COMPLAIN_EVERY_S = 60.0


class PortTaken(Exception):  # noqa: N818  the name says what is wrong
    """Another program listens on the address already."""

    def __init__(self, bind: str) -> None:
        super().__init__(
            f"cannot listen on {bind}: another program (perhaps another transfer-agent) does already; "
            f'stop it, or choose another port in [web] bind ("127.0.0.1:0" picks a free one)'
        )
        self.bind = bind


async def serve(app: QuartTrio, bind: str, *, stop: trio.Event, task_status: trio.TaskStatus[str]) -> None:
    """Serve `app` on `bind` until `stop` is set, and then `GRACE_S` longer for unfinished requests.

    Reports the base URL, such as `http://127.0.0.1:39485`, as started value. `bind` is `HOST:PORT` or
    `[IPV6]:PORT`; port 0 picks a free one.

    Raises:
        PortTaken: another program listens there; nothing was started.
        OSError: the address is not this host's, its name is unknown, or its port needs privileges;
            nothing was started.
        ValueError: `bind` has no port.
    """
    with _listen(bind) as listener:
        _install_connection(ConnectionLimit(_max_connections()))
        await hypercorn_run.worker_serve(
            CancellableApp(app),
            _config(),
            sockets=Sockets(secure_sockets=[], insecure_sockets=[listener], quic_sockets=[]),
            shutdown_trigger=stop.wait,
            task_status=_Started(task_status),
        )


def _listen(bind: str) -> socket.socket:
    host, _, port = bind.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, int(port)), family=family, backlog=Config.backlog)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(bind) from error
        raise
    listener.setblocking(False)
    return listener


def _config() -> Config:
    config = Config()
    config.errorlog = logging.getLogger("web")
    config.graceful_timeout = GRACE_S
    config.h11_max_incomplete_size = HEAD_BYTES
    config.include_server_header = False
    config.websocket_max_message_size = MESSAGE_BYTES
    config.websocket_ping_interval = PING_S
    return config


def _max_connections() -> int:
    """Half of the open files that are allowed stay for workers, the journal and the log."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if allowed == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, allowed // 2)


def _install_connection(limit: ConnectionLimit) -> None:
    """Hypercorn 0.18 looks up its connection handler under this name, and has no parameter for it."""
    hypercorn_run.TCPServer = limit.handle  # type: ignore[attr-defined, assignment]  # the only way in
    accepting = logging.getLogger("trio.serve_listeners")
    accepting.filters = [_Seldom()]


class _Seldom(logging.Filter):
    """Trio complains ten times a second, with a traceback, while no connection can be accepted."""

    def __init__(self) -> None:
        super().__init__()
        self._next_s = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        is_due = time.monotonic() >= self._next_s
        if is_due:
            self._next_s = time.monotonic() + COMPLAIN_EVERY_S
        return is_due


@frozen
class _Started(trio.TaskStatus[list[str]]):
    """Reports the single address out of the list that Hypercorn reports."""

    _outer: trio.TaskStatus[str]

    def started(self, value: list[str] | None = None) -> None:
        [url] = value or []
        self._outer.started(url)
