"""The promises that a chaos run checks, from a record of every file that ever existed at the source."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from attrs import define, field, frozen

from agent.model.names import conflict_path, file_id

ROUTE = "mxf"
MAX_RENAMES = 16  # more than any file needs


@frozen
class ForeignFile:
    """A file at the destination that another program wrote."""

    inode: int
    mtime_ns: int
    content: bytes


@frozen
class ListedFile:
    """A row of /api/files."""

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
class ExpectedFiles:
    """By source path. `complete`: every content that was ever complete there. `must_survive`: content that
    only the agent may remove. `at_source`: what is there now, unless the agent has removed it.
    """

    source: Path
    archive: Path
    after: str
    complete: dict[str, set[bytes]] = field(factory=lambda: defaultdict(set))
    must_survive: dict[str, set[bytes]] = field(factory=lambda: defaultdict(set))
    at_source: dict[str, bytes] = field(factory=dict)
    foreign: dict[str, ForeignFile] = field(factory=dict)
    _origins: dict[str, set[str]] = field(factory=lambda: defaultdict(set))
    _seen: dict[str, tuple[int, ...]] = field(factory=dict)
    _checking: threading.Lock = field(factory=threading.Lock)

    def will_write(self, path: str, content: bytes) -> None:
        """This content is about to be written to the source."""
        for number in range(MAX_RENAMES):
            self._origins[conflict_path(path, number)].add(path)
        self.complete[path].add(content)

    def has_written(self, path: str, content: bytes) -> None:
        """The content is complete at the source, and replaces what was there."""
        self.removed_by_test(path)
        self.at_source[path] = content
        self.must_survive[path].add(content)

    def removed_by_test(self, path: str) -> None:
        """The test removed the file from the source."""
        if path in self.at_source:
            self.must_survive[path].discard(self.at_source.pop(path))

    def removed_by_agent(self, path: str) -> None:
        """The agent removed the file from the source."""
        self.at_source.pop(path, None)

    # Checked at every moment

    def unexpected(self, nas: Path) -> list[str]:
        """Files with final names whose content was never complete at the source (promise S3)."""
        with self._checking, suppress(FileNotFoundError):  # the folder may be unmounted at any time
            return [f"{name!r} shows {what}" for name, what in self._unexpected(nas)]
        return []

    def _unexpected(self, nas: Path) -> Iterator[tuple[str, str]]:
        for name, path in files_below(nas):
            if is_partial(name) and name not in self.foreign:
                continue
            status = path.stat()
            key = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if self._seen.get(name) == key:
                continue
            content = path.read_bytes()
            if self._is_allowed(name, content):
                self._seen[name] = key
            else:
                yield name, f"{len(content)} bytes that were never complete at the source: {content[:24]!r}"

    def _is_allowed(self, name: str, content: bytes) -> bool:
        if name in self.foreign and self.foreign[name].content == content:
            return True
        return any(content in self.complete[path] for path in tuple(self._origins[name]))

    # Checked when every file has ended

    def violations(self, nas: Path, listed: Mapping[str, ListedFile]) -> list[str]:
        """Every broken promise, as a line for people; `listed` by file id."""
        arrived = {name: path.read_bytes() for name, path in files_below(nas)}
        found = self.unexpected(nas)
        found += [
            f"partial left: {name!r}" for name in arrived if is_partial(name) and name not in self.foreign
        ]
        found += [f"touched: {name!r}" for name in self.foreign if not self._is_untouched(nas, name)]
        for path, contents in self.complete.items():
            for content in contents:
                violation = self._violation(path, content, arrived, listed.get(file_id(ROUTE, path)))
                if violation:
                    found.append(f"{path!r}, {len(content)} bytes {content[:24]!r}: {violation}")
        return found

    def _is_untouched(self, nas: Path, name: str) -> bool:
        path, was = nas / name, self.foreign[name]
        if not path.exists():
            return False
        status = path.stat()
        now = ForeignFile(status.st_ino, status.st_mtime_ns, path.read_bytes())
        return now == was

    def _violation(
        self, path: str, content: bytes, arrived: Mapping[str, bytes], listed: ListedFile | None
    ) -> str | None:
        places = [
            name for name in map(conflict_path, [path] * MAX_RENAMES, range(MAX_RENAMES)) if name in arrived
        ]
        copies = sum(1 for name in places if arrived[name] == content)
        if copies > 1:
            return f"is {copies} times at the destination"
        if content not in self.must_survive[path]:
            return None
        at_source = self._is_at(self.source, path, content)
        if copies == 0:
            if at_source:
                return None if _may_stay(listed) else f"not delivered, and listed as {listed}"
            return "LOST"
        return self._violation_of_delivered(path, content, at_source)

    def _violation_of_delivered(self, path: str, content: bytes, at_source: bool) -> str | None:
        if self.after == "archive" and not self._is_archived(path, content):
            return "delivered, but not archived"
        if at_source != (self.after == "keep"):
            return f"delivered, but {'still' if at_source else 'not'} at the source"
        return None

    def _is_archived(self, path: str, content: bytes) -> bool:
        places = map(conflict_path, [path] * MAX_RENAMES, range(MAX_RENAMES))
        return sum(1 for name in places if self._is_at(self.archive, name, content)) == 1

    @staticmethod
    def _is_at(folder: Path, path: str, content: bytes) -> bool:
        return (folder / path).is_file() and (folder / path).read_bytes() == content


def _may_stay(listed: ListedFile | None) -> bool:
    """Whether a file may stay undelivered: with `conflict = fail` a taken name fails it."""
    return (
        listed is not None and listed.status == "Failed" and "exists at the destination" in str(listed.error)
    )
