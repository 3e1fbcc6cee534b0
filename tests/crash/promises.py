"""The promises that hold at every instant, and those that hold at the end; each violation is one line."""

from collections.abc import Iterator

from attrs import frozen

from agent.model.names import conflict_path
from tests.crash.folder_states import FolderState, JournalState, digest_of
from tests.crash.variants import Variant

EMPTY = digest_of(b"")


@frozen
class Promises:
    """The promises for one trial; `before`: the files when it began."""

    variant: Variant
    before: FolderState

    def broken_at_kill(self, folders: FolderState) -> Iterator[str]:
        """S1, S2 and S3, which hold at every instant."""
        finals = self._finals(folders)
        for path, content in self.variant.files.items():
            places = (f"source/{path}", self._final(path, folders))
            if all(place not in folders or folders[place].digest != digest_of(content) for place in places):
                yield f"S1: {path} is complete nowhere, there are only {sorted(folders)}"
        yield from self._foreign(folders)
        for path, item in folders.items():
            is_hidden = path.rpartition("/")[2].startswith(".")
            if path.startswith("nas/") and path not in self.before and not is_hidden:
                if path not in finals:
                    yield f"S3: {path} has appeared"
                elif item.digest != finals[path]:
                    yield f"S3: {path} shows {item.size_bytes} other bytes"

    def broken_at_end(self, folders: FolderState, journal: JournalState) -> Iterator[str]:
        """Every file is delivered once, and nothing else is left anywhere."""
        yield from self.broken_on_disk(folders)
        result = "kept" if self.variant.keeps_source else "delivered"
        ended = sorted((path, result) for path in self.variant.files)
        yield from _differing("in the history", ended, sorted(journal.history))
        yield from _differing("running in the journal", (), journal.running)

    def broken_on_disk(self, folders: FolderState) -> Iterator[str]:
        """The checks at the end that need no journal."""
        yield from self._foreign(folders)
        expected = {path: item.digest for path, item in self.before.items() if path.startswith("nas/")}
        expected |= self._finals(folders)
        for path, content in self.variant.files.items():
            if self.variant.keeps_source:
                expected[f"source/{path}"] = digest_of(content)
            if path in self.variant.archived:
                expected[f"archive/{self.variant.archived[path]}"] = digest_of(content)
        found = {path: item.digest for path, item in folders.items()}
        yield from _differing("in the folders", expected, found)

    def _foreign(self, folders: FolderState) -> Iterator[str]:
        for path, item in self.before.items():
            if path.startswith("nas/") and folders.get(path) != item:
                yield f"S2: {path} was {item} and is {folders.get(path)}"

    def _finals(self, folders: FolderState) -> dict[str, str]:
        """By path: the digest that a final name may show."""
        finals = {}
        for path, content in self.variant.files.items():
            if self._has_empty_name(path, folders):
                finals[f"nas/{self.variant.finals[path]}"] = EMPTY
            finals[self._final(path, folders)] = digest_of(content)
        return finals

    def _final(self, path: str, folders: FolderState) -> str:
        return "nas/" + conflict_path(self.variant.finals[path], int(self._has_empty_name(path, folders)))

    def _has_empty_name(self, path: str, folders: FolderState) -> bool:
        name = f"nas/{self.variant.finals[path]}"
        return self.variant.may_leave_empty_name and name in folders and not folders[name].size_bytes


def _differing(where: str, expected: object, found: object) -> Iterator[str]:
    if expected != found:
        yield f"{where}: expected {expected}, found {found}"
