"""Folders of a source that cannot be listed: logged once when that begins and once when it is over."""

from collections.abc import Sequence

from attrs import define, field, frozen

from agent.model.source_file import UnreadableFolder

MAX_LOGGED = 20  # enough of a whole tree that cannot be read


@frozen
class UnreadableChange:
    """`begun`: the first of those that could be listed until now; `more`: how many others there are."""

    begun: tuple[UnreadableFolder, ...]
    more: int
    over: tuple[str, ...]


@define
class UnreadableFolders:
    """The unreadable folders of one source, compared from scan to scan."""

    _known: set[str] = field(factory=set, init=False)

    def scanned(self, unreadable: Sequence[UnreadableFolder]) -> UnreadableChange:
        """Take in the folders that a whole scan could not list.

        Folders below one of them are not reported again until it can be listed.
        """
        now = {each.folder: each for each in unreadable}
        closed = tuple(f"{folder}/" for folder in now)
        over = {folder for folder in self._known - now.keys() if not folder.startswith(closed)}
        begun = [now[folder] for folder in sorted(now.keys() - self._known)]
        self._known = (self._known - over) | now.keys()
        return UnreadableChange(
            tuple(begun[:MAX_LOGGED]), len(begun[MAX_LOGGED:]), tuple(sorted(over))[:MAX_LOGGED]
        )
