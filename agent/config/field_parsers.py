"""Parsers of keys with a format of their own: paths, addresses, globs, tokens."""

import ipaddress
import os
import re
from pathlib import Path

from agent.config.units import parse_bandwidth
from agent.config.value_parsers import show, strings, text
from agent.model.storage import BandwidthStep

_BIND = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<name>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})")
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?", re.DOTALL)
_ENDPOINT = re.compile(r"https?://[^\s/@?#]+(/[^\s@?#]*)?")
_ROUTE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_TOKEN_FILE_CHARACTERS = 4200
_HIGHEST_PORT = 65535


def globs(value: object) -> tuple[str, ...]:
    for glob in (found := strings(value)):
        if not glob or glob.startswith("/"):
            raise ValueError(f"a glob is matched with the path below the source, so not {show(glob)}")
    return found


def bandwidth(value: object) -> tuple[BandwidthStep, ...]:
    words = str(value) if type(value) is int else text(value)
    try:
        return parse_bandwidth(words)
    except ValueError as error:
        raise ValueError(f"{error}, not {show(value)}") from None


def route_name(value: object) -> str:
    if not _ROUTE_NAME.fullmatch(name := text(value)):
        raise ValueError(
            f'must be letters, digits, "_", "." and "-", beginning with a letter or digit, not {show(name)}'
        )
    return name


def bind_host(value: object) -> str:
    return _bind(value)[0]


def bind_port(value: object) -> int:
    return _bind(value)[1]


def _bind(value: object) -> tuple[str, int]:
    parts = _BIND.fullmatch(value) if isinstance(value, str) else None
    if parts is None or int(parts["port"]) > _HIGHEST_PORT:
        raise ValueError(
            f'must be an address and a port such as "127.0.0.1:8080" or "[::1]:8080", not {show(value)}'
        )
    if v6 := parts["v6"]:
        try:
            ipaddress.IPv6Address(v6)
        except ValueError:
            raise ValueError(f"{show(v6)} in brackets is not an IPv6 address") from None
    return v6 or parts["name"], int(parts["port"])


def folder(value: object, base: str) -> str:
    """An absolute path; the file system is not touched."""
    path = text(value)
    if not path or "\0" in path:
        raise ValueError(f"must be a folder, not {show(path)}")
    if _SCHEME.match(path):
        raise ValueError(f"must be a folder (mount it first), not {show(path)}")
    try:
        whole = os.path.normpath(base / Path(path).expanduser())
    except RuntimeError:
        raise ValueError(f"names no known home folder: {show(path)}") from None
    return f"/{whole.lstrip('/')}"  # POSIX keeps "//" at the beginning


def folders(value: object, base: str) -> tuple[str, ...]:
    return tuple(folder(path, base) for path in strings(value))


def destination(value: object, base: str) -> str:
    """An absolute path, or an s3 URL unchanged."""
    url = text(value)
    if url.startswith("s3://"):
        if not _BUCKET.fullmatch(url):
            raise ValueError(f'must be "s3://bucket/prefix" with a valid bucket name, not {show(url)}')
        return url
    return folder(value, base)


def optional_file(value: object, base: str) -> str | None:
    """An absolute path; None for an empty text."""
    return None if value == "" else folder(value, base)


def after_mode(value: object) -> str:
    mode, colon, path = text(value).partition(":")
    if path if mode == "archive" else mode in ("delete", "keep") and not colon:
        return mode
    raise ValueError(f'must be "delete", "keep" or "archive:FOLDER", not {show(value)}')


def archive_folder(value: object, base: str) -> str | None:
    if after_mode(value) != "archive":
        return None
    return folder(text(value).removeprefix("archive:"), base)


def marker(value: object) -> str | None:
    """The marker's path below the source or destination; None for an empty text."""
    path = text(value)
    if path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise ValueError(f"must be the name of a file in the folder, not {show(path)}")
    return path or None


def endpoint(value: object) -> str:
    """The root URL of an S3 service; empty for the default of the region."""
    url = text(value)
    if url and not _ENDPOINT.fullmatch(url):
        raise ValueError('must be a URL such as "https://s3.example.com:9000", without user and password')
    return url


def token(value: object, base: str) -> str | None:
    """The token in the file that `value` names; None for an empty text."""
    if (path := optional_file(value, base)) is None:
        return None
    try:  # errors do not show the value: it may be the token itself
        if Path(path).exists() and not Path(path).is_file():
            raise ValueError("must name a file")
        with Path(path).open(encoding="ascii", errors="replace") as file:
            secret = file.read(_TOKEN_FILE_CHARACTERS).strip()
    except OSError as error:
        raise ValueError(f"names a file that cannot be read: {error.strerror}") from None
    if not _TOKEN.fullmatch(secret):
        content = "other than one word of ASCII, 4096 characters at most" if secret else "nothing"
        raise ValueError(f"names a file that holds {content}")
    return secret
