"""Access control: the Host, Origin and token checks, and the security headers of every response."""

import hmac
import ipaddress
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from attrs import Attribute, field, frozen
from quart import request, websocket
from quart.typing import ResponseTypes
from quart.wrappers import Request, Websocket
from quart_trio import QuartTrio
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, MisdirectedRequest, Unauthorized

SUBPROTOCOL = "transfer-agent"
TOKEN_PREFIX = "bearer."  # noqa: S105  a prefix, not a token
READING = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_PATHS = frozenset({"/", "/livez", "/readyz"})
OPEN_FOLDER = "/static/"

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_HOST = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[^\s:/?#@\[\]\\]+))(?::[0-9]*)?")


def _needs_token(access: "Access", _: "Attribute[str | None]", token: str | None) -> None:
    if token == "" or (token is None and not access.loopback):
        raise ValueError("a bind address other than loopback needs a token, and a token is never empty")


def _lower(names: Iterable[str]) -> set[str]:
    return {name.lower() for name in names}


@frozen(kw_only=True)
class Access:
    """The rules for access.

    `loopback`: the server is bound to a loopback address. `hosts`: its names, besides IP literals and
    localhost.

    Raises:
        ValueError: no token although the server is reachable from outside, or an empty one.
    """

    loopback: bool
    token: str | None = field(default=None, validator=_needs_token, repr=False)
    hosts: set[str] = field(factory=set, converter=_lower)

    def add_host(self, name: str) -> None:
        """The server is known by this name, too."""
        self.hosts.add(name.lower())


def install(app: QuartTrio, access: Access) -> None:
    """Check every request and every WebSocket before any other handler sees it."""

    @app.before_request
    def check_request() -> None:
        _check_request(access, request)

    @app.before_websocket
    def check_websocket() -> None:
        _check_websocket(access, websocket)

    app.after_request(_secure)
    app.after_websocket(_secure_refusal)


def _check_request(access: Access, incoming: Request) -> None:
    is_command = incoming.method not in READING
    _check_host(access, incoming)
    if is_command:
        _check_origin(incoming)
    if is_command or not (_is_open(incoming.path) or _is_loopback(access, incoming)):
        _check_token(access, incoming)


def _check_websocket(access: Access, incoming: Websocket) -> None:
    _check_host(access, incoming)
    _check_origin(incoming)
    if not _is_loopback(access, incoming):
        _check_token(access, incoming)


def _secure(response: ResponseTypes) -> ResponseTypes:
    response.headers.update(SECURITY_HEADERS)
    if request.path.startswith(("/api/", "/uploads")):
        response.headers["Cache-Control"] = "no-store"
    return response


def _secure_refusal(response: ResponseTypes | None) -> ResponseTypes | None:
    """Only a WebSocket that was refused has a response."""
    if response is not None:
        response.headers.update(SECURITY_HEADERS)
    return response


def _check_host(access: Access, incoming: Request | Websocket) -> None:
    """Stops DNS rebinding: another site's name in Host means that its DNS points a browser at this server."""
    host = incoming.headers.get("Host", "")
    if not host and incoming.http_version < "1.1":
        return
    match = _HOST.fullmatch(host)
    name = (match["six"] or match["name"]).lower() if match else ""
    if not (name == "localhost" or name in access.hosts or _address(name)):
        raise MisdirectedRequest(f"this server is not known as {host!r}")


def _check_origin(incoming: Request | Websocket) -> None:
    """Stops commands from other sites' pages: a browser names the page's site in Origin (RFC 6454)."""
    host = incoming.headers.get("Host", "").lower()
    for origin in incoming.headers.getlist("Origin"):
        scheme, _, authority = origin.lower().partition("://")
        if scheme not in ("http", "https") or authority != host:
            raise Forbidden(f"pages from {origin!r} may not do this")


def _check_token(access: Access, incoming: Request | Websocket) -> None:
    if access.token is None:
        return
    expected = access.token.encode()
    if not any(hmac.compare_digest(each, expected) for each in _tokens(incoming)):
        raise Unauthorized(
            "this needs the agent's token", www_authenticate=WWWAuthenticate("bearer", {"realm": SUBPROTOCOL})
        )


def _tokens(incoming: Request | Websocket) -> Iterator[bytes]:
    """The tokens of a request: from its header (RFC 6750), and of a WebSocket also from its subprotocols.

    A page cannot set headers for a WebSocket. A subprotocol allows fewer characters than a token, so the
    token is percent-encoded there (RFC 3986 section 2.1).
    """
    scheme, _, token = incoming.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield token.strip().encode("latin-1")
    if isinstance(incoming, Websocket):
        for offered in incoming.requested_subprotocols:
            if offered.startswith(TOKEN_PREFIX):
                yield unquote(offered.removeprefix(TOKEN_PREFIX)).encode()


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


def _is_loopback(access: Access, incoming: Request | Websocket) -> bool:
    """True if the client runs on this host."""
    if access.loopback:
        return True
    peer = incoming.scope.get("client")
    address = _address(peer[0]) if peer else None
    mapped = getattr(address, "ipv4_mapped", None)  # an IPv4 peer of a dual-stack socket
    return address is not None and (mapped or address).is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
