"""Stands between the agent and an S3 server: says what was asked, and goes wrong as told."""

import http.client
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

from attrs import define, evolve, field, frozen

from tests.s3.servers import Server, TestBucket

Effect = Literal[
    "cut",  # the connection ends in the middle of the body, nothing is passed on
    "refuse",  # answered with `error`, nothing is passed on
    "deny",  # passed on, and carried out, but answered with `error`
    "lose",  # passed on, and carried out, but the connection ends without an answer
    "spoil",  # one bit of the body is turned on its way
    "hang",  # neither passed on nor answered, until `heal`
    "call",  # `action` is called before it is passed on
    "call after",  # `action` is called when it has been carried out, before the answer
]
Error = tuple[int, str]  # status, code
SLOW_DOWN: Error = (503, "SlowDown")
BROKEN: Error = (500, "InternalError")
HOP_BY_HOP = {"connection", "expect", "transfer-encoding", "keep-alive"}


@frozen
class Asked:
    """One request: boto3's name of it, the part's number or 0, how many bytes came with it, and its path."""

    operation: str
    part: int
    size_bytes: int
    path: str


@define
class Trouble:
    """What happens to the next `times` requests of this operation, once `skip` of them have passed.

    `name`: only to those for a key that ends with it.
    """

    operation: str
    effect: Effect
    times: int = 1
    skip: int = 0
    error: Error = BROKEN
    action: Callable[[], None] = lambda: None
    name: str = ""
    struck: int = field(default=0, init=False)

    def strikes(self, asked: Asked) -> bool:
        if asked.operation != self.operation or self.struck == self.times:
            return False
        if not urllib.parse.urlsplit(asked.path).path.endswith(self.name):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.struck += 1
        return True


@define(eq=False)
class Proxy:
    """`asked` is in the order of arrival; probes of the bucket are not counted."""

    upstream: Server
    asked: list[Asked] = field(factory=list, init=False)
    _troubles: list[Trouble] = field(factory=list, init=False)
    _healed: threading.Event = field(factory=threading.Event, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def add(self, operation: str, effect: Effect, **more: Any) -> Trouble:  # noqa: ANN401  as in Trouble
        trouble = Trouble(operation, effect, **more)
        with self._lock:
            self._troubles.append(trouble)
        return trouble

    def heal(self) -> None:
        """Nothing goes wrong any more; what hangs is let go."""
        with self._lock:
            self._troubles.clear()
            self._healed.set()
            self._healed = threading.Event()

    def count(self, operation: str, part: int = 0) -> int:
        return sum(each.operation == operation and part in (0, each.part) for each in self.asked)

    def sent_bytes(self) -> int:
        """What came in parts and small objects."""
        return sum(each.size_bytes for each in self.asked if each.operation in ("upload_part", "put_object"))

    def note(self, asked: Asked) -> Trouble | None:
        with self._lock:
            if asked.operation != "head_bucket":
                self.asked.append(asked)
            return next((each for each in self._troubles if each.strikes(asked)), None)

    def hold(self) -> None:
        self._healed.wait()

    def connection(self) -> http.client.HTTPConnection:
        address = urllib.parse.urlsplit(self.upstream.url).netloc
        if self.upstream.certificate is None:
            return http.client.HTTPConnection(address, timeout=60)
        trusted = ssl.create_default_context(cafile=self.upstream.certificate)
        return http.client.HTTPSConnection(address, timeout=60, context=trusted)


@frozen
class Line:
    """The way to a bucket."""

    proxy: Proxy
    bucket: TestBucket


def _operation(method: str, path: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(path)
    query = urllib.parse.parse_qs(parts.query, keep_blank_values=True)
    has_key = "/" in parts.path.strip("/")
    if "partNumber" in query:
        return "upload_part", int(query["partNumber"][0])
    names = {
        ("POST", "uploads"): "create_multipart_upload",
        ("POST", "uploadId"): "complete_multipart_upload",
        ("DELETE", "uploadId"): "abort_multipart_upload",
        ("GET", "uploads"): "list_multipart_uploads",
        ("GET", "uploadId"): "list_parts",
    }
    for (verb, word), name in names.items():
        if verb == method and word in query:
            return name, 0
    kind = {"PUT": "put", "GET": "get", "HEAD": "head", "DELETE": "delete"}.get(method, method)
    if method == "GET" and not has_key:
        return "list_objects_v2", 0
    return f"{kind}_{'object' if has_key else 'bucket'}", 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def _handle(self) -> None:
        operation, part = _operation(self.command, self.path)
        length = int(self.headers.get("Content-Length", 0))
        trouble = self.proxy.note(Asked(operation, part, length, self.path))
        effect = trouble.effect if trouble else None
        if effect == "cut":
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        body = self.rfile.read(length)
        if trouble is None:
            self._answer(*self._passed_on(body))
        elif effect == "refuse":
            self._complain(trouble.error)
        elif effect == "hang":
            self.proxy.hold()
            self.close_connection = True
        else:
            self._disturbed(trouble, body)

    def _disturbed(self, trouble: Trouble, body: bytes) -> None:
        if trouble.effect == "call":
            trouble.action()
        if trouble.effect == "spoil":
            body = bytes([body[0] ^ 1]) + body[1:]
        answer = self._passed_on(body)
        if trouble.effect == "deny":
            self._complain(trouble.error)
        elif trouble.effect == "lose":
            self.close_connection = True
        else:
            if trouble.effect == "call after":
                trouble.action()
            self._answer(*answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815  the base class's names

    def _passed_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = self.proxy.connection()
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        try:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in HOP_BY_HOP | {"content-length"} or (
                    name.lower() == "content-length" and self.command == "HEAD"
                ):
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # whoever asked was killed
            self.close_connection = True

    def _complain(self, error: Error) -> None:
        status, code = error
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>as told</Message></Error>".encode()
        self._answer(status, [("Content-Type", "application/xml")], b"" if self.command == "HEAD" else body)

    def log_message(self, *_: object) -> None:
        """Not on standard error."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Whoever asked was killed, or does not trust us."""

    def speak_tls(self, certificate: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)


@contextmanager
def proxied(server: Server, certificate: Path | None = None) -> Iterator[tuple[Proxy, Server]]:
    """The proxy, and the server as it is reached through it; over TLS where there is a certificate."""
    certificate = certificate or server.certificate
    proxy = Proxy(server)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    with _Listener(("127.0.0.1", 0), handler) as listener:
        url = f"http://127.0.0.1:{listener.server_address[1]}"
        if certificate is not None:
            url = url.replace("http:", "https:")
            listener.speak_tls(certificate)
        thread = threading.Thread(target=lambda: listener.serve_forever(0.05), daemon=True)
        thread.start()
        try:
            yield proxy, evolve(server, url=url, certificate=certificate)
        finally:
            proxy.heal()
            listener.shutdown()
            thread.join()
