"""Encodes each message of the live feed once for all subscribers.

Quart encodes a message for each WebSocket anew, and a snapshot of 100,000 files takes seconds. Subscribers
that get the same `Snapshot` or `Update` object therefore share one `EncodedMessage`.
"""

from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

import trio
from attrs import define, field, frozen

from agent.model import page_window
from agent.model.views import Feed, Snapshot, Update
from web.encoded_frames import EncodedFrame, encode_frame
from web.serializers import pieces, snapshot_message, update_message

MANY_FILES = 200  # an update of more files is encoded in a thread, so that the event loop goes on


@frozen
class EncodedMessage:
    """A message that brings its receiver to the state numbered `seq`."""

    seq: int
    frame: EncodedFrame


@define(eq=False)
class _CacheEntry:
    lock: trio.Lock = field(factory=trio.Lock, init=False)
    message: EncodedMessage | None = field(default=None, init=False)


@define
class MessageCache:
    """Keeps an encoded message as long as the `Feed` item exists, which is until all subscribers took it."""

    _take_snapshot: Callable[[], Awaitable[Snapshot]]
    _entries: WeakKeyDictionary[Feed, dict[int | None, _CacheEntry]] = field(
        factory=WeakKeyDictionary, init=False
    )

    async def encoded(self, item: Feed, limit: int | None) -> EncodedMessage:
        """The message for `item`, with at most `limit` files; None: no limit.

        An update that exceeds the limit is replaced by a new snapshot.

        Raises:
            Unavailable: that snapshot was not answered in time.
        """
        if isinstance(item, Update) and not (limit and page_window.exceeds(item, limit)):
            limit = None  # the message is the same with and without a limit
        entries = self._entries.setdefault(item, {})
        entry = entries.get(limit) or entries.setdefault(limit, _CacheEntry())
        if entry.message is None and limit is None:
            entry.message = _encode_small(item)
        return entry.message or await self._encode_large(entry, item, limit)

    async def _encode_large(self, entry: _CacheEntry, item: Feed, limit: int | None) -> EncodedMessage:
        async with entry.lock:
            if entry.message is None:
                shown = await self._take_snapshot() if limit and isinstance(item, Update) else item
                entry.message = await trio.to_thread.run_sync(_encode, shown, limit)
            return entry.message


def _encode_small(item: Feed) -> EncodedMessage | None:
    """Encoded at once, without a checkpoint. None: it is too large for that."""
    return _encode(item, None) if isinstance(item, Update) and len(item.changed) <= MANY_FILES else None


def _encode(item: Feed, limit: int | None) -> EncodedMessage:
    body = snapshot_message(item, limit) if isinstance(item, Snapshot) else update_message(item)
    return EncodedMessage(item.seq, encode_frame(pieces(body)))
