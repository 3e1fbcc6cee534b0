"""Answers made of all files are made few at a time, and once for all who ask meanwhile."""

from collections import Counter

import pytest
import trio
from attrs import define, field
from trio.testing import wait_all_tasks_blocked

from agent.control.errors import Unavailable
from web.shared_answers import AT_ONCE, SharedAnswers


@define
class Maker:
    """Makes answers that it numbers; each takes until `go_on`."""

    answers: SharedAnswers = field(factory=SharedAnswers)
    go_on: trio.Event = field(factory=trio.Event)
    made: int = 0
    running: int = 0
    most_running: int = 0
    is_unavailable: bool = False
    got: list[bytes] = field(factory=list)

    async def make(self) -> bytes:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.go_on.wait()
        finally:
            self.running -= 1
        if self.is_unavailable:
            raise Unavailable
        self.made += 1
        return b"%d" % self.made

    async def ask(self, question: str = "all") -> None:
        try:
            self.got.append(await self.answers.get(question, self.make))
        except Unavailable:
            self.got.append(b"unavailable")


async def test_a_crowd_with_one_question_costs_two_answers(nursery: trio.Nursery) -> None:
    maker = Maker()
    nursery.start_soon(maker.ask)
    await wait_all_tasks_blocked()  # this answer has begun: it is too old for those who ask now
    for _ in range(39):
        nursery.start_soon(maker.ask)
    await wait_all_tasks_blocked()
    maker.go_on.set()
    await wait_all_tasks_blocked()
    assert sorted(Counter(maker.got).values()) == [1, 39]


async def test_different_questions_are_answered_few_at_a_time(nursery: trio.Nursery) -> None:
    maker = Maker()
    for number in range(10):
        nursery.start_soon(maker.ask, str(number))
    await wait_all_tasks_blocked()
    maker.go_on.set()
    await wait_all_tasks_blocked()
    assert sorted(maker.got) == sorted(b"%d" % number for number in range(1, 11))
    assert maker.most_running == AT_ONCE


@pytest.mark.parametrize("leaves", ["the one whose turn it is", "one that waits"])
async def test_a_reader_that_leaves_takes_no_answer_away_from_the_others(
    nursery: trio.Nursery, leaves: str
) -> None:
    maker, scopes = Maker(), [trio.CancelScope() for _ in range(3)]

    async def ask_until_cancelled(scope: trio.CancelScope) -> None:
        with scope:
            await maker.ask()

    for number in range(AT_ONCE):
        nursery.start_soon(maker.ask, f"another {number}")
    await wait_all_tasks_blocked()  # no slot is free
    for scope in scopes:
        nursery.start_soon(ask_until_cancelled, scope)
        await wait_all_tasks_blocked()
    scopes[0 if leaves == "the one whose turn it is" else 1].cancel()
    await wait_all_tasks_blocked()
    maker.go_on.set()
    await wait_all_tasks_blocked()
    assert sorted(maker.got) == [b"1", b"2", b"3", b"3"]


async def test_a_reader_that_leaves_while_its_answer_is_made_leaves_it_to_the_next(
    nursery: trio.Nursery,
) -> None:
    maker, scope = Maker(), trio.CancelScope()
    for number in range(AT_ONCE):
        nursery.start_soon(maker.ask, f"another {number}")
    await wait_all_tasks_blocked()

    async def ask_until_cancelled() -> None:
        with scope:
            await maker.answers.get("all", make_and_leave)

    async def make_and_leave() -> bytes:
        scope.cancel()
        return await maker.make()

    nursery.start_soon(ask_until_cancelled)
    await wait_all_tasks_blocked()
    nursery.start_soon(maker.ask)
    await wait_all_tasks_blocked()
    maker.go_on.set()
    await wait_all_tasks_blocked()
    assert sorted(maker.got) == [b"1", b"2", b"3"]


async def test_a_refusal_is_every_readers_and_is_not_remembered(nursery: trio.Nursery) -> None:
    maker = Maker(is_unavailable=True)
    for _ in range(3):
        nursery.start_soon(maker.ask)
    await wait_all_tasks_blocked()
    maker.go_on.set()
    await wait_all_tasks_blocked()
    maker.is_unavailable = False
    await maker.ask()
    assert maker.got == [b"unavailable"] * 3 + [b"1"]
