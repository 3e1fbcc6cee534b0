"""Answers that are made of all files: few at a time, and one for all who ask the same meanwhile."""

from collections.abc import Awaitable, Callable, Hashable
from weakref import WeakValueDictionary

import trio
from attrs import define, field

AT_ONCE = 2  # threads that encode; each takes the interpreter's lock from the event loop again and again


@define(eq=False)
class _Answer:
    """The answer to one question; `lock` is held by the reader that makes it."""

    lock: trio.Lock = field(factory=trio.Lock, init=False)
    is_made: bool = field(default=False, init=False)
    body: bytes = field(default=b"", init=False)
    refusal: Exception | None = field(default=None, init=False)


@define(eq=False)
class SharedAnswers:
    """Makes at most `AT_ONCE` answers at a time, and shares each among all who wait for it.

    Whoever asks while an answer is being made gets the next one: no answer is older than its question. So a
    crowd with one question costs two answers. An answer is forgotten when its last reader has it.
    """

    _slots: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(AT_ONCE), init=False)
    _waiting: WeakValueDictionary[Hashable, _Answer] = field(factory=WeakValueDictionary, init=False)

    async def get(self, question: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """The body that `make` returns to one of those who ask this question.

        Raises: what `make` raises.
        """
        answer = self._waiting.setdefault(question, _Answer())
        async with answer.lock:
            if not answer.is_made:
                await self._make(question, answer, make)
        if answer.refusal is not None:
            raise answer.refusal
        return answer.body

    async def _make(self, question: Hashable, answer: _Answer, make: Callable[[], Awaitable[bytes]]) -> None:
        """A reader that leaves meanwhile leaves this to the next one in line."""
        async with self._slots:
            if self._waiting.get(question) is answer:
                del self._waiting[question]
            try:
                answer.body = await make()
            except Exception as refusal:  # noqa: BLE001  each reader raises it
                answer.refusal = refusal
            answer.is_made = True
