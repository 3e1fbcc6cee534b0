"""From a table to its frozen class with cattrs, strictly, and with every fault of a table in one pass."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeVar, get_args, get_origin

import attrs
from cattrs import ClassValidationError, Converter, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from agent.config.raw import RawSection, hint, nearest
from agent.config.sections import S3, AgentSection, LogSection, Route, Uploads, WebSection
from agent.config.value_parsers import Read, ReadFrom, choice, flag, text

T = TypeVar("T")

SECTIONS = {"agent": AgentSection, "web": WebSection, "log": LogSection, "uploads": Uploads, "s3": S3}
_UNITS = ("_s", "_bytes")


def key_of(attribute: "attrs.Attribute[object]") -> str:
    """The key an attribute is read from."""
    for mark in getattr(attribute.type, "__metadata__", ()):
        if mark.key:
            return str(mark.key)
    name = attribute.name
    return next((name.removesuffix(unit) for unit in _UNITS if name.endswith(unit)), name)


def keys_of(cls: type[attrs.AttrsInstance]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key_of(attribute) for attribute in attrs.fields(cls)))


KEYS = {name: keys_of(cls) for name, cls in SECTIONS.items()} | {"route": keys_of(Route)}
HEADINGS = {name: "[[route]]" if name == "route" else f"[{name}]" for name in KEYS}


def strict_converter(base: str) -> Converter:
    """A converter for the sections and routes of a file in the folder `base`; it coerces nothing."""
    made = Converter()
    made.register_structure_hook(str, lambda value, _: text(value))
    made.register_structure_hook(bool, lambda value, _: flag(value))
    made.register_structure_hook_func(_is_choice, _read_choice)

    def read(value: object, kind: Any) -> object:  # noqa: ANN401  cattrs hands over any annotation
        mark = kind.__metadata__[0]
        return mark.reader(value, base) if isinstance(mark, ReadFrom) else mark.reader(value)

    made.register_structure_hook_func(_is_marked, read)
    for cls in (*SECTIONS.values(), Route):
        renames: dict[str, Any] = {a.name: override(rename=key_of(a)) for a in attrs.fields(cls)}
        made.register_structure_hook(
            cls, make_dict_structure_fn(cls, made, _cattrs_forbid_extra_keys=True, **renames)
        )
    return made


def structure(table: RawSection, cls: type[T], converter: Converter, reasons: list[str]) -> T | None:
    """The class made from the table, or None and why not among `reasons`."""
    try:
        return converter.structure(table.values(), cls)
    except ClassValidationError as error:
        reasons += dict.fromkeys(_reasons(table, cls, error))
        return None


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Why a key is refused, with the nearest one that is not."""
    homes = [HEADINGS[name] for name, keys in KEYS.items() if key in keys]
    if homes:
        return f"unknown key here (it belongs in {' or '.join(homes)})"
    comma_list = ", ".join(known)
    return f"unknown key{hint(nearest(key, known)) or f' (known here: {comma_list})'}"


def _reasons(table: RawSection, cls: type[Any], error: ClassValidationError) -> Iterator[str]:
    keys = {attribute.name: key_of(attribute) for attribute in attrs.fields(cls)}
    known = list(dict.fromkeys(keys.values()))
    values, extras = error.group_exceptions()
    for fault, note in values:
        reason = "is missing" if isinstance(fault, KeyError) else str(fault)
        yield table.complaint(keys[note.name], reason)
    strange = [extra.extra_fields for extra in extras if isinstance(extra, ForbiddenExtraKeysError)]
    for key in sorted(set().union(*strange)):
        yield table.complaint(key, unknown_key(key, known))


def _is_marked(kind: object) -> bool:
    return any(isinstance(mark, Read | ReadFrom) for mark in getattr(kind, "__metadata__", ()))


def _is_choice(kind: object) -> bool:
    origin: object = get_origin(kind)
    return origin is Literal


def _read_choice(value: object, kind: object) -> str:
    return choice(get_args(kind))(value)
