"""What goes wrong in worker processes: a file that a test replaces at will, and they read at each operation.

Operations of the destination: probe, open, open_partial, size, truncate, write, anchor, flush, read_back,
seal, close, stands, find, compare, make_durable, publish, discard, strays. Of the source: list, examine,
look_up, source_open, source_read, settle, set_aside.
"""

import fcntl
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Literal

from attrs import asdict, define, field, frozen

from tests.worker.copy.faulty import ALWAYS, bit_turned

ENVIRONMENT = "FAULT_SCRIPT"
POLL_S = 0.005
SHORT_BYTES = 7

SOURCE = frozenset({"list", "examine", "look_up", "source_open", "source_read", "settle", "set_aside"})

Effect = Literal["error", "hang", "flip", "short", "slow"]


@frozen
class Rule:
    """On the operations `on` (empty: any of the destination) number `first` to `first + times - 1`: `effect`.

    An `error` has an error number; with `late` the operation is carried out first. What hangs hangs until the
    rule is gone; what is `slow` takes `number` ms longer. `flip` turns a bit in what is written or read back.
    """

    id: int
    on: tuple[str, ...]
    effect: Effect
    number: int = 0
    late: bool = False
    first: int = 1
    times: int = ALWAYS

    def concerns(self, operation: str) -> bool:
        return operation in self.on if self.on else operation not in SOURCE


@define
class FaultScript:
    """The test's side: writes the script, and reads what came of it."""

    path: Path
    _rules: list[Rule] = field(factory=list, init=False)
    _ids: "count[int]" = field(factory=lambda: count(1), init=False)

    def __attrs_post_init__(self) -> None:
        self._write()

    def add(
        self,
        *on: str,
        effect: Effect = "error",
        number: int = 0,
        late: bool = False,
        first: int = 1,
        times: int = ALWAYS,
    ) -> int:
        """A rule more; its id."""
        rule = Rule(next(self._ids), on, effect, number, late, first, times)
        self._rules.append(rule)
        self._write()
        return rule.id

    def heal(self) -> None:
        self._rules = []
        self._write()

    def struck(self, rule_id: int | None = None) -> int:
        """How often this rule (None: any) had its effect so far."""
        return sum(1 for rule, _, _ in self._log() if rule_id in (None, rule))

    def injected(self) -> Counter[str]:
        """How often each operation met each effect."""
        return Counter(f"{operation} {effect}" for _, operation, effect in self._log())

    def written_bytes(self) -> int:
        """What all workers wrote into partials."""
        path = _written(self.path)
        return sum(map(int, path.read_text().split())) if path.exists() else 0

    def _log(self) -> list[tuple[int, str, str]]:
        path = _log(self.path)
        lines = path.read_text().splitlines() if path.exists() else []
        words = [line.split() for line in lines]
        return [(int(word[0]), word[1], word[2]) for word in words if word[2] != "-"]

    def _write(self) -> None:
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps([asdict(rule) for rule in self._rules]))
        draft.replace(self.path)


@frozen
class FileTroubles:
    """A worker's side: does what the script says."""

    path: Path

    @contextmanager
    def around(self, operation: str) -> Iterator[None]:
        late = None
        for rule in self._striking(operation, {"error", "hang", "slow"}):
            if rule.effect == "hang":
                self._hang(rule)
            elif rule.effect == "slow":
                time.sleep(rule.number / 1000)
            elif rule.late:
                late = rule.number
            else:
                raise OSError(rule.number, os.strerror(rule.number))
        yield
        if late is not None:
            raise OSError(late, os.strerror(late))

    def written(self, offset: int, data: bytes) -> bytes:  # noqa: ARG002  by offset is how others choose
        with _written(self.path).open("a") as log:
            log.write(f"{len(data)}\n")
        return self._passed("write", data)

    def read(self, offset: int, data: bytes) -> bytes:  # noqa: ARG002  as above
        return self._passed("read_back", data)

    def shown(self, size_bytes: int) -> int:
        return size_bytes

    def cut(self, data: bytes) -> bytes:
        """What a system call takes of it at once."""
        return data[:SHORT_BYTES] if any(self._striking("write", {"short"})) else data

    def _passed(self, operation: str, data: bytes) -> bytes:
        return bit_turned(data) if data and any(self._striking(operation, {"flip"})) else data

    def _hang(self, rule: Rule) -> None:
        while rule in self._rules():
            time.sleep(POLL_S)

    def _rules(self) -> list[Rule]:
        return [Rule(**(entry | {"on": tuple(entry["on"])})) for entry in json.loads(self.path.read_text())]

    def _striking(self, operation: str, effects: set[Effect]) -> list[Rule]:
        rules = [rule for rule in self._rules() if rule.effect in effects and rule.concerns(operation)]
        return [rule for rule in rules if self._counted(rule, operation)]

    def _counted(self, rule: Rule, operation: str) -> bool:
        """Note the operation for all workers; whether it is one of those that the rule means."""
        with _log(self.path).open("a+") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            log.seek(0)
            number = sum(1 for line in log if line.split()[0] == str(rule.id)) + 1
            strikes = rule.first <= number < rule.first + rule.times
            log.write(f"{rule.id} {operation} {rule.effect if strikes else '-'}\n")
        return strikes


def _log(path: Path) -> Path:
    return path.with_suffix(".log")


def _written(path: Path) -> Path:
    return path.with_suffix(".written")
