"""Who may ask what: the Host, Origin and token checks, and the headers that bind the browser."""

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
TOKEN_PREFIX = "bearer."  # noqa: S105  the mark before a token, not one
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


def _lower(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


@frozen(kw_only=True)
class Access:
    """Who is let in.

    `loopback`: the server is bound to a loopback address. `hosts`: names it is known by, besides IP
    literals and localhost.

    Raises:
        ValueError: reachable from outside without a token, or the token is empty.
    """

    loopback: bool
    token: str | None = field(default=None, validator=_needs_token, repr=False)
    hosts: frozenset[str] = field(default=frozenset(), converter=_lower)


def install(app: QuartTrio, access: Access) -> None:
    """Check every request and every live feed before anything else sees it."""

    @app.before_request
    def check_request() -> None:
        commanding = request.method not in READING
        _check_host(access, request)
        if commanding:
            _check_origin(request)
        if commanding or not (_is_open(request.path) or _is_loopback(access, request)):
            _check_token(access, request)

    @app.before_websocket
    def check_websocket() -> None:
        _check_host(access, websocket)
        _check_origin(websocket)
        if not _is_loopback(access, websocket):
            _check_token(access, websocket)

    @app.after_websocket
    def bind_refusal(response: ResponseTypes | None) -> ResponseTypes | None:
        if response is not None:
            response.headers.update(SECURITY_HEADERS)
        return response

    @app.after_request
    def bind_browser(response: ResponseTypes) -> ResponseTypes:
        response.headers.update(SECURITY_HEADERS)
        if request.path.startswith(("/api/", "/uploads")):
            response.headers["Cache-Control"] = "no-store"
        return response


def _check_host(access: Access, visit: Request | Websocket) -> None:
    """A foreign name in Host means that a browser was led here by another site's DNS (DNS rebinding)."""
    host = visit.headers.get("Host", "")
    if not host and visit.http_version < "1.1":
        return
    match = _HOST.fullmatch(host)
    name = (match["six"] or match["name"]).lower() if match else ""
    if not (name == "localhost" or name in access.hosts or _address(name)):
        raise MisdirectedRequest(f"this server is not known as {host!r}")


def _check_origin(visit: Request | Websocket) -> None:
    """A browser names the site whose page is asking (RFC 6454); only our own page may command."""
    host = visit.headers.get("Host", "").lower()
    for origin in visit.headers.getlist("Origin"):
        scheme, _, authority = origin.lower().partition("://")
        if scheme not in ("http", "https") or authority != host:
            raise Forbidden(f"pages from {origin!r} may not do this")


def _check_token(access: Access, visit: Request | Websocket) -> None:
    if access.token is None:
        return
    expected = access.token.encode()
    if not any(hmac.compare_digest(each, expected) for each in _tokens(visit)):
        raise Unauthorized(
            "this needs the agent's token", www_authenticate=WWWAuthenticate("bearer", {"realm": SUBPROTOCOL})
        )


def _tokens(visit: Request | Websocket) -> Iterator[bytes]:
    """The tokens shown: as RFC 6750 header or, since browsers cannot set one there, as a subprotocol.

    There it is percent-encoded (RFC 3986 section 2.1): a subprotocol has fewer characters than a token.
    """
    scheme, _, token = visit.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield token.strip().encode("latin-1")
    if isinstance(visit, Websocket):
        for offered in visit.requested_subprotocols:
            if offered.startswith(TOKEN_PREFIX):
                yield unquote(offered.removeprefix(TOKEN_PREFIX)).encode()


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


def _is_loopback(access: Access, visit: Request | Websocket) -> bool:
    """True when only this machine can be asking."""
    if access.loopback:
        return True
    peer = visit.scope.get("client")
    address = _address(peer[0]) if peer else None
    mapped = getattr(address, "ipv4_mapped", None)  # an IPv4 peer of a dual-stack socket
    return address is not None and (mapped or address).is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
