"""The configuration between reading and structuring: tables of values, each with where it came from."""

import difflib
from collections.abc import Iterable, Mapping

from attrs import define, field, frozen

from agent.model.text import on_one_line


class ConfigError(Exception):
    """The configuration cannot be used. `reasons`: one line for each fault, naming origin, key and reason."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        self.reasons = tuple(map(on_one_line, reasons))
        super().__init__("\n".join(self.reasons))


@frozen
class RawValue:
    """A value as it was found; `origin` is a file, a variable or an option."""

    value: object
    origin: str


@define
class RawSection:
    """One section, or one route; `label` is what reasons call it, `origin` where it began."""

    label: str
    origin: str
    given: dict[str, RawValue] = field(factory=dict)

    @property
    def name(self) -> str:
        """A route's name as far as it has one."""
        return str(self.given["name"].value) if "name" in self.given else ""

    def update(self, values: Mapping[str, object], origin: str) -> None:
        self.given |= {key: RawValue(value, origin) for key, value in values.items()}

    def values(self) -> dict[str, object]:
        return {key: given.value for key, given in self.given.items()}

    def complaint(self, key: str, reason: str) -> str:
        """One line: origin, table and key, reason."""
        origin = self.given[key].origin if key in self.given else self.origin
        return f"{origin}: {self.label} {key}: {reason}"


@define
class RawConfig:
    """A table for each section, found or not, and one for each route."""

    sections: dict[str, RawSection]
    routes: list[RawSection]


def nearest(word: str, words: Iterable[str]) -> str:
    """The known word most like `word`; empty if none is near.

    A known word with a tail, such as a unit, is nearest; else "stable_seconds" would be "stable_closed".
    """
    known = sorted(words, key=len, reverse=True)
    heads = [candidate for candidate in known if word.startswith(f"{candidate}_")]
    near = heads or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return near[0] if near else ""


def hint(word: str) -> str:
    return f" (did you mean {word}?)" if word else ""
