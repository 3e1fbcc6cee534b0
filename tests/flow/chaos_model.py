"""What must hold of a source and a destination, whatever happened: a book of all that ever stood there."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from attrs import define, field, frozen

from agent.model.names import conflict_path, file_id

ROUTE = "mxf"
CHOICES = 16  # more names than any file had to make way


@frozen
class Foreign:
    """A file at the destination that is not ours."""

    inode: int
    mtime_ns: int
    content: bytes


@frozen
class Shown:
    """What the agent says of a file."""

    status: str
    size_bytes: int
    error: str | None


def is_partial(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last.startswith(".") and last.endswith(".partial")


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), path


@define(eq=False)
class Book:
    """By source path: `known` is every content that stood there complete, `owed` what nobody but the agent
    may take away, `standing` what was left there last.
    """

    source: Path
    archive: Path
    after: str
    known: dict[str, set[bytes]] = field(factory=lambda: defaultdict(set))
    owed: dict[str, set[bytes]] = field(factory=lambda: defaultdict(set))
    standing: dict[str, bytes] = field(factory=dict)
    foreign: dict[str, Foreign] = field(factory=dict)
    _origins: dict[str, set[str]] = field(factory=lambda: defaultdict(set))
    _seen: dict[str, tuple[int, ...]] = field(factory=dict)
    _looking: threading.Lock = field(factory=threading.Lock)

    def announce(self, path: str, content: bytes) -> None:
        """It is about to stand there."""
        for number in range(CHOICES):
            self._origins[conflict_path(path, number)].add(path)
        self.known[path].add(content)

    def stands(self, path: str, content: bytes) -> None:
        """It stands there now, and whatever stood there before is no more."""
        self.taken(path)
        self.standing[path] = content
        self.owed[path].add(content)

    def taken(self, path: str) -> None:
        """We ourselves took it away from the source, where it still stood."""
        if path in self.standing:
            self.owed[path].discard(self.standing.pop(path))

    def left(self, path: str) -> None:
        """The agent has taken it away."""
        self.standing.pop(path, None)

    # At every moment

    def strangers(self, nas: Path) -> list[str]:
        """Final names that show what never stood complete at the source (promise S3)."""
        with self._looking, suppress(FileNotFoundError):  # the whole folder may go away meanwhile
            return [f"{name!r} shows {what}" for name, what in self._strange(nas)]
        return []

    def _strange(self, nas: Path) -> Iterator[tuple[str, str]]:
        for name, path in files_below(nas):
            if is_partial(name) and name not in self.foreign:
                continue
            status = path.stat()
            key = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if self._seen.get(name) == key:
                continue
            content = path.read_bytes()
            if self._may_stand(name, content):
                self._seen[name] = key
            else:
                yield name, f"{len(content)} bytes that never stood complete: {content[:24]!r}"

    def _may_stand(self, name: str, content: bytes) -> bool:
        if name in self.foreign and self.foreign[name].content == content:
            return True
        return any(content in self.known[path] for path in tuple(self._origins[name]))

    # When nothing moves any more

    def faults(self, nas: Path, shown: Mapping[str, Shown]) -> list[str]:
        """What is not as promised; `shown` by file id."""
        arrived = {name: path.read_bytes() for name, path in files_below(nas)}
        found = self.strangers(nas)
        found += [f"left over: {name!r}" for name in arrived if is_partial(name) and name not in self.foreign]
        found += [f"touched: {name!r}" for name in self.foreign if not self._is_untouched(nas, name)]
        for path, contents in self.known.items():
            for content in contents:
                fault = self._fault(path, content, arrived, shown.get(file_id(ROUTE, path)))
                if fault:
                    found.append(f"{path!r}, {len(content)} bytes {content[:24]!r}: {fault}")
        return found

    def _is_untouched(self, nas: Path, name: str) -> bool:
        path, was = nas / name, self.foreign[name]
        if not path.exists():
            return False
        status = path.stat()
        now = Foreign(status.st_ino, status.st_mtime_ns, path.read_bytes())
        return now == was

    def _fault(
        self, path: str, content: bytes, arrived: Mapping[str, bytes], shown: Shown | None
    ) -> str | None:
        places = [name for name in map(conflict_path, [path] * CHOICES, range(CHOICES)) if name in arrived]
        copies = sum(1 for name in places if arrived[name] == content)
        if copies > 1:
            return f"stands {copies} times at the destination"
        if content not in self.owed[path]:
            return None
        at_source = self._is_at(self.source, path, content)
        if copies == 0:
            if at_source:
                return None if _may_stay(shown) else f"not delivered, and shown as {shown}"
            return "LOST"
        return self._fault_of_delivered(path, content, at_source)

    def _fault_of_delivered(self, path: str, content: bytes, at_source: bool) -> str | None:
        if self.after == "archive" and not self._is_archived(path, content):
            return "delivered, but not archived"
        if at_source != (self.after == "keep"):
            return f"delivered, but {'still' if at_source else 'not'} at the source"
        return None

    def _is_archived(self, path: str, content: bytes) -> bool:
        places = map(conflict_path, [path] * CHOICES, range(CHOICES))
        return sum(1 for name in places if self._is_at(self.archive, name, content)) == 1

    @staticmethod
    def _is_at(folder: Path, path: str, content: bytes) -> bool:
        return (folder / path).is_file() and (folder / path).read_bytes() == content


def _may_stay(shown: Shown | None) -> bool:
    """Undelivered, and rightly so: a taken name may be a reason to give up."""
    return shown is not None and shown.status == "Failed" and "exists at the destination" in str(shown.error)
