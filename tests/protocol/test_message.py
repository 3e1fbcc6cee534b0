"""Requests and replies compare and show by value, as if attrs had written these methods for each class."""

import attrs
import pytest
from attrs import frozen

from agent.protocol import replies, requests
from agent.protocol.message import Message

CLASSES = [
    each
    for module in (requests, replies)
    for each in vars(module).values()
    if isinstance(each, type) and attrs.has(each) and each.__module__ == module.__name__
]


@frozen(eq=False, repr=False)
class Point(Message):
    x: int
    name: str = "p"


@frozen(eq=False, repr=False)
class Other(Message):
    x: int
    name: str = "p"


@pytest.mark.parametrize("each", CLASSES)
def test_each_request_and_reply_has_these_methods_and_none_of_its_own(each: type) -> None:
    assert issubclass(each, Message)
    assert not {"__eq__", "__hash__", "__repr__", "__dict__"} & set(vars(each))


def test_two_are_equal_if_class_and_values_are() -> None:
    assert Point(1) == Point(1, "p")
    assert len({Point(1), Point(1, "p"), Point(2), Other(1)}) == 3
    assert Point(1) not in (Point(2), Point(1, "q"), Other(1), (1, "p"), None)


def test_all_values_are_shown() -> None:
    assert repr(Point(1)) == "Point(x=1, name='p')"
