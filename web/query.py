"""Query parameters to values; a malformed one is answered with 400 and its name."""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import NoReturn, TypeVar
from urllib.parse import parse_qsl

from werkzeug.exceptions import BadRequest

from agent.model.text import as_unicode
from agent.model.transfer import Status
from agent.model.upload import UploadFileState

MAX_LIMIT = 1000

_NUMBER = re.compile(r"[0-9]{1,18}")  # fits the journal's 64-bit numbers
_EPOCH_S = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")

Args = Mapping[str, str]
Default = TypeVar("Default", int, None)
State = TypeVar("State", bound=Enum)
FilePosition = tuple[float, str]


def limit(args: Args, default: Default, name: str = "limit") -> int | Default:
    """1 to `MAX_LIMIT` entries."""
    value = args.get(name)
    if value is None:
        return default
    if not _NUMBER.fullmatch(value) or not 1 <= int(value) <= MAX_LIMIT:
        _reject(name, f"a number from 1 to {MAX_LIMIT}")
    return int(value)


def time_at(args: Args, name: str) -> float | None:
    """RFC 3339, or seconds since the epoch."""
    value = args.get(name)
    if value is None or _EPOCH_S.fullmatch(value):
        return None if value is None else float(value)
    try:
        when = datetime.fromisoformat(value.upper())
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        _reject(name, "a time with its zone (2026-01-31T12:00:00Z) or seconds since the epoch")
    return when.timestamp()


def status(args: Args) -> Status | None:
    return _one_of(Status, args, "status")


def upload_file_state(args: Args) -> UploadFileState | None:
    return _one_of(UploadFileState, args, "state")


def row_cursor(args: Args) -> int | None:
    """The row number after which a listing of the journal continues."""
    value = args.get("cursor")
    if value is not None and not _NUMBER.fullmatch(value):
        _reject("cursor", "the next_cursor of an earlier answer")
    return None if value is None else int(value)


def file_cursor(args: Args) -> FilePosition | None:
    """The (discovered_at, id) of the file after which a listing of files continues."""
    value = args.get("cursor")
    if value is None:
        return None
    discovered, separator, file_id = value.partition(",")
    try:
        discovered_at = float(discovered)
    except ValueError:
        separator, discovered_at = "", 0.0
    if not separator:
        _reject("cursor", "the next_cursor of an earlier answer")
    return discovered_at, file_id


def write_file_cursor(position: FilePosition) -> str:
    """The cursor text; `file_cursor` reads it back without loss."""
    return f"{position[0]!r},{position[1]}"


def with_replacements(query_string: bytes) -> Args:
    """The parameters, with U+FFFD for bytes that are not UTF-8 (`request.args` leaves them encoded)."""
    values = parse_qsl(query_string.decode("utf-8", "surrogateescape"), errors="surrogateescape")
    return {as_unicode(name): as_unicode(value) for name, value in values}


def required(args: Args, name: str) -> str:
    value = args.get(name)
    if not value:
        _reject(name, "given")
    return value


def _one_of(states: type[State], args: Args, name: str) -> State | None:
    value = args.get(name)
    words = [each.value for each in states]
    if value is not None and value not in words:
        _reject(name, f"one of {', '.join(words)}")
    return None if value is None else states(value)


def _reject(name: str, wanted: str) -> NoReturn:
    raise BadRequest(f"{name}: must be {wanted}")
