"""The printing press: many visitors get the same news, so each is written once, as it goes over the wire."""

from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

import trio
from attrs import define, field, frozen

from agent.model import page_window
from agent.model.views import Feed, Snapshot, Update
from web.encoded_frames import EncodedFrame, encode_frame
from web.serializers import pieces, snapshot_message, update_message

MANY_FILES = 200  # from here on news are written in a thread, lest all else waits


@frozen
class EncodedMessage:
    """After it a visitor knows how all stood at number `seq`."""

    seq: int
    message: EncodedFrame


@define(eq=False)
class _CacheEntry:
    lock: trio.Lock = field(factory=trio.Lock, init=False)
    printed: EncodedMessage | None = field(default=None, init=False)


@define
class MessageCache:
    """What it has printed is kept as long as anybody still has the same news before him."""

    _look: Callable[[], Awaitable[Snapshot]]
    _sheets: WeakKeyDictionary[Feed, dict[int | None, _CacheEntry]] = field(
        factory=WeakKeyDictionary, init=False
    )

    async def printed(self, news: Feed, limit: int | None) -> EncodedMessage:
        """The news, for a window of so many files if there is a limit.

        Raises:
            Busy: a snapshot had to be asked for, and nobody answered.
        """
        if isinstance(news, Update) and not (limit and page_window.exceeds(news, limit)):
            limit = None  # it is the same for all
        sheets = self._sheets.setdefault(news, {})
        sheet = sheets.get(limit) or sheets.setdefault(limit, _CacheEntry())
        if sheet.printed is None:
            sheet.printed = _print_few(news) if limit is None else None
        return sheet.printed or await self._print_many(sheet, news, limit)

    async def _print_many(self, sheet: _CacheEntry, news: Feed, limit: int | None) -> EncodedMessage:
        async with sheet.lock:
            if sheet.printed is None:
                whole = await self._look() if limit and isinstance(news, Update) else news
                sheet.printed = await trio.to_thread.run_sync(_print, whole, limit)
            return sheet.printed


def _print_few(news: Feed) -> EncodedMessage | None:
    """At once, so that all have it without a pause; None: this takes too long."""
    return _print(news, None) if isinstance(news, Update) and len(news.changed) <= MANY_FILES else None


def _print(news: Feed, limit: int | None) -> EncodedMessage:
    body = snapshot_message(news, limit) if isinstance(news, Snapshot) else update_message(news)
    return EncodedMessage(news.seq, encode_frame(pieces(body)))
