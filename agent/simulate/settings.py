"""Writer options as text: "pause-at=50%", "hold=30s", "write=1MiB"."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, get_args, get_type_hints

from attrs import Attribute, evolve, fields

from agent.config.units import format_duration, format_size, parse_duration, parse_size
from agent.simulate.options import WriterOptions

_HINTS = get_type_hints(WriterOptions)
_YES_NO = {"yes": True, "no": False}


class BadSetting(ValueError):  # noqa: N818  an answer for the user
    """An unknown setting, or a value that it cannot have."""


def with_settings(options: WriterOptions, settings: Iterable[str]) -> WriterOptions:
    """The options after applying each "name=value" in order.

    Raises:
        BadSetting: names the setting, the reason, and the nearest known setting.
    """
    known = {spelled(attribute): attribute for attribute in fields(WriterOptions)}
    changes: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise BadSetting(f"{setting!r} must be NAME=VALUE")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else "see --list-settings"
            raise BadSetting(f"unknown setting {name!r} ({hint})")
        try:
            changes[known[name].name] = _parse(known[name].name, text)
        except ValueError as error:
            raise BadSetting(f"setting {name!r}: {error}") from None
    return evolve(options, **changes)


def described() -> Iterator[tuple[str, str, str]]:
    """Name, default and help of every setting."""
    for attribute in fields(WriterOptions):
        yield spelled(attribute), _format(attribute.name, attribute.default), attribute.metadata["help"]


def spelled(attribute: "Attribute[Any]") -> str:
    return attribute.name.removesuffix("_bytes_s").removesuffix("_s").removesuffix("_bytes").replace("_", "-")


def parse_fraction(text: str) -> float:
    """0 to 1, from "50%" or "0.5".

    Raises:
        ValueError: neither.
    """
    try:
        fraction = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        fraction = -1
    if not 0 <= fraction <= 1:
        raise ValueError('must be a part of the whole such as "50%" or 0.5')
    return fraction


def parse_span(text: str) -> tuple[int, int]:
    """Offset and length in bytes, from "262144+4096" or "1MiB+4KiB".

    Raises:
        ValueError: not two sizes.
    """
    offset, _, length = text.partition("+")
    return parse_size(offset), parse_size(length)


def _parse(name: str, text: str) -> object:
    if str(_HINTS[name]).startswith("tuple"):
        one = _parser(name, get_args(_HINTS[name])[0])
        return tuple(one(part) for part in text.split(",")) if text else ()
    return _parser(name, _HINTS[name])(text)


def _parser(name: str, hint: Any) -> Callable[[str], object]:  # noqa: ANN401  a type, or a special form
    if name == "patch_list":
        return parse_span
    for ending, parse in _BY_ENDING.items():
        if name.endswith(ending):
            return parse
    words = [word for word in get_args(hint) if isinstance(word, str)]
    return _choice({word: word for word in words}) if words else _BY_TYPE.get(hint, parse_fraction)


def _choice(words: dict[str, Any]) -> Callable[[str], object]:
    def chosen(text: str) -> object:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return words[text]

    return chosen


def _format(name: str, value: object) -> str:
    match value:
        case None:
            return "never"
        case tuple():
            return ",".join(map(str, value))
        case bool():
            return "yes" if value else "no"
        case int() | float() if name.endswith(("_bytes", "_bytes_s")):
            return format_size(int(value))
        case int() | float() if name.endswith("_s"):
            return format_duration(value)
    return str(value)


_BY_ENDING: dict[str, Callable[[str], object]] = {
    "_bytes": parse_size,
    "_bytes_s": parse_size,
    "_s": parse_duration,
}
_BY_TYPE: dict[object, Callable[[str], object]] = {bool: _choice(_YES_NO), int: int, str: str}
