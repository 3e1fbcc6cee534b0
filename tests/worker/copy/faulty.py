"""A destination with scripted faults: it fails, alters what is read back, or loses the end of a file."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from attrs import define, field

from agent.model.errors import Fault, OutageReason
from agent.model.verification import VerifyLevel
from agent.protocol.requests import ConflictMode, VerifyMode
from agent.worker.destinations.base import Destination, Existing, Partial

ALWAYS = 1_000_000


def failing(number: int) -> Callable[..., object]:
    """A stand-in for a system call that ends with this error number."""

    def call(*_: object, **__: object) -> object:
        raise OSError(number, os.strerror(number))

    return call


def full() -> Fault:
    return Fault.outage(OutageReason.FULL, "destination: No space left on device")


def bit_turned(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


class Troubles(Protocol):
    """What goes wrong around operations, and with the bytes that pass through them."""

    def around(self, operation: str) -> AbstractContextManager[None]:
        """The operation is carried out inside, or not at all."""
        ...

    def written(self, offset: int, data: bytes) -> bytes: ...

    def read(self, offset: int, data: bytes) -> bytes: ...

    def shown(self, size_bytes: int) -> int:
        """How large a partial looks."""
        ...


@define
class Script:
    """What goes wrong, and what happened.

    From operation number `stop_at` on (or from the first one named `stop_on`) all fail with `error`, as they
    do when a mount is gone. By offset, how many more times one bit is turned: `spoils` in what is written,
    `flips` in what is read back. `lost_bytes` is how much shorter a partial is than it should be.
    """

    stop_at: int | None = None
    stop_on: str = ""
    error: Exception = field(factory=full)
    spoils: dict[int, int] = field(factory=dict)
    flips: dict[int, int] = field(factory=dict)
    lost_bytes: int = 0
    operations: list[str] = field(factory=list, init=False)
    _stopped: bool = field(default=False, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @contextmanager
    def around(self, operation: str) -> Iterator[None]:
        with self._lock:
            self._stopped |= len(self.operations) == self.stop_at or operation == self.stop_on
            if self._stopped:
                raise self.error
            self.operations.append(operation)
        yield

    def written(self, offset: int, data: bytes) -> bytes:
        return _altered(self.spoils, offset, data)

    def read(self, offset: int, data: bytes) -> bytes:
        return _altered(self.flips, offset, data)

    def shown(self, size_bytes: int) -> int:
        return max(0, size_bytes - self.lost_bytes)


def _altered(times: dict[int, int], offset: int, data: bytes) -> bytes:
    if times.get(offset, 0) == 0:
        return data
    times[offset] -= 1
    return bit_turned(data)


@define
class FaultyPartial:
    _inner: Partial
    _troubles: Troubles

    @property
    def size_bytes(self) -> int:
        with self._troubles.around("size"):
            return self._troubles.shown(self._inner.size_bytes)

    @property
    def survives_request(self) -> bool:
        return self._inner.survives_request

    @property
    def is_readable(self) -> bool:
        return self._inner.is_readable

    def write_group(self, block: int) -> range:
        return self._inner.write_group(block)

    def may_contain(self, block: int) -> bool:
        return self._inner.may_contain(block)

    def level(self, wanted: VerifyMode) -> VerifyLevel:
        return self._inner.level(wanted)

    def truncate(self, size_bytes: int) -> None:
        with self._troubles.around("truncate"):
            self._inner.truncate(size_bytes)

    def leave_room(self, kept_bytes: int) -> None:
        with self._troubles.around("truncate"):
            self._inner.leave_room(kept_bytes)

    def write(self, offset: int, blocks: Sequence[bytes]) -> None:
        with self._troubles.around("write"):
            first, *others = blocks
            self._inner.write(offset, [self._troubles.written(offset, first), *others])

    def flush(self, end: int) -> None:
        with self._troubles.around("flush"):
            self._inner.flush(end)

    def matches(self, offset: int, blocks: Sequence[bytes]) -> bool:
        data = b"".join(blocks)
        return self.read_back(offset, len(data)) == data

    def fsync_parents(self) -> None:
        with self._troubles.around("anchor"):
            self._inner.fsync_parents()

    def read_back(self, offset: int, length: int) -> bytes:
        with self._troubles.around("read_back"):
            return self._troubles.read(offset, self._inner.read_back(offset, length))

    def finalize(self, mtime_ns: int) -> bool:
        with self._troubles.around("seal"):
            return self._inner.finalize(mtime_ns)

    @property
    def file_identity(self) -> str:
        with self._troubles.around("identity"):
            return self._inner.file_identity

    def close(self) -> None:
        self._inner.close()
        with self._troubles.around("close"):
            pass


@define
class FaultyExisting:
    _inner: Existing
    _troubles: Troubles

    @property
    def size_bytes(self) -> int:
        with self._troubles.around("size"):
            return self._inner.size_bytes

    @property
    def read_back_level(self) -> VerifyLevel:
        return self._inner.read_back_level

    def read_back(self, offset: int, length: int) -> bytes:
        with self._troubles.around("compare"):
            return self._inner.read_back(offset, length)

    @property
    def file_identity(self) -> str:
        with self._troubles.around("identity"):
            return self._inner.file_identity

    def is_file(self, device: int, inode: int) -> bool:
        return self._inner.is_file(device, inode)

    def make_durable(self) -> None:
        with self._troubles.around("make_durable"):
            self._inner.make_durable()

    def close(self) -> None:
        self._inner.close()


@define
class FaultyDestination:
    _inner: Destination
    script: Troubles

    @property
    def calls_at_once(self) -> int:
        return self._inner.calls_at_once

    @property
    def name_max_bytes(self) -> int:
        return self._inner.name_max_bytes

    @contextmanager
    def durable_together(self) -> Iterator[None]:
        with self._inner.durable_together():
            yield
            with self.script.around("together"):
                pass

    def allocate_partial(
        self, partial: str, name: str, size_bytes: int | None, conflict: ConflictMode
    ) -> str:
        with self.script.around("reserve"):
            return self._inner.allocate_partial(partial, name, size_bytes, conflict)

    def open_partial(self, partial: str, *, is_begun: bool = False) -> FaultyPartial:
        with self.script.around("open_partial"):
            inner = self._inner.open_partial(partial, is_begun=is_begun)
        return FaultyPartial(inner, self.script)

    def discard(self, partial: str) -> bool:
        with self.script.around("discard"):
            return self._inner.discard(partial)

    def publish(self, partial: str, name: str, size_bytes: int, file_identity: str | None) -> str | None:
        with self.script.around("publish"):
            return self._inner.publish(partial, name, size_bytes, file_identity)

    def unpublish(self, partial: str, name: str) -> bool:
        with self.script.around("retract"):
            return self._inner.unpublish(partial, name)

    def exists(self, name: str) -> bool:
        with self.script.around("stands"):
            return self._inner.exists(name)

    def find(self, name: str) -> FaultyExisting | None:
        with self.script.around("find"):
            inner = self._inner.find(name)
        return None if inner is None else FaultyExisting(inner, self.script)

    def find_orphans(self, identity: str, *, deep: bool) -> Iterator[tuple[str, ...]]:
        with self.script.around("strays"):
            yield from self._inner.find_orphans(identity, deep=deep)
