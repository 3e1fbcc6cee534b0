"""A destination that goes wrong as told: it fails, alters what is read back, or loses the end of a file."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence

from attrs import define, field

from agent.faults import Fault, OutageReason
from agent.protocol import ConflictMode, VerifyMode
from agent.stores.destination import Destination, Existing, Partial
from agent.terms import VerifyLevel

ALWAYS = 1_000_000


def failing(number: int) -> Callable[..., object]:
    """A stand-in for a system call that ends with this error number."""

    def call(*_: object, **__: object) -> object:
        raise OSError(number, os.strerror(number))

    return call


def full() -> Fault:
    return Fault.outage(OutageReason.FULL, "destination: No space left on device")


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

    def step(self, operation: str) -> None:
        with self._lock:
            self._stopped |= len(self.operations) == self.stop_at or operation == self.stop_on
            if self._stopped:
                raise self.error
            self.operations.append(operation)


def altered(times: dict[int, int], offset: int, data: bytes) -> bytes:
    if times.get(offset, 0) == 0:
        return data
    times[offset] -= 1
    return bytes([data[0] ^ 1]) + data[1:]


@define
class FaultyPartial:
    _inner: Partial
    _script: Script

    @property
    def size_bytes(self) -> int:
        self._script.step("size")
        return max(0, self._inner.size_bytes - self._script.lost_bytes)

    @property
    def lasts(self) -> bool:
        return self._inner.lasts

    @property
    def readable(self) -> bool:
        return self._inner.readable

    def unit(self, block: int) -> range:
        return self._inner.unit(block)

    def level(self, wanted: VerifyMode) -> VerifyLevel:
        return self._inner.level(wanted)

    def truncate(self, size_bytes: int) -> None:
        self._script.step("truncate")
        self._inner.truncate(size_bytes)

    def write(self, offset: int, blocks: Sequence[bytes]) -> None:
        self._script.step("write")
        first, *others = blocks
        self._inner.write(offset, [altered(self._script.spoils, offset, first), *others])

    def flush(self, until: int) -> None:
        self._script.step("flush")
        self._inner.flush(until)

    def holds(self, offset: int, blocks: Sequence[bytes]) -> bool:
        data = b"".join(blocks)
        return self.read_back(offset, len(data)) == data

    def read_back(self, offset: int, length: int) -> bytes:
        self._script.step("read_back")
        return altered(self._script.flips, offset, self._inner.read_back(offset, length))

    def seal(self, mtime_ns: int) -> None:
        self._script.step("seal")
        self._inner.seal(mtime_ns)

    def close(self) -> None:
        self._inner.close()
        self._script.step("close")


@define
class FaultyDestination:
    _inner: Destination
    script: Script

    def reserve(self, partial: str, name: str, size_bytes: int | None, conflict: ConflictMode) -> str:
        self.script.step("reserve")
        return self._inner.reserve(partial, name, size_bytes, conflict)

    def open_partial(self, partial: str) -> FaultyPartial:
        self.script.step("open_partial")
        return FaultyPartial(self._inner.open_partial(partial), self.script)

    def discard(self, partial: str) -> None:
        self.script.step("discard")
        self._inner.discard(partial)

    def publish(self, partial: str, name: str, size_bytes: int) -> None:
        self.script.step("publish")
        self._inner.publish(partial, name, size_bytes)

    def retract(self, partial: str, name: str) -> bool:
        self.script.step("retract")
        return self._inner.retract(partial, name)

    def strays(self, identity: str, *, deep: bool) -> Iterator[tuple[str, ...]]:
        return self._inner.strays(identity, deep=deep)

    def stands(self, name: str) -> bool:
        self.script.step("stands")
        return self._inner.stands(name)

    def find(self, name: str) -> Existing | None:
        self.script.step("find")
        return self._inner.find(name)
