"""Turns a raw section into its frozen class with cattrs: strictly, and with all faults in one pass."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeVar, get_args, get_origin

import attrs
from cattrs import ClassValidationError, Converter, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from agent.config.raw import RawSection, hint, nearest
from agent.config.sections import S3, AgentSection, LogSection, Route, Uploads, WebSection
from agent.config.value_parsers import Parse, ParseRelative, boolean, choice, text

T = TypeVar("T")

SECTIONS = {"agent": AgentSection, "web": WebSection, "log": LogSection, "uploads": Uploads, "s3": S3}
_UNITS = ("_s", "_bytes")


def key_of(attribute: "attrs.Attribute[object]") -> str:
    """The configuration key of an attribute."""
    for spec in getattr(attribute.type, "__metadata__", ()):
        if spec.key:
            return str(spec.key)
    name = attribute.name
    return next((name.removesuffix(unit) for unit in _UNITS if name.endswith(unit)), name)


def keys_of(cls: type[attrs.AttrsInstance]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key_of(attribute) for attribute in attrs.fields(cls)))


KEYS = {name: keys_of(cls) for name, cls in SECTIONS.items()} | {"route": keys_of(Route)}
HEADINGS = {name: "[[route]]" if name == "route" else f"[{name}]" for name in KEYS}


def strict_converter(base: str) -> Converter:
    """A converter for sections and routes that coerces nothing; relative paths start from `base`."""
    converter = Converter()
    converter.register_structure_hook(str, lambda value, _: text(value))
    converter.register_structure_hook(bool, lambda value, _: boolean(value))
    converter.register_structure_hook_func(_is_choice, _parse_choice)

    def parse(value: object, kind: Any) -> object:  # noqa: ANN401  cattrs passes any annotation
        spec = kind.__metadata__[0]
        return spec.parser(value, base) if isinstance(spec, ParseRelative) else spec.parser(value)

    converter.register_structure_hook_func(_has_parser, parse)
    for cls in (*SECTIONS.values(), Route):
        renames: dict[str, Any] = {a.name: override(rename=key_of(a)) for a in attrs.fields(cls)}
        converter.register_structure_hook(
            cls, make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True, **renames)
        )
    return converter


def structure(section: RawSection, cls: type[T], converter: Converter, reasons: list[str]) -> T | None:
    """An instance made from the section; None if it has faults, which are appended to `reasons`."""
    try:
        return converter.structure(section.values(), cls)
    except ClassValidationError as error:
        reasons += dict.fromkeys(_reasons(section, cls, error))
        return None


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The reason for an unknown key, with the most similar known key."""
    sections = [HEADINGS[name] for name, keys in KEYS.items() if key in keys]
    if sections:
        return f"unknown key here (it belongs in {' or '.join(sections)})"
    comma_list = ", ".join(known)
    return f"unknown key{hint(nearest(key, known)) or f' (known here: {comma_list})'}"


def _reasons(section: RawSection, cls: type[Any], error: ClassValidationError) -> Iterator[str]:
    keys = {attribute.name: key_of(attribute) for attribute in attrs.fields(cls)}
    known = list(dict.fromkeys(keys.values()))
    values, extras = error.group_exceptions()
    for fault, note in values:
        reason = "is missing" if isinstance(fault, KeyError) else str(fault)
        yield section.error(keys[note.name], reason)
    unknown = [extra.extra_fields for extra in extras if isinstance(extra, ForbiddenExtraKeysError)]
    for key in sorted(set().union(*unknown)):
        yield section.error(key, unknown_key(key, known))


def _has_parser(kind: object) -> bool:
    return any(isinstance(spec, Parse | ParseRelative) for spec in getattr(kind, "__metadata__", ()))


def _is_choice(kind: object) -> bool:
    origin: object = get_origin(kind)
    return origin is Literal


def _parse_choice(value: object, kind: object) -> str:
    return choice(get_args(kind))(value)
