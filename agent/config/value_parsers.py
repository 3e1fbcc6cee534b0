"""Parsers of the plain types: each turns a raw value into the value of an attribute.

A parser raises ValueError with a text that follows "key: ". Types are strict: only `Text`, the type of every
value from the environment and the command line, is converted.
"""

import json
import re
import tomllib
from collections.abc import Callable

from attrs import frozen

from agent.config.units import LARGEST_BYTES, LONGEST_S, parse_duration, parse_size

_ARRAY = re.compile(r"""\s*\[\s*(["']|\]\s*$)""")
_SHOWN_CHARACTERS = 60


class Text(str):
    """A value from the environment or the command line; numbers, booleans and lists are parsed from it."""

    __slots__ = ()


@frozen
class Parse:
    """In `Annotated`: the parser of an attribute; `key` where it is not the attribute's name."""

    parser: Callable[[object], object]
    key: str = ""


@frozen
class ParseRelative:
    """Like `Parse`; the parser also gets the folder that relative paths start from."""

    parser: Callable[[object, str], object]
    key: str = ""


def show(value: object) -> str:
    """A value as it is written in the file, on one line and shortened, for error texts."""
    match value:
        case str():
            shown = quoted(value)
        case bool():
            shown = str(value).lower()
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            shown = str(value)
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"


def quoted(text: str) -> str:
    """A TOML basic string.

    Bytes that are not UTF-8 are printed as surrogate escapes, which TOML cannot read.
    """
    escaped = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    return escaped.encode("utf-8", "backslashreplace").decode()


def text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text in quotes, not {show(value)}")  # noqa: TRY004  every parser raises one type
    return str(value)


def one_line(value: object) -> str:
    if not (words := text(value)).strip() or not words.isprintable():
        raise ValueError(f"must be a line of text, not {show(value)}")
    return words


def boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, Text) and value in ("true", "false"):
        return value == "true"
    raise ValueError(f"must be true or false, not {show(value)}")


def whole_number(low: int, high: int) -> Callable[[object], int]:
    """A parser of whole numbers from `low` to `high`."""

    def parse(value: object) -> int:
        if isinstance(value, Text) and re.fullmatch(r"-?[0-9]{1,18}", value):
            value = int(value)
        if type(value) is not int or not low <= value <= high:  # a bool is an int, too
            raise ValueError(f"must be a whole number from {low} to {high}, not {show(value)}")
        return value

    return parse


def choice(words: tuple[str, ...]) -> Callable[[object], str]:
    """A parser that accepts one of `words`."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"must be {one_of(words)}, not {show(value)}")
        return str(value)

    return parse


def one_of(words: tuple[str, ...]) -> str:
    *first, last = (f'"{word}"' for word in words)
    return f"{', '.join(first)} or {last}"


def strings(value: object) -> tuple[str, ...]:
    """A list of texts; `Text` is a TOML or JSON array, or values separated by commas outside of braces."""
    items = _items(value) if isinstance(value, Text) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ValueError(f'must be a list of texts such as ["a", "b"], not {show(value)}')
    return tuple(items)


def _items(value: Text) -> object:
    if not _ARRAY.match(value):  # a glob may begin with a bracket as well
        return [item.strip() for item in _split_outside_braces(value) if item.strip()]
    try:
        return json.loads(value)
    except ValueError:
        pass
    try:
        return tomllib.loads(f"array = {value}")["array"]
    except tomllib.TOMLDecodeError:
        return None


def _split_outside_braces(value: str) -> list[str]:
    """The values between commas; the commas of a glob such as `*.{mxf,mov}` separate none."""
    values, depth = [""], 0
    for character in value:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth <= 0:
            values.append("")
        else:
            values[-1] += character
    return values


def duration(value: object) -> float:
    """Seconds; zero is allowed."""
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError as error:
            raise ValueError(f"{error}, not {show(value)}") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_S:
        raise ValueError(
            f'must be a duration from 0 to 366 days such as 90 (seconds) or "90s", not {show(value)}'
        )
    return round(value * 1000) / 1000


def positive_duration(value: object) -> float:
    """Seconds, not zero."""
    if (seconds := duration(value)) == 0:
        raise ValueError(f"must be 1 millisecond at least, not {show(value)}")
    return seconds


def optional_duration(value: object) -> float | None:
    """Seconds, not zero; None for an empty text."""
    return None if value == "" else positive_duration(value)


def size(low: int = 0, high: int = LARGEST_BYTES) -> Callable[[object], int]:
    """A parser of sizes from `low` to `high` bytes."""

    def parse(value: object) -> int:
        size_bytes = _bytes(value)
        if not low <= size_bytes <= high:
            raise ValueError(f"must be from {low} to {high} bytes, not {show(value)}")
        return size_bytes

    return parse


def _bytes(value: object) -> int:
    if isinstance(value, str):
        try:
            return parse_size(value)
        except ValueError as error:
            raise ValueError(f"{error}, not {show(value)}") from None
    if type(value) is not int:
        raise ValueError(f'must be a size such as 8000000 (bytes) or "8MB", not {show(value)}')
    return value
