"""What all requests and replies have in common: they compare and show by value.

attrs would write and compile these methods for each class. That takes more than half of the time that it
needs for a class, and every worker loads all of them before it answers.
"""

from collections.abc import Iterator

import attrs


class Message:
    """The base of a class that is made with `frozen(eq=False, repr=False)`."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self.__class__ is other.__class__ and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((self.__class__, self._values()))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({', '.join(f'{name}={value!r}' for name, value in self._items())})"

    def _values(self) -> tuple[object, ...]:
        return tuple(value for _, value in self._items())

    def _items(self) -> Iterator[tuple[str, object]]:
        return ((each.name, getattr(self, each.name)) for each in attrs.fields(self.__class__))  # type: ignore[arg-type]
